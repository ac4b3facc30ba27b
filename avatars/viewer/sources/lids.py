"""How far an actor's lids are closed, by the opening of their own eyes.

A solver that fits the avatar's head cannot know how large the actor's eyes are; the eye's height over its width (the
eye aspect ratio, Soukupova & Cech 2016) against its value at rest does. Measured on two people: 0.26 to 0.32 at rest,
0.05 to 0.12 shut.
"""

from __future__ import annotations

import numpy as np

from ...capture.faces import EYE_L_INNER, EYE_L_OUTER, EYE_R_INNER, EYE_R_OUTER
from ...heads.arkit import INDEX

BLINKS = (INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"])
_UPPER = np.array([[386, 385, 387], [159, 158, 160]])
_LOWER = np.array([[374, 380, 373], [145, 153, 144]])
_CORNERS = np.array([[EYE_L_INNER, EYE_L_OUTER], [EYE_R_INNER, EYE_R_OUTER]])
_SHUT, _LEAST = 0.4, 0.05
"""Opening of a shut eye, as a share of that at rest; and the least opening at rest that is believed."""
_QUIET, _FULL = 0.2, 0.9
"""Shares of the way from rest to shut that count as not begun, and as shut."""


def opening(points: np.ndarray) -> np.ndarray:
    """[..., 2] height over width of the left and right eye, from landmarks [..., 478, 3]."""

    def length(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points[..., a, :] - points[..., b, :], axis=-1)

    return length(_UPPER, _LOWER).mean(-1) / np.maximum(length(_CORNERS[:, 0], _CORNERS[:, 1]), 1e-6)


def closing(now: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """[2] blinks in [0, 1] for openings [2] now and at rest."""
    rest = np.maximum(rest, _LEAST)
    gone = (1 - now / rest) / (1 - _SHUT)
    return np.clip((gone - _QUIET) / (_FULL - _QUIET), 0, 1)
