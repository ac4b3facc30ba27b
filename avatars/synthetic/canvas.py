"""A sheet held before the face: outlines and strokes are drawn on it from the front and cast onto the skin."""

from __future__ import annotations

import cv2
import numpy as np

_HALF = 0.12
"""m: the sheet reaches this far from the head's origin."""
_STEP = 0.0002
"""m between its pixels."""
_SUB = 16
"""cv2 takes fixed-point coordinates in sixteenths."""


class Canvas:
    """One grey picture, 0 where nothing is drawn."""

    def __init__(self) -> None:
        side = round(2 * _HALF / _STEP)
        self.picture = np.zeros((side, side), np.float32)

    def polygon(self, points: np.ndarray) -> Canvas:
        """Fill a closed outline [n, >=2] m."""
        cv2.fillPoly(self.picture, [_fixed(points)], (1.0,), cv2.LINE_AA, 4)
        return self

    def line(self, points: np.ndarray, width: float, value: float = 1.0) -> Canvas:
        """Draw an open line [n, >=2] m of a width in m."""
        thick = max(1, round(width / _STEP))
        cv2.polylines(self.picture, [_fixed(points)], False, (value,), thick, cv2.LINE_AA, 4)
        return self

    def blur(self, sigma: float) -> Canvas:
        """Soften by a Gaussian of sigma m."""
        self.picture = cv2.GaussianBlur(self.picture, (0, 0), sigma / _STEP)
        return self

    def at(self, points: np.ndarray) -> np.ndarray:
        """Values [n] in front of points [n, 3] m."""
        where = ((points[:, :2] + _HALF) / _STEP - 0.5).astype(np.float32)
        out = np.empty(len(where), np.float32)
        most = 32000  # cv2.remap takes maps of at most 2^15 rows
        for first in range(0, len(where), most):
            rows = where[first : first + most]
            sampled = cv2.remap(self.picture, rows[:, None, 0].copy(), rows[:, None, 1].copy(), cv2.INTER_LINEAR)
            out[first : first + most] = sampled[:, 0]
        return out


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(((points[:, :2] + _HALF) / _STEP - 0.5) * _SUB).astype(np.int32)


def smooth_line(points: np.ndarray, count: int, closed: bool = False) -> np.ndarray:
    """`count` points [count, d] along a curve through points [n, d] (Catmull-Rom)."""
    p = (
        np.concatenate([points[-1:], points, points[:2]])
        if closed
        else np.concatenate([points[:1], points, points[-1:]])
    )
    at = np.linspace(0, len(p) - 3, count, endpoint=not closed)
    i = np.minimum(at.astype(int), len(p) - 4)
    t = (at - i)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
