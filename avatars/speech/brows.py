"""Brows: raised on some accents, never quite still."""

from __future__ import annotations

import math

import numpy as np

from .blink import STEP
from .habits import Habits

_CHANCE = 0.3
_REST = 0.6


class Brows:
    """How far the brows are raised tick by tick."""

    def __init__(self, habits: Habits, rng: np.random.Generator, amount: float = 1.0) -> None:
        self._rng, self._habits, self._amount = rng, habits, amount
        self._slow = self._accent = self._goal = self._rest = 0.0

    def tick(self, accent: float) -> float:
        """Height in [0, 1] of the next 20 ms; `accent` as for the head."""
        if self._amount <= 0:
            return 0.0
        self._rest -= STEP
        if accent > 0 and self._rest <= 0 and self._rng.random() < _CHANCE:
            self._goal = accent * float(self._rng.uniform(2, 5)) * self._habits.brow_spread
            self._rest = _REST
        quick = self._goal > self._accent
        self._accent += (self._goal - self._accent) * STEP / (0.06 if quick else 0.18)
        if self._accent > 0.9 * self._goal:
            self._goal = 0.0
        time = 1.5
        kick = self._habits.brow_spread * 0.5 * math.sqrt(2 * STEP / time)
        self._slow += -self._slow * STEP / time + kick * float(self._rng.standard_normal())
        return max(0.0, min(1.0, self._amount * (self._habits.brow_level + self._slow + self._accent)))
