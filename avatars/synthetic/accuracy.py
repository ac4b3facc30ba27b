"""How far a tracked head is from the true one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ..data import Track
from ..errors import InputError
from ..heads.head import Head
from .truth import GroundTruth, vertices_of


@dataclass(frozen=True)
class TrackingErrors:
    """Errors of the T tracked frames."""

    rotation_deg: np.ndarray
    """[T] angle by which the tracked face must be turned to lie on the true one as well as it can."""
    wobble_deg: np.ndarray
    """[T] the same after the best constant turn (in the head's own frame) is taken out."""
    bone_deg: np.ndarray
    """[T] angle between the tracked and the true head's frame. Identity axes may tilt a face within its frame, so
    part of it says nothing about where the face is."""
    translation: np.ndarray
    """[T] distance between the middles of the tracked and of the true face, best common scale taken out, per true
    distance from the camera."""
    vertices_m: np.ndarray
    """[T] mean distance over the face region after a similarity alignment of each frame."""
    gaze_deg: np.ndarray
    """[T, 2] angle between the directions in which the tracked and the true eyeball look, in camera coordinates; left
    and right eye."""
    focal_ratio: float
    """Tracked focal length over the true one, in units of the picture's width."""

    def summary(self) -> dict[str, float]:
        """Means, in degrees, per cent and millimetres."""
        return {
            "rotation_deg": float(self.rotation_deg.mean()),
            "wobble_deg": float(self.wobble_deg.mean()),
            "bone_deg": float(self.bone_deg.mean()),
            "translation_percent": float(100 * self.translation.mean()),
            "vertices_mm": float(1e3 * self.vertices_m.mean()),
            "gaze_deg": float(self.gaze_deg.mean()),
            "focal_ratio": self.focal_ratio,
        }


def tracking_errors(track: Track, truth: GroundTruth, head: Head, person: Head | None = None) -> TrackingErrors:
    """Compare a track of a synthetic video with the truth.

    Args:
        track: made from that video with `head`.
        head: with its identity basis.
        person: the avatar's head, for the refined track of an avatar.

    Raises:
        InputError: the track has no frame of the video.
        FileFormatError: track or truth belong to another head.
    """
    rows = track.frame
    if not len(rows) or rows.max() >= len(truth.track.frame):
        raise InputError("The track is not of this video")
    region = head.regions["face"]
    posed, true_posed = vertices_of(track, head, person=person), truth.vertices(head, rows)
    tracked, real = (vertices[:, region].astype(float) for vertices in (posed, true_posed))
    looks = gaze(person or head.shape(track.identity), posed)
    true_looks = gaze(head.shape(truth.track.identity), true_posed)
    moves = [align(a, b) for a, b in zip(tracked, real, strict=True)]
    true = Rotation.from_rotvec(truth.track.rotation[rows])
    bone = true.inv() * Rotation.from_rotvec(track.rotation)
    apart = true.inv() * Rotation.from_matrix([m.rotation for m in moves]).inv() * true
    t, s = tracked.mean(1), real.mean(1)
    scale = float((t * s).sum() / (t * t).sum())
    ratio = (track.camera.fx / track.camera.width) / (truth.track.camera.fx / truth.track.camera.width)
    return TrackingErrors(
        rotation_deg=np.degrees(apart.magnitude()),
        wobble_deg=np.degrees((apart * apart.mean().inv()).magnitude()),
        bone_deg=np.degrees(bone.magnitude()),
        translation=np.linalg.norm(scale * t - s, axis=1) / np.linalg.norm(s, axis=1),
        vertices_m=np.array(
            [np.linalg.norm(m(a) - b, axis=1).mean() for m, a, b in zip(moves, tracked, real, strict=True)]
        ),
        gaze_deg=np.degrees(np.arccos(np.clip((looks * true_looks).sum(-1), -1, 1))),
        focal_ratio=float(ratio),
    )


def gaze(head: Head, posed: np.ndarray) -> np.ndarray:
    """[T, 2, 3] unit directions in which the left and the right eyeball look, of vertices [T, V, 3].

    A head at rest looks along its z axis, and so do its eyeballs; where they look then is how they were turned.

    Args:
        head: whose vertices were posed.
    """
    out = np.empty((len(posed), 2, 3))
    for k, name in enumerate(("eyeball_l", "eyeball_r")):
        ball = head.regions[name]
        for row, vertices in enumerate(posed[:, ball].astype(float)):
            out[row, k] = align(head.template[ball].astype(float), vertices).rotation[:, 2]
    return out


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation @ x + translation."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Transformed points [n, 3]."""
        return self.scale * points @ self.rotation.T + self.translation


def align(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity that takes points [n, 3] nearest to others [n, 3], in least squares (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.linalg.det(u @ vt)])
    rotation = (u * sign) @ vt
    scale = float((s * sign).sum() / (a * a).sum())
    return Similarity(scale, rotation, target.mean(0) - scale * rotation @ source.mean(0))
