"""Gaze: fixations near the camera, saccades between them, glances away when a thought begins.

Saccade lengths follow the main sequence (about 21 ms + 2.2 ms per degree; Carpenter 1988). The eyes turn against the
head, so that a fixation stays where it is while the head moves.
"""

from __future__ import annotations

import math

import numpy as np

from .blink import STEP
from .habits import Habits

_STEADY = 0.9
"""Share of the head's rotation that the eyes take back (the vestibulo-ocular reflex)."""
_LARGEST = math.radians(25)


class Gaze:
    """Direction of the eyes in the head tick by tick."""

    def __init__(self, habits: Habits, rng: np.random.Generator, amount: float = 1.0) -> None:
        self._rng, self._habits, self._amount = rng, habits, amount
        self._yaw = self._pitch = 0.0
        self._from = self._to = (0.0, 0.0)
        self._age, self._length = 1.0, 0.1
        self._wait = 0.5
        self._away = False
        self.jump = 0.0
        """Size of the saccade that began in this tick, rad."""

    def _look(self, yaw: float, pitch: float) -> None:
        self._from, self._to = (self._yaw, self._pitch), (yaw, pitch)
        self.jump = math.hypot(yaw - self._yaw, pitch - self._pitch)
        self._age, self._length = 0.0, 0.021 + 0.0022 * math.degrees(self.jump)

    def tick(self, head_yaw: float, head_pitch: float, starting: bool = False) -> tuple[float, float]:
        """(yaw to the subject's left, pitch up) in rad of the next 20 ms.

        Args:
            head_yaw, head_pitch: of the head, to the left and up, rad.
            starting: an utterance begins now.
        """
        self.jump = 0.0
        if self._amount <= 0:
            return 0.0, 0.0
        self._wait -= STEP
        glance = starting and not self._away and self._rng.random() < 0.35
        if glance or self._wait <= 0:
            spread_yaw, spread_pitch = (s * self._amount for s in self._habits.gaze_spread)
            if glance or (not self._away and self._rng.random() < 0.12):
                side = 1 if self._rng.random() < 0.5 else -1
                yaw, pitch = side * self._rng.uniform(2, 5) * spread_yaw, self._rng.uniform(-2, 3) * spread_pitch
                self._away, self._wait = True, float(self._rng.gamma(4, 0.2))
            else:
                yaw, pitch = self._rng.normal(0, spread_yaw), self._rng.normal(0, spread_pitch)
                self._away = False
                self._wait = float(np.exp(self._rng.normal(math.log(self._habits.fixation), 0.5)))
            self._look(float(yaw), float(pitch))
        self._age += STEP
        share = min(self._age / self._length, 1.0)
        share = share * share * (3 - 2 * share)
        self._yaw = self._from[0] + share * (self._to[0] - self._from[0])
        self._pitch = self._from[1] + share * (self._to[1] - self._from[1])
        yaw, pitch = self._yaw - _STEADY * head_yaw, self._pitch - _STEADY * head_pitch
        return max(-_LARGEST, min(_LARGEST, yaw)), max(-_LARGEST, min(_LARGEST, pitch))
