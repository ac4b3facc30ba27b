"""What is shown: the chosen source, faded over from the last one, with the sliders on top."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np

from ..heads.arkit import INDEX, NAMES
from .person import Face, Person
from .sources.base import Resting, Source

_FADE = 0.35
"""s from one source to the next."""
_GAZE = np.radians(30.0)
"""rad of an eye's turn that a look coefficient of 1 stands for."""


@dataclass
class Sliders:
    """What the visitor adds by hand."""

    arkit: np.ndarray = field(default_factory=lambda: np.zeros(len(NAMES)))
    """[52]."""
    turn: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """[3] degrees: nod (down), turn (to the subject's left), tilt (to the subject's right shoulder)."""
    gaze: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """[2] degrees: to the subject's left, up."""

    def coefficients(self) -> np.ndarray:
        """[52] with the gaze in it."""
        out = self.arkit.copy()
        left, up = np.radians(self.gaze) / _GAZE
        for name, value in (
            ("OutLeft", left), ("InRight", left), ("InLeft", -left), ("OutRight", -left), ("UpLeft", up),
            ("UpRight", up), ("DownLeft", -up), ("DownRight", -up),
        ):  # fmt: skip
            out[INDEX[f"eyeLook{name}"]] += max(float(value), 0.0)
        return out


class Puppet:
    """The face of the moment. `show` is called by the renderer; everything else may come from any thread."""

    def __init__(self, person: Person) -> None:
        self._lock = threading.Lock()
        self.person = person
        self.sliders = Sliders()
        self._source: Source = Resting(person.rest)
        self._from: Face | None = None
        self._since = 0.0
        self._last: Face | None = None

    @property
    def source(self) -> Source:
        """Who drives."""
        return self._source

    def drive(self, source: Source, now: float) -> None:
        """Let another source drive from now on; the one before is not closed."""
        with self._lock:
            self._from, self._since, self._source = self._last, now, source

    def become(self, person: Person) -> None:
        """Somebody else, or the same person further trained; the caller changes the source."""
        with self._lock:
            self.person, self._from, self._last = person, None, None

    def show(self, now: float) -> tuple[Face, bool]:
        """(face, whether it may change by itself in the next moment)."""
        with self._lock:
            source, start, since, person = self._source, self._from, self._since, self.person
        face = source.face(now)
        share = (now - since) / _FADE
        fading = start is not None and share < 1
        if start is not None and fading:
            face = start.toward(face, share * share * (3 - 2 * share))
        self._last = face
        s = self.sliders
        if s.arkit.any() or s.turn.any() or s.gaze.any():
            face = person.add(face, s.coefficients(), np.radians(s.turn), np.zeros(3))
        return face, fading or source.moving(now)
