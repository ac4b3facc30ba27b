"""Clip and avatar side by side, the avatar speaking the clip's sound: for the page of `avatars speech evaluate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..data import Clip
from ..motion.retarget import Retarget
from ..motion.voice import voice_of
from ..speech.condition import LONGEST_MS
from ..speech.evaluate import whole
from ..speech.style import Style
from ..splats.avatar import Avatar
from .drawing import Drawer, Shot, fitted
from .pictures import SOUND_RATE, write_frames

FPS = 25.0
SIZE = 320
"""Longer side of each half, px."""
MOST = 20.0
"""s of film."""


def write_side_by_side(path: Path, avatar: Avatar, clip: Clip, style: Style | None, *, size: int = SIZE) -> int:
    """Write an mp4 with sound: left what was filmed, right what the avatar makes of the sound alone.

    Args:
        clip: the avatar's own, with sound.
        style: the subject's, None for what the avatar itself tells.

    Returns:
        How many frames were written.
    """
    assert clip.audio is not None
    sound = clip.audio[: int(MOST * SOUND_RATE)]
    style = style or voice_of(avatar)
    motion = whole(sound, SOUND_RATE, fps=FPS, look_ahead_ms=LONGEST_MS, style=style, habits=style.habits)
    poses = Retarget(avatar)(motion)
    camera = fitted(avatar.camera, size)
    draw = Drawer(avatar, "white" if avatar.plate is None else "plate", camera)
    filmed = np.abs(clip.times[None] - (clip.times[0] + motion.times)[:, None]).argmin(1)

    def frames() -> Iterator[np.ndarray]:
        for i, row in enumerate(filmed):
            seen = cv2.resize(clip.frames[row], (camera.width, camera.height), interpolation=cv2.INTER_AREA)
            yield np.concatenate([seen, draw(Shot(poses[i], camera))], 1)

    return write_frames(path, frames(), FPS, overwrite=True, sound=sound)
