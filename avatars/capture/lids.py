"""How far eyes are open in a picture."""

from __future__ import annotations

import numpy as np

from .faces import EYE_L_INNER, EYE_L_OUTER, EYE_R_INNER, EYE_R_OUTER

_UPPER = np.array([[386, 385, 387], [159, 158, 160]])
_LOWER = np.array([[374, 380, 373], [145, 153, 144]])
_CORNERS = np.array([[EYE_L_INNER, EYE_L_OUTER], [EYE_R_INNER, EYE_R_OUTER]])


def opening(points: np.ndarray) -> np.ndarray:
    """[..., 2] height over width of the left and right eye, from landmarks [..., 478, 2 or 3].

    The eye aspect ratio of Soukupova & Cech (2016).
    """

    def length(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points[..., a, :] - points[..., b, :], axis=-1)

    return length(_UPPER, _LOWER).mean(-1) / np.maximum(length(_CORNERS[:, 0], _CORNERS[:, 1]), 1e-6)
