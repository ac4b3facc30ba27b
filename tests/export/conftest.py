"""A small random avatar on the default head: nobody's face."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars.data import Camera, Splats, Track
from avatars.heads.anny import default_head
from avatars.splats.avatar import Avatar, Subject
from avatars.splats.bases import BasisNetwork, Cloud, StateScale
from avatars.splats.model import Pose

FRAMES, SPLATS, BASES, SIZE = 12, 3000, 6, 160


@pytest.fixture(scope="session")
def avatar() -> Avatar:
    """3000 splats over the head's triangles with 6 bases, and a track of 12 frames."""
    rng = np.random.default_rng(5)
    base = default_head()
    head = base.shape(rng.normal(0, 0.5, base.identity_basis.shape[0]))
    track = _track(head, rng)
    pose = Pose.of_track(track)
    torch.manual_seed(5)
    scale = StateScale.fit(pose.expression, pose.rotation, pose.translation, pose.torso_rotation)
    network = BasisNetwork(head.expression_basis.shape[0], BASES, scale)
    states = network.state(pose.expression, pose.rotation, pose.translation, pose.torso_rotation)
    network.hold(Cloud.of(network(states[: FRAMES // 2]).detach().numpy()))  # the other half goes beyond it
    return Avatar(
        head, make_splats(head, rng), network, track, Subject.of_track(track, head),
        {"name": "<i>Nobody</i>", "consent": "made of random numbers", "provenance": {"program": "test"}},
    ).validate()  # fmt: skip


def _track(head, rng: np.random.Generator) -> Track:
    wave = np.linspace(0, 2 * np.pi, FRAMES)[:, None]
    expression = 0.5 * rng.uniform(0, 1, (FRAMES, head.expression_basis.shape[0])) * (1 + np.sin(wave))
    turn = np.stack([np.pi + 0 * wave[:, 0], 0.2 * np.sin(wave[:, 0]), 0.1 * np.cos(wave[:, 0])], 1)
    place = np.array([0.01, 0.03, 1.1]) + 0.02 * rng.normal(size=(FRAMES, 3))
    torso = np.tile([np.pi, 0.02, 0.03], (FRAMES, 1))
    seat = np.tile([0.0, 0.16, 1.12], (FRAMES, 1))
    arrays = [x.astype(np.float32) for x in (expression, turn, place, torso, seat)]
    return Track(
        np.zeros(1, np.float32), Camera(330.0, 330.0, SIZE / 2 + 3, SIZE / 2 - 5, SIZE, SIZE),
        np.arange(FRAMES), np.arange(FRAMES) / 25.0, *arrays,
        landmark_offsets=np.zeros((478, 3), np.float32), confidence=np.ones(FRAMES, np.float32),
        head={"name": head.name, "version": head.version, "sha256": head.sha256},
    )  # fmt: skip


def make_splats(head, rng: np.random.Generator, count: int = SPLATS) -> Splats:
    corners = head.template[head.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    triangle = rng.choice(len(area), count, p=area / area.sum()).astype(np.int32)
    barycentric = rng.dirichlet([1, 1, 1], count)
    at = np.einsum("nk,nkc->nc", barycentric, corners[triangle])
    color = 0.5 + 0.4 * np.sin(60 * at + [0, 1, 2]) + 0.2 * rng.normal(size=(count, 3))
    columns = (
        barycentric, rng.uniform(0.003, 0.006, count), rng.normal(0, 0.3, (count, 3)), rng.normal(size=(count, 4)),
        rng.normal(0, 0.4, (count, 3)) - [0.2, 0.2, 1.2], rng.normal(2, 2, count), color,
        rng.normal(0, 0.08, (count, 9, BASES)),
    )  # fmt: skip
    return Splats(triangle, *(x.astype(np.float32) for x in columns))
