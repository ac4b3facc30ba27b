"""Landmarks of a face that keeps still, without the detector's trembling.

A detector trembles by a tenth of a pixel when nothing moves, and a fit makes more of it where expressions can stand in
for each other. Frames on which a part of the face is where it was are averaged; where it moves, they are left alone, so
no lid or lip gets slower.
"""

from __future__ import annotations

import numpy as np

from ..capture import faces
from ..data import LANDMARKS

_REACH = 4
"""Frames to either side."""
_STILL = 0.5
"""px at 512: median move of a part's landmarks from which two frames have little to do with each other."""
_PARTS = [list(part) for part in (faces.LIPS, faces.EYE_L, faces.EYE_R, faces.IRIS_L, faces.IRIS_R)]
_PARTS.append(sorted(set(range(LANDMARKS)).difference(*_PARTS)))


def denoised(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Landmarks [T, 478, 3] px of consecutive frames of (width, height) px, each part averaged while it rests.

    Each frame weighs by a Gaussian of how far the part moved (a bilateral filter over time).
    """
    unit = _STILL * max(size) / 512
    out = landmarks.astype(float)
    for part in _PARTS:
        points = landmarks[:, part].astype(float)
        total, weights = points.copy(), np.ones((len(points), 1, 1))
        for k in range(1, min(_REACH, len(points) - 1) + 1):
            moved = np.median(np.linalg.norm(points[k:, :, :2] - points[:-k, :, :2], axis=-1), axis=1)
            weight = np.exp(-0.5 * (moved / unit) ** 2)[:, None, None]
            total[k:] += weight * points[:-k]
            total[:-k] += weight * points[k:]
            weights[k:] += weight
            weights[:-k] += weight
        out[:, part] = total / weights
    return out
