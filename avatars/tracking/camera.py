"""The one place where metres meet pixels while tracking (NumPy, float64)."""

from __future__ import annotations

import numpy as np

FOCAL_PRIOR = 2.2
"""Expected focal length in units of the longer image side, for a cropped head: phones and webcams lie within ±50 %."""


def project(points: np.ndarray, focal: float, center: np.ndarray) -> np.ndarray:
    """Pinhole projection of camera-space points [..., 3] m to pixels [..., 2]."""
    return points[..., :2] / points[..., 2:] * focal + center


def projection_jacobian(points: np.ndarray, focal: float) -> np.ndarray:
    """Derivative of `project` with respect to the points: [..., 2, 3] px/m."""
    inverse = focal / points[..., 2]
    jacobian = np.zeros((*points.shape[:-1], 2, 3))
    jacobian[..., 0, 0] = inverse
    jacobian[..., 1, 1] = inverse
    jacobian[..., 0, 2] = -inverse * points[..., 0] / points[..., 2]
    jacobian[..., 1, 2] = -inverse * points[..., 1] / points[..., 2]
    return jacobian


def similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best scale [T], rotation [T, 3, 3] and translation [T, 3] taking source [n, 3] to target [T, n, 3].

    Weighted least squares in closed form (Umeyama 1991).
    """
    w = weights / weights.sum()
    source_mean = w @ source
    target_mean = np.einsum("n,tnk->tk", w, target)
    a, b = source - source_mean, target - target_mean[:, None]
    u, s, vt = np.linalg.svd(np.einsum("n,tni,nj->tij", w, b, a))
    sign = np.ones_like(s)
    sign[:, 2] = np.linalg.det(u @ vt)
    rotation = (u * sign[:, None]) @ vt
    scale = (s * sign).sum(-1) / np.einsum("n,ni,ni->", w, a, a)
    return scale, rotation, target_mean - scale[:, None] * (rotation @ source_mean)
