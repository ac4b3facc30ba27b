"""Where motion comes from: a tracked face, a video, an ARKit recording, a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from ..data import Clip, Motion, Track
from ..heads.head import Head
from ..speech.tracked import load_motion, save_motion
from ..training.views import FACING
from .coefficients import to_arkit
from .livelink import read_csv

__all__ = ["load_motion", "motion_of_csv", "motion_of_track", "motion_of_video", "resample", "save_motion"]

_PIVOT = np.array([0.0, -0.1, -0.02])
"""[3] m from between the ears: about where a head turns on its neck."""


def motion_of_track(track: Track, head: Head) -> Motion:
    """What a tracked face does, as ARKit coefficients and head pose.

    Args:
        head: the head that the track's expression refers to; its identity does not matter.
    """
    turn = FACING.T @ Rotation.from_rotvec(track.rotation).as_matrix()
    place = track.translation.astype(float)
    return Motion(
        times=np.asarray(track.times, np.float64),
        arkit=to_arkit(head, track.expression),
        rotation=Rotation.from_matrix(turn).as_rotvec(),
        translation=(place - np.median(place, axis=0)) @ FACING,
    ).validate()


def motion_of_video(
    video: Path | str,
    work: Path | str,
    head: Head,
    *,
    subject: str | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> tuple[Motion, Clip]:
    """Capture and track a video, without training anything.

    Args:
        work: directory of the captured clip; one that is there from an earlier call is used again.
        head: with its identity basis, fitted to whoever is in the video.
        subject: whom to take, where there are several (see `capture`).
        progress: called with a line of news and the share of the present step that is done.

    Raises:
        AvatarError: as `capture` and `track`.
    """
    from ..capture.clip import capture
    from ..tracking.personal import personalise
    from ..tracking.track import track

    say = progress or (lambda news, share: None)
    clip = capture(video, work, subject=subject, progress=say)
    tracked = track(clip, head, lambda share, news="": say(news, share))
    person, tracked = personalise(head, tracked)
    return motion_of_track(tracked, person), clip


def motion_of_csv(path: Path | str, warnings: list[str] | None = None) -> Motion:
    """A Live Link Face recording; since it holds no translation, the head turns about a neck of the usual place."""
    motion = read_csv(path, warnings)
    turn = Rotation.from_rotvec(motion.rotation)
    return replace(motion, translation=_PIVOT - turn.apply(_PIVOT))


def resample(motion: Motion, rate: float) -> Motion:
    """The motion at a constant rate (frames/s) from its first to its last frame, starting at time 0.

    Gaps are bridged evenly.
    """
    times = motion.times - motion.times[0]
    if len(times) < 2:
        return replace(motion, times=times)
    steps = np.arange(int(np.floor(times[-1] * rate + 1e-6)) + 1) / rate
    steps = np.minimum(steps, times[-1])

    def between(values: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(steps, times, column) for column in values.T], 1)

    turned = Slerp(times, Rotation.from_rotvec(motion.rotation))(steps)
    return Motion(steps, between(motion.arkit), turned.as_rotvec(), between(motion.translation)).validate()
