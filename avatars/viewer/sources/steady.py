"""Stillness for what comes in live: the One Euro filter (Casiez, Roussel & Vogel, CHI 2012).

A low-pass filter whose cut-off rises with speed: a resting face does not tremble, a fast lip is not late.
"""

from __future__ import annotations

import numpy as np

from ...heads.arkit import INDEX

_CUTOFF = np.repeat([1.8, 1.2, 1.2], [52, 3, 3])
"""Hz, at rest: coefficients, rotation, translation."""
_RISE = np.repeat([6.0, 6.0, 30.0], [52, 3, 3])
"""Hz per unit/s, rad/s and m/s."""
_SPEED_CUTOFF = 6.0
"""Hz, for the speed itself."""
_RISE[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] = 60.0  # a blink lasts three pictures


def _share(cutoff: np.ndarray | float, step: float) -> np.ndarray:
    """Of a new value in a first-order low-pass filter."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff) * step)))


class OneEuro:
    """Filters rows [58] of coefficients, rotation and translation as they come."""

    def __init__(self) -> None:
        self._value: np.ndarray | None = None
        self._speed, self._time = np.zeros(len(_CUTOFF)), 0.0

    def __call__(self, row: np.ndarray, time: float) -> np.ndarray:
        """The filtered row at `time` s."""
        step = time - self._time
        self._time = time
        if self._value is None or not 0 < step < 0.5:
            self._value, self._speed = row.copy(), np.zeros(len(row))
            return row
        speed = (row - self._value) / step
        self._speed = self._speed + _share(_SPEED_CUTOFF, step) * (speed - self._speed)
        value = self._value + _share(_CUTOFF + _RISE * np.abs(self._speed), step) * (row - self._value)
        self._value = value
        return value
