"""A grid of soft bumps over the face, on which gradients of vertices are pooled: what moves with one is smooth."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from ..heads.head import Head

_FRONT, _FADE = -0.05, 0.03
"""m: where, along z, and over which distance the bumps begin; behind the ears no film tells."""
_CARRIED = 0.95
"""Least share of the head's own joints in the skinning of what gets bumps."""


def bumps(head: Head, apart: float, width: float, soft: np.ndarray | None = None) -> np.ndarray:
    """[V, n] how far each vertex goes with each of n bumps; rows sum to 1 in the middle of the face.

    Args:
        apart, width: m between two bumps, and standard deviation of one.
        soft: [V] bool, what may move at all; everything if None.
    """
    place, carried = head.template.astype(float), head.skinning[:, 1:].sum(1)
    soft = np.ones(len(place), bool) if soft is None else soft
    face = place[soft & (carried > _CARRIED) & (place[:, 2] > _FRONT + _FADE)]
    if not len(face):
        return np.zeros((len(place), 0))
    axes = (np.arange(low, high + apart, apart) for low, high in zip(face.min(0), face.max(0), strict=True))
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    centers = grid[KDTree(face).query(grid)[0] < 0.8 * apart]
    near = np.exp(-((place[:, None] - centers) ** 2).sum(2) / (2 * width**2))
    return near * (carried * soft * ((place[:, 2] - _FRONT) / _FADE).clip(0, 1) / (near.sum(1) + 1e-3))[:, None]
