"""Motion that is there as a whole: the captured one, or a recording of somebody else; played, scrubbed, looped."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from ...data import Motion
from ...motion.retarget import Manner, Retarget
from ...splats.avatar import Avatar
from ...splats.model import Pose
from ..clock import Clock
from ..person import Face

_MIN_OWN_FACE = 2.0
"""s: a shorter recording says too little about how its actor's face rests, and is taken as it is."""


class Recording:
    """Faces at times, shown by a clock.

    Args:
        times: [T] s, increasing.
        pose: T poses.
    """

    def __init__(self, times: np.ndarray, pose: Pose) -> None:
        self.times = np.asarray(times, float) - float(times[0])
        self.clock = Clock(float(self.times[-1]))
        self._pose = pose
        self._turns = [Rotation.from_matrix(m.numpy()) for m in (pose.rotation, pose.torso_rotation)]
        self._slerps = [Slerp(self.times, turn) for turn in self._turns] if len(times) > 1 else []
        self.stepping = False
        """Whether faces are those of the frames, for comparing with a film, instead of lying between them."""

    @staticmethod
    def captured(avatar: Avatar) -> Recording:
        """The motion that the avatar was built from."""
        return Recording(avatar.track.times, Pose.of_track(avatar.track))

    @staticmethod
    def of_motion(motion: Motion, avatar: Avatar) -> Recording:
        """Somebody else's motion on this avatar."""
        long = motion.times[-1] - motion.times[0] >= _MIN_OWN_FACE
        driver = Retarget(avatar, Manner.of(motion)) if long else Retarget(avatar)
        return Recording(motion.times, driver(motion))

    def at(self, time: float) -> Face:
        """The face at a position in s, between the frames if need be."""
        if not self._slerps:
            return Face.of(self._pose)
        time = float(np.clip(time, 0, self.times[-1]))
        high = int(np.clip(np.searchsorted(self.times, time, side="right"), 1, len(self.times) - 1))
        low = high - 1
        share = (time - self.times[low]) / (self.times[high] - self.times[low])

        def between(values: np.ndarray) -> np.ndarray:
            return ((1 - share) * values[low] + share * values[high]).astype(float)

        pose = self._pose
        return Face(
            between(pose.expression.numpy()), self._slerps[0](time), between(pose.translation.numpy()),
            self._slerps[1](time), between(pose.torso_translation.numpy()),
        )  # fmt: skip

    def row(self, now: float) -> int:
        """The frame nearest to where the clock stands."""
        time = self.clock.time(now)
        high = min(int(np.searchsorted(self.times, time)), len(self.times) - 1)
        return max(high - 1, 0) if time - self.times[high - 1] < self.times[high] - time else high

    def face(self, now: float) -> Face:
        """Where the clock stands."""
        return self.at(float(self.times[self.row(now)]) if self.stepping else self.clock.time(now))

    def curves(self, start: float, end: float, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Times [count] s and expressions [count, E] of a stretch of the recording."""
        times = np.linspace(start, end, count)
        values = self._pose.expression.numpy().astype(float)
        return times, np.stack([np.interp(times, self.times, column) for column in values.T], 1)

    def moving(self, now: float) -> bool:
        """While it plays."""
        return self.clock.playing and self.clock.duration > 0

    def close(self) -> None:
        """Nothing to give back."""
