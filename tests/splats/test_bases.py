from __future__ import annotations

import torch

from avatars.splats.bases import BasisNetwork
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
