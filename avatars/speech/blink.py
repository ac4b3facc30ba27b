"""Blinks: a renewal process with log-normal gaps on the output clock, so that eyes blink in silence too."""

from __future__ import annotations

import math

import numpy as np

from .habits import Habits

STEP = 0.02
"""s per tick of every generator."""
HOLD = 0.06
"""s shut: three ticks, so that any frame rate from 25 fps sees the eye closed."""
_REFRACTORY = 0.4
_HALF, _DOUBLE = 0.06, 0.07
_RESTED = 1.0
"""s after a blink before which no phrase or glance brings on the next: eyes that have just blinked are wet."""


class Blinks:
    """Lid closure tick by tick.

    Args:
        habits: rate and timing. amount: factor on the rate, 0 for none.
    """

    def __init__(self, habits: Habits, rng: np.random.Generator, amount: float = 1.0) -> None:
        self._rng = rng
        rate = habits.blinks_per_minute * amount / 60
        self._mean = 1 / rate if rate > 0 else math.inf
        self._spread = max(habits.blink_spread, 0.05)
        self._closing = max(habits.blink_closing, 2 * STEP)
        self._age = math.inf  # time since the present blink began
        self._depth = 1.0
        self._wait = self._gap() * float(rng.uniform(0.2, 1))

    def _gap(self) -> float:
        if math.isinf(self._mean):
            return math.inf
        median = math.log(self._mean) - self._spread**2 / 2  # so that the mean gap gives the asked rate
        return max(float(np.exp(self._rng.normal(median, self._spread))), _REFRACTORY)

    def tick(self, invited: float = 0.0) -> float:
        """Closure in [0, 1] of the next 20 ms.

        Args:
            invited: 0 to 1; a phrase's end, a gaze shift or a turn of the head make a blink more likely now.
        """
        opening = 2.2 * self._closing
        length = self._closing + HOLD + opening
        self._wait -= STEP
        waiting = _REFRACTORY < self._wait < math.inf and self._age > length + _RESTED
        if invited > 0 and waiting and self._rng.random() < 0.5 * invited:
            self._wait = 0.0
        if self._wait <= 0 and self._age > length:
            self._age = 0.0
            self._depth = 0.55 if self._rng.random() < _HALF else 1.0
            self._wait = length + 0.1 if self._rng.random() < _DOUBLE else length + self._gap()
        t = self._age
        self._age += STEP
        if t >= length:
            return 0.0
        if t < self._closing:
            shut = 0.5 - 0.5 * math.cos(math.pi * t / self._closing)
        elif t < self._closing + HOLD:
            shut = 1.0
        else:
            shut = 0.5 + 0.5 * math.cos(math.pi * (t - self._closing - HOLD) / opening)
        return self._depth * shut
