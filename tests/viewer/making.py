"""A small invented avatar: coloured splats on the default head, with a captured motion of three seconds."""

from __future__ import annotations

import numpy as np

from avatars.data import Camera, Splats, Track
from avatars.heads.anny import default_head
from avatars.heads.arkit import INDEX, NAMES
from avatars.heads.head import Head
from avatars.splats.avatar import Avatar, Subject
from avatars.splats.bases import BasisNetwork, StateScale
from avatars.splats.model import Pose

SPLATS = 5000
SECONDS, RATE = 3.0, 25
_SKIN, _LIPS, _BODY = (0.80, 0.62, 0.52), (0.70, 0.22, 0.25), (0.25, 0.30, 0.45)


def make_avatar(seed: int = 0, name: str = "Nobody", splats: int = SPLATS, bases: int = 0) -> Avatar:
    """An avatar that no footage was needed for; its bases, if any, do next to nothing, at the usual cost."""
    head = default_head()
    head = head.shape(np.zeros(len(head.identity_basis)))
    track = _track(head)
    pose = Pose.of_track(track)
    scale = StateScale.fit(pose.expression, pose.rotation, pose.translation, pose.torso_rotation)
    return Avatar(
        head=head,
        splats=_splats(head, np.random.default_rng(seed), splats, bases),
        network=BasisNetwork(len(head.expression_names), bases, scale),
        track=track,
        subject=Subject.of_track(track, head),
        manifest={"name": name},
    ).validate()


def _splats(head: Head, rng: np.random.Generator, count: int, bases: int) -> Splats:
    corners = head.template[head.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    triangle = rng.choice(len(head.faces), count, p=area / area.sum()).astype(np.int32)
    barycentric = rng.dirichlet(np.ones(3), count).astype(np.float32)
    color = np.tile(np.float32(_SKIN), (len(head.template), 1))
    color[head.skinning[:, 0] > 0.5] = _BODY
    color[head.regions["lips"]] = _LIPS
    noise = rng.normal(0, 0.03, (count, 3))
    return Splats(
        triangle=triangle,
        barycentric=barycentric,
        extent=np.full(count, 0.0052 * (SPLATS / count) ** 0.5, np.float32),
        mean=np.zeros((count, 3), np.float32),
        quaternion=np.tile(np.float32([1, 0, 0, 0]), (count, 1)),
        log_scale=np.tile(np.log(np.float32([1.0, 1.0, 0.3])), (count, 1)),
        logit_opacity=np.full(count, 3.0, np.float32),
        color=((color[head.faces[triangle]] * barycentric[..., None]).sum(1) + noise).clip(0, 1).astype(np.float32),
        bases=rng.normal(0, 1e-3, (count, 9, bases)).astype(np.float32),
    )


def _track(head: Head) -> Track:
    count = int(SECONDS * RATE)
    times = np.arange(count) / RATE
    expression = np.zeros((count, len(NAMES)), np.float32)
    expression[:, INDEX["jawOpen"]] = 0.3 + 0.3 * np.sin(2 * np.pi * times)
    expression[:, INDEX["mouthClose"]] = 0.0
    facing = np.array([np.pi, 0.0, 0.0])
    still = np.zeros((count, 3))
    return Track(
        identity=np.zeros(0, np.float32),
        camera=Camera(700.0, 700.0, 128.0, 128.0, 256, 256),
        frame=np.arange(count),
        times=times,
        expression=expression,
        rotation=still + facing,
        translation=still + np.array([0.0, 0.0, 0.8]),
        torso_rotation=still + facing,
        torso_translation=still + _base(head),
        landmark_offsets=np.zeros((478, 3), np.float32),
        confidence=np.ones(count, np.float32),
        head={"name": head.name, "version": head.version, "sha256": head.sha256},
    )


def _base(head: Head) -> np.ndarray:
    """[3] m: where the torso's translation puts the base of the neck, for a body turned like the head.

    The head sits at R x + t; the torso at R (x - n) + n + u. Both agree for u = t - n + R n.
    """
    neck = head.joints[0].astype(float)
    return np.array([0.0, 0.0, 0.8]) - neck + np.diag([1.0, -1.0, -1.0]) @ neck
