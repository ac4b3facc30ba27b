"""A small random avatar on the default head: everything in it is valid, nothing in it is a person."""

from __future__ import annotations

import numpy as np
import torch

from avatars.data import Splats
from avatars.splats.avatar import Avatar, Subject
from avatars.splats.bases import BasisNetwork, StateScale
from avatars.splats.model import Pose
from avatars.tracking.personal import personalise
from tests.training.scene import make_scene


def make_avatar(count: int = 300, bases: int = 4, seed: int = 0) -> Avatar:
    """An untrained avatar with the track of the synthetic scene."""
    head, _, track = make_scene(frames=6, size=64)
    person, track = personalise(head, track)
    rng = np.random.default_rng(seed)
    triangle = rng.integers(0, len(person.faces), count).astype(np.int32)
    barycentric = rng.dirichlet(np.ones(3), count).astype(np.float32)
    quaternion = rng.normal(size=(count, 4)).astype(np.float32)
    splats = Splats(
        triangle,
        barycentric,
        np.full(count, 0.004, np.float32),
        (0.2 * rng.normal(size=(count, 3))).astype(np.float32),
        quaternion,
        (0.2 * rng.normal(size=(count, 3))).astype(np.float32),
        rng.normal(size=count).astype(np.float32),
        rng.uniform(size=(count, 3)).astype(np.float32),
        (0.05 * rng.normal(size=(count, 9, bases))).astype(np.float32),
    )
    pose = Pose.of_track(track)
    torch.manual_seed(seed)
    scale = StateScale.fit(pose.expression, pose.rotation, pose.translation, pose.torso_rotation)
    network = BasisNetwork(pose.expression.shape[1], bases, scale)
    return Avatar(
        person, splats, network, track, Subject.of_track(track, person), {"name": "Somebody", "consent": "none needed"}
    )
