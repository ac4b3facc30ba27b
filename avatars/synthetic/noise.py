"""Smooth random fields in space and in time."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

_LATTICE = 32


def field(points: np.ndarray, scale: float, rng: np.random.Generator, octaves: int = 1) -> np.ndarray:
    """Band-limited noise [n] of about zero mean and unit variance at points [n, 3].

    Args:
        points: m.
        scale: m, size of the largest features; each octave halves it and its strength.
    """
    out = np.zeros(len(points), np.float32)
    total = 0.0
    for octave in range(octaves):
        lattice = rng.standard_normal((_LATTICE, _LATTICE, _LATTICE)).astype(np.float32)
        at = points.T / (scale / 2**octave) + rng.uniform(0, _LATTICE, 3)[:, None]
        out += map_coordinates(lattice, at, order=1, mode="grid-wrap", prefilter=False) * 0.5**octave
        total += 0.25**octave * 0.296  # a trilinear mean of eight normals has variance (2/3)³
    return out / np.float32(np.sqrt(total))


def wander(times: np.ndarray, period: float, rng: np.random.Generator, columns: int = 1) -> np.ndarray:
    """Smooth random curves [T, columns] of unit variance that take about `period` s from one extreme to the next."""
    rate = np.pi / period * rng.uniform(0.35, 1.3, (7, columns))
    phase = rng.uniform(0, 2 * np.pi, (7, columns))
    return np.sin(times[:, None, None] * rate + phase).sum(1) * np.sqrt(2 / 7)


def smoothstep(low: float | np.ndarray, high: float | np.ndarray, value: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high` (which may be the lesser), smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
