"""The newest face that somebody sends, eased toward so that a jittering network does not show."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from ...data import Motion
from ..person import Face, Person

_EASE = 0.02
"""s, time constant of the approach: one frame of a 60 Hz sender hides its jitter, and lips stay in time."""
_GONE = 1.0
"""s without news after which the face goes to rest."""
_RETURN = 0.25
"""s, time constant of the way to rest."""


class Live:
    """Takes motion as it comes in, from any thread.

    Args:
        person: who is driven.
        tell: called with a line about what happens, when it changes.
    """

    def __init__(self, person: Person, tell: Callable[[str], None] = lambda text: None) -> None:
        self._person, self._tell, self._said = person, tell, ""
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
        self.put(self._person.act(last), now)

    def put(self, face: Face, now: float) -> None:
        """Show a face from now on."""
        with self._lock:
            self._goal, self._came = face, now
            self.count += 1

    def become(self, person: Person) -> None:
        """The same head in another state."""
        self._person = person

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

    def say(self, text: str) -> None:
        """Tell what happens, unless it was told last."""
        if text != self._said:
            self._said = text
            self._tell(text)

    def close(self) -> None:
        """Nothing to give back."""
