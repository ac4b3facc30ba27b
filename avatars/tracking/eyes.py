"""What is known of eyes besides where their landmarks are: they move together, and closed lids hide them."""

from __future__ import annotations

import numpy as np

from ..capture import faces
from ..capture.lids import opening

IRISES = list(faces.IRIS_L) + list(faces.IRIS_R)
_SHUT, _OPEN = 0.5, 0.75
"""Apertures, as shares of the usual one, at which an iris says nothing of where the eye looks, and all."""


def shut(landmarks: np.ndarray) -> np.ndarray:
    """[T] how far the more closed eye hides its iris, in [0, 1], from landmarks [T, 478, 2 or 3] px."""
    open_ = opening(landmarks)
    least = (open_ / np.maximum(np.median(open_, axis=0), 1e-6)).min(1)
    return 1 - np.clip((least - _SHUT) / (_OPEN - _SHUT), 0, 1)


def gaze_axes(joint_axis: np.ndarray) -> np.ndarray:
    """Indices of the expressions that turn an eye, from the axes [E, 3, 3] of jaw, left and right eye, rad per unit."""
    return np.flatnonzero(np.abs(joint_axis[:, 1:]).sum((1, 2)) > 0)


def apart(joint_axis: np.ndarray) -> np.ndarray:
    """[2, E] rad per unit by which the left eye's pitch and yaw exceed the right one's."""
    return (joint_axis[:, 1] - joint_axis[:, 2])[:, :2].T


def held(gaze: np.ndarray, times: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """Gaze [T, n] that goes straight from before to after where lids are closed.

    Args:
        times: [T] s.
        closed: indices of the frames whose lids are.
    """
    opened = np.setdiff1d(np.arange(len(times)), closed)
    if not len(closed) or not len(opened):
        return gaze
    out = gaze.copy()
    for k in range(gaze.shape[1]):
        out[closed, k] = np.interp(times[closed], times[opened], gaze[opened, k])
    return out
