"""Where features of cloth and shoulders go: sparse optical flow from one frame to all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ..capture import faces
from ..data import Clip

_MIN_FEATURES = 12


@dataclass(frozen=True, eq=False)
class Flow:
    """N features below the chin over T frames."""

    reference: int
    """The frame they were found in."""
    points: np.ndarray
    """[N, 2] px, there."""
    places: np.ndarray
    """[T, N, 2] px, where each frame has them."""
    found: np.ndarray
    """[T, N] bool."""
    similar: np.ndarray
    """[T, 2, 3] similarity from the reference to each frame."""


def feature_flow(clip: Clip, rows: np.ndarray, progress: Callable[[float], None] = lambda share: None) -> Flow:
    """By pyramidal Lucas-Kanade, each frame against the middle one, outliers left out by RANSAC.

    Where less than a dozen features are seen, nothing is found and nothing moves. One picture at a time is in memory.

    Args:
        rows: [T] indices of the clip's frames.
        progress: called with the share done.
    """
    count, reference, still = len(rows), len(rows) // 2, np.eye(2, 3)
    similar, middle = np.tile(still, (count, 1, 1)), rows[reference]
    points = _features(np.asarray(clip.frames[middle]), np.asarray(clip.matte[middle]), clip.landmarks[middle])
    places, found = np.tile(points, (count, 1, 1)), np.zeros((count, len(points)), bool)
    if not len(points):
        return Flow(reference, points, places, found, similar)
    found[reference] = True
    gray = cv2.cvtColor(np.ascontiguousarray(clip.frames[middle]), cv2.COLOR_RGB2GRAY)
    for first, order in ((0, range(reference + 1, count)), (count - reference, range(reference - 1, -1, -1))):
        previous = still
        for done, t in enumerate(order, first):
            progress(done / count)
            now = cv2.cvtColor(np.ascontiguousarray(clip.frames[rows[t]]), cv2.COLOR_RGB2GRAY)
            guess = (points @ previous[:, :2].T + previous[:, 2])[:, None].astype(np.float32)
            moved, status, _ = cv2.calcOpticalFlowPyrLK(
                gray, now, points[:, None], guess, winSize=(25, 25), maxLevel=2, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
            )
            good = status[:, 0] > 0
            if good.sum() >= _MIN_FEATURES:
                matrix, inliers = cv2.estimateAffinePartial2D(points[good], moved[good, 0], ransacReprojThreshold=2.0)
                if matrix is not None and inliers.sum() >= _MIN_FEATURES:
                    previous, places[t], found[t] = matrix, moved[:, 0], good
            similar[t] = previous
    return Flow(reference, points, places, found, similar)


def _features(frame: np.ndarray, matte: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """[N, 2] px float32 corners to follow, well below the chin; none where there are too few."""
    face = landmarks[:468, :2]
    below = int(landmarks[faces.CHIN, 1] + 0.15 * (face[:, 1].max() - face[:, 1].min()))
    height, width = frame.shape[:2]
    allowed = cv2.erode((matte > 200).astype(np.uint8), np.ones((7, 7), np.uint8))
    allowed[: min(below, height)] = 0
    if allowed.sum() < 0.01 * height * width:
        return np.zeros((0, 2), np.float32)
    gray = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    points = cv2.goodFeaturesToTrack(gray, 400, 0.005, 5, mask=allowed)
    return np.zeros((0, 2), np.float32) if points is None or len(points) < _MIN_FEATURES else points[:, 0]
