"""The torso's own motion: feature tracks below the chin, turned into a rigid pose (a start for the photometric fit)."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from ..capture import faces
from ..data import Camera

_MIN_FEATURES = 12
_FACING = np.diag([1.0, -1.0, -1.0])  # world_from_head of a head that looks into the camera


def rest_torso(rotation: np.ndarray) -> np.ndarray:
    """[3, 3] torso rotation for head rotations [T, 3, 3]: half of the mean head turn, little of its nod."""
    turn = (Rotation.from_matrix(rotation).mean() * Rotation.from_matrix(_FACING).inv()).as_rotvec()
    return Rotation.from_rotvec(turn * np.array([0.3, 0.5, 0.0])).as_matrix() @ _FACING


def track_torso(
    frames: np.ndarray,
    matte: np.ndarray,
    landmarks: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    neck: np.ndarray,
    camera: Camera,
) -> tuple[np.ndarray, np.ndarray]:
    """Torso rotation [T, 3, 3] and translation [T, 3] m.

    Args:
        frames: [T, H, W, 3] uint8; matte: [T, H, W] uint8; landmarks: [T, 478, 3] px.
        rotation, translation: [T, 3, 3], [T, 3], the head's pose.
        neck: [3] m, base of the neck at rest, about which the torso turns.
    """
    count = len(frames)
    reference = count // 2
    base = rest_torso(rotation)
    seat = np.median(rotation @ neck + translation, axis=0)
    similar = _feature_motion(frames, matte, landmarks, reference)
    pixel = seat[:2] / seat[2] * camera.fx + [camera.cx, camera.cy]
    # The reference frame's neck may sit off its median place; undo every frame's motion to find the place at rest.
    at = (rotation @ neck + translation)[:, :2] / (rotation @ neck + translation)[:, 2:] * camera.fx + [
        camera.cx,
        camera.cy,
    ]
    undone = np.array([np.linalg.solve(m[:, :2], p - m[:, 2]) for m, p in zip(similar, at, strict=True)])
    pixel = np.median(undone, axis=0)
    scale = np.sqrt(np.abs(np.linalg.det(similar[:, :, :2])))
    depth = np.median((rotation @ neck + translation)[:, 2] * scale) / scale
    angle = np.arctan2(similar[:, 1, 0], similar[:, 0, 0])
    moved = similar[:, :, :2] @ pixel + similar[:, :, 2]
    place = np.concatenate([(moved - [camera.cx, camera.cy]) / camera.fx * depth[:, None], depth[:, None]], 1)
    turn = Rotation.from_rotvec(np.stack([np.zeros(count), np.zeros(count), angle], 1)).as_matrix()
    return turn @ base, place - neck


def _feature_motion(frames: np.ndarray, matte: np.ndarray, landmarks: np.ndarray, reference: int) -> np.ndarray:
    """[T, 2, 3] similarity from the reference frame to each frame, by pyramidal Lucas-Kanade and RANSAC."""
    identity = np.eye(2, 3)
    out = np.tile(identity, (len(frames), 1, 1))
    face = landmarks[reference, :468, :2]
    chin = landmarks[reference, faces.CHIN, 1]
    below = int(chin + 0.15 * (face[:, 1].max() - face[:, 1].min()))
    height, width = frames.shape[1:3]
    allowed = cv2.erode((matte[reference] > 200).astype(np.uint8), np.ones((7, 7), np.uint8))
    allowed[: min(below, height)] = 0
    if allowed.sum() < 0.01 * height * width:
        return out
    gray = cv2.cvtColor(np.ascontiguousarray(frames[reference]), cv2.COLOR_RGB2GRAY)
    points = cv2.goodFeaturesToTrack(gray, 400, 0.005, 5, mask=allowed)
    if points is None or len(points) < _MIN_FEATURES:
        return out
    for order in (range(reference + 1, len(frames)), range(reference - 1, -1, -1)):
        previous, guess = identity, points
        for t in order:
            now = cv2.cvtColor(np.ascontiguousarray(frames[t]), cv2.COLOR_RGB2GRAY)
            guess = (points[:, 0] @ previous[:, :2].T + previous[:, 2])[:, None].astype(np.float32)
            found, status, _ = cv2.calcOpticalFlowPyrLK(
                gray, now, points, guess.copy(), winSize=(25, 25), maxLevel=2, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
            )
            good = status[:, 0] > 0
            if good.sum() >= _MIN_FEATURES:
                matrix, inliers = cv2.estimateAffinePartial2D(points[good], found[good], ransacReprojThreshold=2.0)
                if matrix is not None and inliers.sum() >= _MIN_FEATURES:
                    previous = matrix
            out[t] = previous
    return out
