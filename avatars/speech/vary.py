"""Other tracts, microphones and paces, in the mel domain: cheap enough for every crop anew. NumPy, seeded."""

from __future__ import annotations

import numpy as np

from .features import FLOOR, MELS


def _warps(count: int = 15, low: float = 0.82, high: float = 1.22) -> np.ndarray:
    """[count, 40, 40] matrices that stretch a mel spectrum's frequency axis: longer and shorter vocal tracts."""
    edges = 2595 * np.log10(1 + np.array([60.0, 7600.0]) / 700)
    centres = 700 * (10 ** (np.linspace(edges[0], edges[1], MELS + 2)[1:-1] / 2595) - 1)
    out = np.zeros((count, MELS, MELS), np.float32)
    for i, factor in enumerate(np.linspace(low, high, count)):
        position = np.interp(centres * factor, centres, np.arange(MELS))
        floor = np.minimum(position.astype(int), MELS - 2)
        share = position - floor
        out[i, floor, np.arange(MELS)] = 1 - share
        out[i, floor + 1, np.arange(MELS)] += share
    return out


_WARPS = _warps()


def _swallowed(rng: np.random.Generator) -> np.ndarray:
    """[40] float32 factors on mel bands: one or two gaps of two to seven bands, 5 to 30 dB deep."""
    out = np.ones(MELS, np.float32)
    for _ in range(int(rng.integers(1, 3))):
        width = int(rng.integers(2, 8))
        start = int(rng.integers(0, MELS - width + 1))
        out[start : start + width] *= 10 ** (-rng.uniform(5, 30) / 10)
    return out


def vary(power: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[T, 2, 40] power of another tract and microphone."""
    if rng.random() < 0.7:
        power = power @ _WARPS[int(rng.integers(len(_WARPS)))]
    if rng.random() < 0.3:  # bands that a room or a microphone swallows
        power = power * _swallowed(rng)
    tilt = np.interp(np.arange(MELS), np.linspace(0, MELS - 1, 5), rng.normal(0, 3, 5))
    return power * (10 ** ((tilt + rng.uniform(-10, 6)) / 10)).astype(np.float32) + np.float32(FLOOR)


def at_pace(rows: np.ndarray, count: int, pace: float) -> np.ndarray:
    """[count, ...] of [T, ...] rows read `pace` times as fast, interpolated between the two nearest."""
    at = np.clip((np.arange(count) + 0.5) * pace - 0.5, 0, len(rows) - 1)
    low = np.minimum(at.astype(int), max(len(rows) - 2, 0))
    share = (at - low).reshape(-1, *[1] * (rows.ndim - 1)).astype(np.float32)
    return (1 - share) * rows[low] + share * rows[np.minimum(low + 1, len(rows) - 1)]
