"""The newest face that somebody sends, eased toward so that a jittering network does not show."""

from __future__ import annotations

import math
import threading

from ...data import Motion
from ..person import Face, Person

_EASE = 0.02
"""s, time constant of the approach: one frame of a 60 Hz sender hides its jitter, and lips stay in time."""
_GONE = 1.0
"""s without news after which the face goes to rest."""
_RETURN = 0.25
"""s, time constant of the way to rest."""


class Live:
    """Takes motion as it comes in, from any thread."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._lock = threading.Lock()
        self._goal, self._came = person.rest, -math.inf
        self._shown, self._then = person.rest, -math.inf
        self.count = 0
        """Frames taken so far."""

    def take(self, motion: Motion, now: float) -> None:
        """Show the last frame of a motion from now on."""
        if not len(motion.times):
            return
        last = Motion(motion.times[-1:], motion.arkit[-1:], motion.rotation[-1:], motion.translation[-1:])
        face = self._person.act(last)
        with self._lock:
            self._goal, self._came = face, now
            self.count += 1

    def face(self, now: float) -> Face:
        """The eased face."""
        with self._lock:
            goal, came = self._goal, self._came
        gone = now - came > _GONE
        share = 1 - math.exp(-max(now - self._then, 0.0) / (_RETURN if gone else _EASE))
        self._shown = self._shown.toward(self._person.rest if gone else goal, share)
        self._then = now
        return self._shown

    def moving(self, now: float) -> bool:
        """While news come in, and on the way to rest."""
        return now - self._came < _GONE + 8 * _RETURN

    def close(self) -> None:
        """Nothing to give back."""
