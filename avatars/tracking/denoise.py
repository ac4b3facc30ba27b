"""A face that keeps still, without the detector's trembling and the solver's.

A detector trembles by a tenth of a pixel when nothing moves, and a fit makes more of it where expressions can stand in
for each other. Frames on which a part of the face is where it was are averaged; where it moves, they are left alone, so
no lid or lip gets slower.
"""

from __future__ import annotations

import numpy as np

from ..capture import faces
from ..data import LANDMARKS

_REACH = 10
"""Frames to either side. In films of talking people more than 4 change nothing; of a grimace that is held, 8 take the
trembling of the mouth from .19 to .15 px."""
_STILL = 0.5
"""px at 512: median move of a part's landmarks from which two frames have little to do with each other."""
_PARTS = [list(part) for part in (faces.LIPS, faces.EYE_L, faces.EYE_R, faces.IRIS_L, faces.IRIS_R)]
_PARTS.append(sorted(set(range(LANDMARKS)).difference(*_PARTS)))
_EYES = ("eye", "lid", "gaze")
"""Words in the names of expressions that move eyes."""


def denoised(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Landmarks [T, 478, 3] px of consecutive frames of (width, height) px, each part averaged while it rests.

    Each frame weighs by a Gaussian of how far the part moved (a bilateral filter over time).
    """
    out = landmarks.astype(float)
    for part in _PARTS:
        out[:, part] = _averaged(out[:, part], landmarks, [part], size)
    return out


def steadied(
    expression: np.ndarray, names: tuple[str, ...], landmarks: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Expressions [T, E], averaged like landmarks while lips and face rest; those of eyes while these rest, too.

    A grimace that no expression quite explains has several that do equally badly; noise jumps between them.

    Args:
        names: [E].
        landmarks, size: as `denoised` gave and took.
    """
    eyes = np.array([any(word in name for word in _EYES) for name in names])
    lips, *around, face = _PARTS
    out = _averaged(expression, landmarks, [lips, face], size)
    out[:, eyes] = _averaged(expression[:, eyes], landmarks, [lips, *around, face], size)
    return out.astype(expression.dtype)


def _averaged(values: np.ndarray, landmarks: np.ndarray, parts: list[list[int]], size: tuple[int, int]) -> np.ndarray:
    """Values [T, ...] averaged over the frames around each in which all these parts of the face are where they are."""
    unit = _STILL * max(size) / 512
    shape = (-1,) + (1,) * (values.ndim - 1)
    total, weights = values.astype(float), np.ones(len(values)).reshape(shape)
    for k in range(1, min(_REACH, len(values) - 1) + 1):
        moved = np.zeros(len(values) - k)
        for part in parts:
            points = landmarks[:, part, :2].astype(float)
            moved += np.median(np.linalg.norm(points[k:] - points[:-k], axis=-1), axis=1) ** 2
        weight = np.exp(-0.5 * moved / unit**2).reshape(shape)
        total[k:] += weight * values[:-k]
        total[:-k] += weight * values[k:]
        weights[k:] += weight
        weights[:-k] += weight
    return total / weights
