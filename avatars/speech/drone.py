"""Machines' steady tones, which have pitch and partials like a voice but stand still: the lips do not follow them.

The level of a hum may rise, fall and beat; the shape of its spectrum stays. A voice's does not: from frame to frame the
bands near the loudest move by less than 0.6 dB from their mean of the last quarter of a second in two frames in a row
at most, in recordings of four speakers, and sung vowels with vibrato move as well. NumPy only.
"""

from __future__ import annotations

import numpy as np

from .features import MELS, STACK

_NEAR = 2.0
"""Bands within this of the loudest count; all levels here are in 10 dB."""
_STILL = 0.06
_STEADY = 0.3
"""Change of the loudest band from one frame to the next above which nothing else is looked at."""
_REMEMBERED = 12
"""Frames of 20 ms over which the spectrum is averaged."""
_SURE = 20
"""Frames for which it must stand still."""
_CLOSING, _OPENING, _ENDING = 8, 2, 16
"""Frames that the lips take to close, to follow a sound that sets in, and to be let go when the tone has ended."""
_ENDED = 0.6
"""Fall of the loudest band that says that a tone has ended, and nothing has set in."""


class Drone:
    """Follows the sound frame by frame and says how far it is a steady tone."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._usual: np.ndarray | None = None
        self._most = 0.0
        self._still = 0
        self._share = 0.0

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """[T] float32 in [0, 1] for the next network inputs [T, 86]: how far the lips shall stay shut."""
        levels = inputs[:, :MELS] + inputs[:, MELS : STACK * MELS]
        return np.array([self._tick(row) for row in levels], np.float32)

    def _tick(self, levels: np.ndarray) -> float:
        if self._usual is None:
            self._usual = levels.copy()
        most = float(np.maximum.reduce(levels))
        away = levels - self._usual
        if abs(most - self._most) < _STEADY and self._stands(levels, away, most):
            self._still += 1
        else:
            self._still = 0
        if self._still >= _SURE:
            self._share = min(self._share + 1 / _CLOSING, 1.0)
        elif self._share > 0:
            ended = most < float(np.maximum.reduce(self._usual)) - _ENDED
            self._share = max(self._share - 1 / (_ENDING if ended else _OPENING), 0.0)
        away *= np.float32(1 / _REMEMBERED)
        self._usual += away
        self._most = most
        return self._share

    @staticmethod
    def _stands(levels: np.ndarray, away: np.ndarray, most: float) -> bool:
        """Whether the bands near the loudest moved alike: a tone that swells is still the same tone."""
        near = away[levels > np.float32(most - _NEAR)]
        near -= np.add.reduce(near) / np.float32(len(near))
        return float(np.add.reduce(np.abs(near))) < _STILL * len(near)
