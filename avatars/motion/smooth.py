"""Stillness without sluggishness: small trembling is averaged over time, fast motion is left as it is.

A bilateral filter along time (after Tomasi & Manduchi 1998): neighbours count the less, the further they lie away in
time and in value, and what counts as far in value is measured from the trembling itself. A blink or a plosive differs
from its neighbours by far more than that, so it keeps its height.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from ..data import Motion

_SECONDS = 0.06
"""Standard deviation of the window."""
_REACH = 2.0
"""Deviations in value that still average, in units of the trembling."""
_FLOOR = {"arkit": 0.004, "rotation": 0.0008, "translation": 0.0002}
"""Least trembling that is assumed (coefficient, rad, m)."""
_CEILING = {"arkit": 0.03, "rotation": 0.006, "translation": 0.0015}
"""Most that counts as trembling: beyond it lies motion."""


def steady(motion: Motion) -> Motion:
    """The motion with its trembling averaged out; nothing is delayed."""
    turn = Rotation.from_rotvec(motion.rotation)
    mean = turn.mean()
    local = (mean.inv() * turn).as_rotvec()
    return replace(
        motion,
        arkit=_bilateral(motion.arkit, motion.times, "arkit", together=False),
        rotation=(mean * Rotation.from_rotvec(_bilateral(local, motion.times, "rotation", together=True))).as_rotvec(),
        translation=_bilateral(motion.translation, motion.times, "translation", together=True),
    )


def trembling(values: np.ndarray) -> np.ndarray:
    """[n] standard deviation of white noise in series [T, n], from the median second difference.

    For white noise of deviation s, second differences have deviation s * sqrt(6); the median ignores real motion.
    """
    if len(values) < 3:
        return np.zeros(values.shape[1])
    bend = np.abs(values[2:] - 2 * values[1:-1] + values[:-2])
    return np.median(bend, axis=0) / 0.6745 / np.sqrt(6.0)


def _bilateral(values: np.ndarray, times: np.ndarray, kind: str, *, together: bool) -> np.ndarray:
    """[T, n] filtered column by column, or as vectors."""
    noise = np.clip(trembling(values), _FLOOR[kind], _CEILING[kind])
    total, weight = values.astype(float).copy(), np.ones_like(values, dtype=float)
    width = len(values) if len(times) < 2 else int(np.ceil(3 * _SECONDS / max(np.median(np.diff(times)), 1e-3)))
    for shift in range(1, min(width, len(values) - 1) + 1):
        near, far = slice(None, -shift), slice(shift, None)
        gap = ((times[far] - times[near]) / _SECONDS)[:, None]
        apart = ((values[far] - values[near]) / (_REACH * noise)) ** 2
        if together:
            apart = apart.sum(1, keepdims=True)
        share = np.exp(-0.5 * (gap**2 + apart))
        total[near] += share * values[far]
        total[far] += share * values[near]
        weight[near] += share
        weight[far] += share
    return total / weight
