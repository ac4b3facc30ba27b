"""Any sample rate to 16 kHz, in pieces of any length: windowed-sinc polyphase filters. NumPy only."""

from __future__ import annotations

from functools import lru_cache
from math import gcd

import numpy as np

from avatars.errors import InputError

TARGET = 16000
LOWEST, HIGHEST = 4000, 384000
_CROSSINGS = 12
_BLOCK = 8192


@lru_cache(8)
def _filters(rate: int) -> tuple[int, int, int, np.ndarray]:
    """(phases, step, half, filters [phases, 2 half]): output n is at input n step / phases."""
    divisor = gcd(rate, TARGET)
    phases, step = TARGET // divisor, rate // divisor
    stretch = max(rate / TARGET, 1.0)
    half = int(np.ceil(_CROSSINGS * stretch))
    offset = np.arange(1 - half, half + 1) - (np.arange(phases) / phases)[:, None]
    cutoff = 0.94 / stretch
    window = np.i0(8.0 * np.sqrt(np.maximum(1 - (offset / half) ** 2, 0))) / np.i0(8.0)
    taps = np.sinc(offset * cutoff) * window
    return phases, step, half, (taps / taps.sum(1, keepdims=True)).astype(np.float32)


class Resampler:
    """One stream's resampler; the same output for any chunking.

    Args:
        rate: of the input, Hz.
        channels: of the input.
    """

    def __init__(self, rate: int, channels: int = 1) -> None:
        if not LOWEST <= rate <= HIGHEST:
            raise InputError(f"A sample rate of {rate} Hz cannot be used", fix=f"Give {LOWEST} to {HIGHEST} Hz")
        self.rate = rate
        self._phases, self._step, self._half, self._taps = _filters(rate)
        self._data = np.zeros((channels, self._half - 1), np.float32)
        self._start = 1 - self._half  # index of the first sample in _data, as heard
        self._heard = self._made = 0

    @property
    def delay(self) -> float:
        """Seconds of sound that an output sample waits for."""
        return 0.0 if self.rate == TARGET else self._half / self.rate

    def __call__(self, pcm: np.ndarray, last: bool = False) -> np.ndarray:
        """[channels, m] at 16 kHz that [channels, n] float32 complete; with `last`, all that remains."""
        self._heard += pcm.shape[1]
        if self.rate == TARGET:
            self._made = self._heard
            return pcm
        data = np.concatenate([self._data, pcm, np.zeros((len(pcm), self._half if last else 0), np.float32)], 1)
        if last:
            end = -(-self._heard * self._phases // self._step)  # outputs whose centre was heard
        else:
            end = (self._heard - self._half - 1) * self._phases // self._step + 1
        parts = [self._block(data, n, min(n + _BLOCK, end)) for n in range(self._made, end, _BLOCK)]
        self._made = max(end, self._made)
        keep = self._made * self._step // self._phases - self._half + 1
        self._data = data[:, max(keep - self._start, 0) :]
        self._start = max(keep, self._start)
        return np.concatenate(parts, 1) if parts else np.zeros((len(pcm), 0), np.float32)

    def _block(self, data: np.ndarray, first: int, end: int) -> np.ndarray:
        position = np.arange(first, end, dtype=np.int64) * self._step
        centre, phase = position // self._phases, position % self._phases
        index = (centre - self._start + 1 - self._half)[:, None] + np.arange(2 * self._half)
        return np.stack([np.einsum("ij,ij->i", channel[index], self._taps[phase]) for channel in data])
