"""Head motion: slow wandering around the rest pose, nods on stressed syllables, a return to rest.

The wandering is a damped oscillator driven by noise, so its spread is bounded for ever: there is no drift to reset.
"""

from __future__ import annotations

import math

import numpy as np

from .blink import STEP
from .habits import Habits

_IDLE = 0.45
"""Share of the motion that remains in silence."""


class Head:
    """Rotation [3] (axis-angle, rad) and translation [3] (m) tick by tick, relative to rest."""

    def __init__(self, habits: Habits, rng: np.random.Generator, amount: float = 1.0) -> None:
        self._rng, self._amount = rng, amount
        spread = [*habits.head_spread, *habits.sway]
        self._omega = 1.6 / habits.head_time
        # Stationary variance of x'' = -2 w x' - w^2 x + s n(t) is s^2 / (4 w^3): solve for s, per tick.
        self._drive = [s * math.sqrt(4 * self._omega**3 / STEP) for s in spread]
        self._position, self._speed = [0.0] * 6, [0.0] * 6
        self._noise, self._next = rng.standard_normal((256, 6)).tolist(), 0
        self._lively = _IDLE
        self._nod, self._nod_speed, self._rest = 0.0, 0.0, 0.0
        self._nod_size = 0.8 * habits.head_spread[0]

    def tick(self, speaking: float, accent: float, back: float = 0.0) -> tuple[list[float], list[float]]:
        """(rotation, translation) of the next 20 ms.

        Args:
            speaking: 0 to 1.
            accent: strength of a stressed syllable that begins now, 0 for none.
            back: pull of the head backwards, rad (laughter).
        """
        if self._next == len(self._noise):
            self._noise, self._next = self._rng.standard_normal((256, 6)).tolist(), 0
        noise = self._noise[self._next]
        self._next += 1
        self._lively += (max(speaking, _IDLE) - self._lively) * STEP / 0.4
        omega = self._omega
        for i in range(6):
            pull = -2 * omega * self._speed[i] - omega * omega * self._position[i] + self._drive[i] * noise[i]
            self._speed[i] += STEP * pull
            self._position[i] += STEP * self._speed[i]
        self._rest -= STEP
        if accent > 0 and self._rest <= 0 and self._rng.random() < 0.5:
            self._nod_speed += 12 * self._nod_size * accent * (1 if self._rng.random() < 0.85 else -0.7)
            self._rest = 0.35
        self._nod_speed += STEP * (-2 * 7 * self._nod_speed - 49 * self._nod)
        self._nod += STEP * self._nod_speed
        scale = self._amount * self._lively
        rotation = [scale * x for x in self._position[:3]]
        rotation[0] += self._amount * (self._nod - back)
        return rotation, [scale * x for x in self._position[3:]]
