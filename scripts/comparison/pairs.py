"""Everybody driven by everybody: contact sheets that show the driver's frame above each avatar's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from avatars.heads.anny import default_head
from avatars.motion.retarget import Manner, Retarget
from avatars.motion.smooth import steady
from avatars.motion.sources import motion_of_track
from avatars.splats.avatar import Avatar
from avatars.tracking.personal import personalise

from .pictures import draw
from .sheets import labelled, write_sheet
from .trial import source

_FRAMES = 10


def pairs(clips: Sequence[Path], avatars: Sequence[Path], work: Path, say: Callable[[str], None]) -> None:
    """Write `pairs-DRIVER.png` for each driver: frames of theirs where they do most, and what each avatar makes of it.

    Args:
        clips: videos or run directories (see `trial.source`).
        avatars: whom they drive.
        work: where sheets and captured clips go.
    """
    head = default_head()
    people = [(path.stem, Avatar.load(path)) for path in avatars]
    for path in clips:
        name, clip, tracked, _ = source(path, work, head)
        person, own = personalise(head, tracked)
        motion = steady(motion_of_track(own, person))
        manner = Manner.of(motion)
        rows = _telling(motion.arkit, manner.neutral)
        tiles = [labelled(np.asarray(clip.frames[own.frame[row]]), f"{name} {own.times[row]:.1f} s") for row in rows]
        for who, avatar in people:
            poses, model = Retarget(avatar, manner)(motion), avatar.model()
            tiles += [labelled(draw(model, poses[int(row)], avatar.camera), who) for row in rows]
        write_sheet(tiles, work / f"pairs-{name}.png", len(rows))
        say(f"pairs-{name}.png")


def _telling(arkit: np.ndarray, neutral: np.ndarray) -> list[int]:
    """Rows that differ most from the neutral and from each other, in order of time."""
    away = arkit - neutral
    chosen = [int(np.linalg.norm(away, axis=1).argmax())]
    nearest = np.linalg.norm(arkit - arkit[chosen[0]], axis=1)
    while len(chosen) < min(_FRAMES, len(arkit)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(arkit - arkit[chosen[-1]], axis=1))
    return sorted(chosen)
