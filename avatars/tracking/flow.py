"""Where features of cloth and shoulders go: sparse optical flow from one frame to all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ..capture import faces
from ..data import Clip

_MIN_FEATURES = 12
_LEVELS = 2
"""Halvings of the picture in which what moves fast is found."""


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
    """By pyramidal Lucas-Kanade: from frame to frame, so that a stripe is not taken for the next one, and then against
    the middle frame, so that nothing drifts.

    Where less than a dozen features are seen, nothing is found and nothing moves. Two pictures at a time are in memory.

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
        before, last, matrix = gray, points, still
        for done, t in enumerate(order, first):
            progress(done / count)
            now = cv2.cvtColor(np.ascontiguousarray(clip.frames[rows[t]]), cv2.COLOR_RGB2GRAY)
            stepped, _ = _followed(before, now, last, last, _LEVELS)
            moved, good = _followed(gray, now, points, stepped, 0)
            before, last = now, np.where(good[:, None], moved, stepped)
            if good.sum() >= _MIN_FEATURES:
                fitted, inliers = cv2.estimateAffinePartial2D(points[good], moved[good], ransacReprojThreshold=2.0)
                if fitted is not None and inliers.sum() >= _MIN_FEATURES:
                    matrix, places[t], found[t] = fitted, moved, good
            similar[t] = matrix
    return Flow(reference, points, places, found, similar)


def _followed(
    source: np.ndarray, target: np.ndarray, points: np.ndarray, guess: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where points [N, 2] of one gray picture are in another [N, 2] px, near a guess [N, 2]; and which were found."""
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        source, target, points[:, None].astype(np.float32), guess[:, None].astype(np.float32), winSize=(25, 25),
        maxLevel=levels, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )  # fmt: skip
    return moved[:, 0], status[:, 0] > 0


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
