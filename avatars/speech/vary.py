"""Other tracts and microphones, in the mel domain: cheap enough for every crop anew. NumPy, seeded."""

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


def vary(power: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[T, 2, 40] power of another tract and microphone."""
    if rng.random() < 0.7:
        power = power @ _WARPS[int(rng.integers(len(_WARPS)))]
    tilt = np.interp(np.arange(MELS), np.linspace(0, MELS - 1, 5), rng.normal(0, 3, 5))
    return power * (10 ** ((tilt + rng.uniform(-10, 6)) / 10)).astype(np.float32) + np.float32(FLOOR)
