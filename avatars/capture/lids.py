"""How far eyes are open in a picture."""

from __future__ import annotations

import numpy as np

from .faces import EYE_L_INNER, EYE_L_OUTER, EYE_R_INNER, EYE_R_OUTER

UPPER = np.array([[386, 385, 387], [159, 158, 160]])
LOWER = np.array([[374, 380, 373], [145, 153, 144]])
CORNERS = np.array([[EYE_L_INNER, EYE_L_OUTER], [EYE_R_INNER, EYE_R_OUTER]])
"""Landmarks of the left and the right eye: three pairs of upper and lower lid, and the corners."""


def opening(points: np.ndarray) -> np.ndarray:
    """[..., 2] height over width of the left and right eye, from landmarks [..., 478, 2 or 3].

    The eye aspect ratio of Soukupova & Cech (2016).
    """

    def length(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points[..., a, :] - points[..., b, :], axis=-1)

    return length(UPPER, LOWER).mean(-1) / np.maximum(length(CORNERS[:, 0], CORNERS[:, 1]), 1e-6)
