from __future__ import annotations

import numpy as np
import torch

from avatars.splats.bases import BasisNetwork, Cloud
from avatars.splats.model import Pose
from tests.splats.making import make_avatar


def test_the_network_survives_a_file() -> None:
    avatar = make_avatar()
    pose = Pose.of_track(avatar.track)
    again = BasisNetwork.from_tensors(avatar.network.tensors())
    state = avatar.network.state(pose.expression, pose.rotation, pose.translation, pose.torso_rotation)
    assert torch.equal(again(state), avatar.network(state))


def test_far_states_say_no_more_than_the_edge_of_the_footage() -> None:
    avatar = make_avatar()
    pose = Pose.of_track(avatar.track, [0])
    wild = pose.expression + 100.0
    wilder = pose.expression + 1000.0
    a, b = (avatar.network.state(e, pose.rotation, pose.translation, pose.torso_rotation) for e in (wild, wilder))
    assert torch.equal(a, b)
    moved = avatar.network.state(pose.expression, pose.rotation, pose.translation + 50.0, pose.torso_rotation)
    assert float(moved.abs().max()) < 5.0


def test_inside_the_footage_the_state_is_linear_in_expression() -> None:
    avatar = make_avatar()
    pose = Pose.of_track(avatar.track)
    a, b = pose[0], pose[1]
    middle = avatar.network.state((a.expression + b.expression) / 2, a.rotation, a.translation, a.torso_rotation)
    ends = [avatar.network.state(p.expression, a.rotation, a.translation, a.torso_rotation) for p in (a, b)]
    torch.testing.assert_close(middle, (ends[0] + ends[1]) / 2)


def test_weights_stay_within_the_cloud_of_those_of_the_footage() -> None:
    avatar, rng = make_avatar(), np.random.default_rng(0)
    network = avatar.network
    states = torch.from_numpy(rng.normal(size=(200, network.net[0].in_features)).astype(np.float32))
    free = network(states).detach()
    cloud = Cloud.of(free.numpy()[:100])
    network.hold(cloud)
    torch.testing.assert_close(network(states[:100]), free[:100])  # what was seen is as it was
    wild = network(10 * states).detach()
    distance = np.linalg.norm((wild.numpy() - cloud.center) @ cloud.whiten.T, axis=1)
    assert 0.99 < distance.max() < 1 + 1e-5
    beyond = (wild - torch.from_numpy(cloud.center)).numpy()
    meant = (network.net(10 * states).detach() - torch.from_numpy(cloud.center)).numpy()
    cosine = (beyond * meant).sum(1) / np.linalg.norm(beyond, axis=1) / np.linalg.norm(meant, axis=1)
    assert cosine.min() > 1 - 1e-5  # the direction is kept
    again = BasisNetwork.from_tensors(network.tensors())
    assert torch.equal(again(10 * states), network(10 * states))


def test_a_cloud_of_few_or_equal_frames_is_finite() -> None:
    for weights in (np.ones((1, 4)), np.ones((5, 4)), np.random.default_rng(1).normal(size=(3, 8))):
        cloud = Cloud.of(weights)
        assert np.isfinite(cloud.whiten).all()
        assert np.linalg.norm((weights - cloud.center) @ cloud.whiten.T, axis=1).max() <= 1 + 1e-4
