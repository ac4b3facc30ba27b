"""An invented avatar with a motion that says something about its subject."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from avatars.data import Motion
from avatars.heads.arkit import INDEX
from avatars.splats.avatar import Avatar, Subject
from avatars.training.views import FACING
from tests.splats.making import make_avatar

COUNT = 120


def a_motion(seed: int, neutral: float, reach: float, turn: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Motion:
    """Somebody who rests at `neutral` now and then and goes up to `reach`, looking away from the camera by `turn`."""
    rng = np.random.default_rng(seed)
    rest = rng.uniform(0, neutral, 52)
    rest[INDEX["jawOpen"]] = rest[INDEX["mouthClose"]] = 0.05
    effort = np.clip(np.sin(np.linspace(0, 9 * np.pi, COUNT)), 0, 1)[:, None] * rng.uniform(0.3, 1, (COUNT, 52))
    arkit = rest + effort * np.maximum(reach - rest, 0)
    arkit[:, INDEX["mouthClose"]] = np.minimum(arkit[:, INDEX["mouthClose"]], arkit[:, INDEX["jawOpen"]])
    wander = 0.15 * np.sin(np.linspace(0, 7, COUNT))[:, None] * rng.normal(size=3)
    rotation = Rotation.from_rotvec(turn) * Rotation.from_rotvec(wander)
    shift = 0.02 * np.cos(np.linspace(0, 5, COUNT))[:, None] * rng.normal(size=3)
    return Motion(np.arange(COUNT) / 25.0, arkit, rotation.as_rotvec(), shift).validate()


def an_avatar(motion: Motion | None = None) -> Avatar:
    """An avatar whose film showed this motion."""
    motion = motion or a_motion(1, neutral=0.2, reach=0.6)
    avatar = make_avatar()
    count = len(motion.times)
    track = replace(
        avatar.track,
        frame=np.arange(count),
        times=motion.times,
        expression=(motion.arkit @ avatar.head.arkit).astype(np.float32),
        rotation=Rotation.from_matrix(FACING @ Rotation.from_rotvec(motion.rotation).as_matrix()).as_rotvec(),
        translation=np.array([0.0, 0.03, 0.8]) + motion.translation @ FACING.T,
        torso_rotation=np.repeat(avatar.track.torso_rotation[:1], count, 0),
        torso_translation=np.repeat(avatar.track.torso_translation[:1], count, 0),
        confidence=np.ones(count, np.float32),
    )
    return replace(avatar, track=track, subject=Subject.of_track(track, avatar.head))
