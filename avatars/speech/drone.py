"""Machines' steady tones, which have pitch and partials like a voice but stand still: the lips do not follow them.

The level of a hum may rise, fall and beat; the shape of its spectrum stays. A voice's does not: the bands near the
loudest keep within 0.6 dB of their recent mean for six frames in a row at most, in recordings of eight speakers, and
sung vowels with vibrato move as well. NumPy only.
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
"""Frames of 20 ms over which the spectrum is averaged, fewer after a sound has set in."""
_SURE = 26
"""Frames for which it must stand still: recorded speech did for six at most, synthetic speech for nine."""
_CLOSING, _OPENING, _ENDING = 4, 2, 16
"""Frames that the lips take to close, to follow a sound that sets in, and to be let go when the tone has ended."""
_ENDED = 0.6
"""Fall of the loudest band that says that a tone has ended, and nothing has set in."""


class Drone:
    """Follows the sound frame by frame and says how far it is a steady tone."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._usual = self._before = np.zeros(MELS, np.float32)
        self._most = self._tone = 0.0
        self._heard = self._still = 0
        self._share = 0.0

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """[T] float32 in [0, 1] for the next network inputs [T, 86]: how far the lips shall stay shut."""
        levels = inputs[:, :MELS] + inputs[:, MELS : STACK * MELS]
        return np.array([self._tick(row) for row in levels], np.float32)

    def _tick(self, levels: np.ndarray) -> float:
        most = float(np.maximum.reduce(levels))
        steady = self._heard > 0 and abs(most - self._most) < _STEADY
        if not steady:  # another sound sets in: its mean begins anew
            self._usual, self._before, self._heard = levels.copy(), levels, 0
        self._heard = min(self._heard + 1, _REMEMBERED)
        # A mean of two frames: a low tone's partials share bands, which ripple from one frame to the next.
        away = levels + self._before
        away *= np.float32(0.5)
        away -= self._usual
        self._still = self._still + 1 if steady and self._stands(levels, away, most) else 0
        if self._still >= _SURE:
            self._share, self._tone = min(self._share + 1 / _CLOSING, 1.0), most
        elif self._share > 0:
            self._share = max(self._share - 1 / (_ENDING if most < self._tone - _ENDED else _OPENING), 0.0)
        away *= np.float32(1 / self._heard)
        self._usual += away
        self._most, self._before = most, levels
        return self._share

    @staticmethod
    def _stands(levels: np.ndarray, away: np.ndarray, most: float) -> bool:
        """Whether the bands near the loudest moved alike: a tone that swells is still the same tone."""
        near = away[levels > np.float32(most - _NEAR)]
        near -= np.add.reduce(near) / np.float32(len(near))
        return float(np.add.reduce(np.abs(near))) < _STILL * len(near)
