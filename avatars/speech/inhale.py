"""Audible breaths between words: people who breathe in to go on part their lips, wider than for most vowels.

A breath is soft hiss, 30 to 45 dB below the voice, over a room's rumble that may be louder. What gives it away is that
in a pause, between 1 and 6 kHz, it swells from the quietest that the pause has been, for a tenth of a second or more;
echoes only fade, and steady noise stays. NumPy only.
"""

from __future__ import annotations

import math

import numpy as np

from .articulation import ARTICULATORS, GAP, JAW, LOWER_DOWN, UPPER_UP
from .features import INPUTS, MELS, STACK
from .vocal import CLASSES

_QUIET, _BREATH = CLASSES.index("quiet"), CLASSES.index("breath")
BANDS = np.zeros((INPUTS, 2), np.float32)
"""Mean level of the mel bands of 0.9 to 2.3 and 2.3 to 6 kHz, in dB against the speaker's but for 10 dB."""
for _column, _band in enumerate((slice(13, 24), slice(24, 36))):
    for _hop in range(STACK):
        BANDS[_hop * MELS : (_hop + 1) * MELS][_band, _column] = 20 / STACK / (_band.stop - _band.start)
_BEGIN, _END = 4.0, 2.0
"""dB above the pause's quietest at which a breath begins and ends."""
_STEEPEST = 6.0
"""dB that a breath may grow by in a frame; clicks of lips and tongue are steeper."""
_LOUDEST = -15.0
"""On the same scale; louder sound is not their breath."""
_SURE = 2
"""Frames of 20 ms that it must last to be believed."""
_LONGEST = 60
_OPENING, _CLOSING = 4, 8
"""Frames that the lips take to part and to come together again."""
_HELD = 8
"""Frames after a breath in which they stay parted: who has breathed in is about to speak."""
_SPEECH, _REMEMBERED = 8, 150
"""Frames of voice that make someone a speaker, and frames that they are one after it: other swelling noise is no
breath."""
_TAKEN = 3
"""Frames in which speech takes them over."""


def _is_pause(logits: list[float]) -> bool:
    """Whether the network hears no voice in a frame of 6 class logits."""
    most = max(logits)
    shares = [math.exp(x - most) for x in logits]
    return shares[_QUIET] + shares[_BREATH] > 0.5 * sum(shares)


def inhaled() -> np.ndarray:
    """[11] articulators of a mouth that breathes in: the jaw lets the lips part as far as they are asked to."""
    out = np.zeros(len(ARTICULATORS), np.float32)
    out[[JAW, GAP, LOWER_DOWN, UPPER_UP]] = 0.61, 0.65, 0.25, 0.12
    return out


_INHALED = inhaled()


def part(curves: np.ndarray, share: np.ndarray) -> np.ndarray:
    """[T, 11] articulators with the lips parted by a `share` [T] of a breath, where speech does not part them wider."""
    return np.maximum(curves, share[:, None] * _INHALED)


class Inhale:
    """Follows the sound frame by frame and says how far a breath parts the lips."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._least = [np.inf, np.inf]
        self._smooth = [0.0, 0.0]
        self._heard = 0
        self._since = _HELD  # frames since the last breath
        self._voice, self._spoke = 0, _REMEMBERED  # frames of speech in a row, frames since enough of it
        self._share, self._sure = 0.0, False

    def __call__(self, inputs: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """[T] float32 in [0, 1] for the next network inputs [T, 86] and class logits [T, 6]."""
        if len(inputs) == 0:
            return np.zeros(0, np.float32)
        levels = (inputs @ BANDS).tolist()
        frames = zip(levels, classes.tolist(), strict=True)
        return np.array([self._tick(low, high, _is_pause(logits)) for (low, high), logits in frames], np.float32)

    def _tick(self, low: float, high: float, pause: bool) -> float:
        loud = max(low, high) > _LOUDEST
        rise = np.inf
        for k, level in enumerate((low, high)):
            self._smooth[k] += 0.5 * min(level - self._smooth[k], _STEEPEST)
            self._least[k] = self._smooth[k] if loud else min(self._least[k], self._smooth[k])
            rise = min(rise, self._smooth[k] - self._least[k])
        swells = rise > (_BEGIN if self._heard == 0 else _END)
        self._heard = min(self._heard + 1, _LONGEST + 1) if swells else 0
        self._voice = 0 if pause else self._voice + 1
        self._spoke = 0 if self._voice >= _SPEECH else self._spoke + 1
        inside = pause and self._spoke < _REMEMBERED and _SURE <= self._heard <= _LONGEST
        self._since = 0 if inside else self._since + 1
        if inside:
            step = 1 / _OPENING
        elif not pause:
            step = -1 / _TAKEN
        else:
            self._sure = self._sure and self._since <= _HELD
            step = 0.0 if self._sure else -1 / _CLOSING
        self._share = min(max(self._share + step, 0.0), 1.0)
        self._sure = self._sure or self._share == 1.0
        return self._share
