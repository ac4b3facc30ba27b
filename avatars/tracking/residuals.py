"""The head's landmarks as a function of identity, expression and pose, with derivatives (NumPy, float64)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from ..capture import faces
from ..heads.head import Head
from .habit import ASPECTS, Habit


@dataclass(frozen=True)
class LandmarkModel:
    """The few surface points of a head that a detector sees; L landmarks, the rest of the letters as in data.py."""

    mean: np.ndarray
    """[L, 3] m."""
    identity: np.ndarray
    """[S, L, 3] m per standard deviation."""
    expression: np.ndarray
    """[E, L, 3] m per unit."""
    joint_weight: np.ndarray
    """[J, L] share of each turning joint (jaw, eyes) in each landmark."""
    joint: np.ndarray
    """[J, 3] m, rest positions."""
    joint_identity: np.ndarray
    """[S, J, 3] m per standard deviation."""
    joint_axis: np.ndarray
    """[E, J, 3] rad per unit of expression."""
    valid: np.ndarray
    """[L] bool."""
    low: np.ndarray
    high: np.ndarray
    aspect: np.ndarray
    """[ASPECTS, L, 3] m per unit of each of `habit.aspects`."""

    @staticmethod
    def of(head: Head) -> LandmarkModel:
        """Cut the landmark rows out of a head."""
        valid = head.landmark_faces >= 0
        corners = head.faces[np.where(valid, head.landmark_faces, 0)]
        weights = head.landmark_barycentric.astype(float)

        def at(field: np.ndarray) -> np.ndarray:
            return np.einsum("...lcd,lc->...ld", field[..., corners, :].astype(float), weights)

        skin = np.einsum("lcj,lc->jl", head.skinning[corners].astype(float), weights)
        turning = [head.joint_names.index(name) for name in ("jaw", "eye_l", "eye_r")]
        return LandmarkModel(
            mean=at(head.template),
            identity=at(head.identity_basis),
            expression=at(head.expression_basis),
            joint_weight=skin[turning],
            joint=head.joints[turning].astype(float),
            joint_identity=head.joint_identity[:, turning].astype(float),
            joint_axis=head.joint_from_expression[:, turning].astype(float),
            valid=valid,
            low=head.expression_low.astype(float),
            high=head.expression_high.astype(float),
            aspect=np.zeros((ASPECTS, len(valid), 3)),
        )

    @staticmethod
    def detected(head: Head) -> LandmarkModel:
        """The same where a detector sees them (see `Habit`)."""
        model, habit = LandmarkModel.of(head), Habit.of(head)
        return replace(
            model,
            mean=model.mean + habit.offset,
            expression=model.expression + habit.expression,
            aspect=habit.aspect,
        )

    def points(self, identity: np.ndarray, expression: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Landmarks in head coordinates [T, L, 3] for expressions [T, E] and offsets [L, 3]."""
        rest = self.mean + offsets + np.tensordot(identity, self.identity, 1)
        still = rest + np.tensordot(expression, self.expression, 1)
        return self._turn(still, identity, expression)

    @property
    def turned(self) -> np.ndarray:
        """Indices of the landmarks that a joint carries; all others move linearly with expression."""
        moving = np.abs(self.joint_axis).sum((0, 2)) > 0
        return np.flatnonzero((self.joint_weight[moving] > 1e-6).any(0))

    def turned_derivative(self, identity: np.ndarray, points: np.ndarray) -> np.ndarray:
        """d points / d expression of the landmarks in `turned`: [T, len, 3, E], joints linearised at their angle."""
        rows = self.turned
        out = np.tile(self.expression[:, rows].transpose(1, 2, 0), (len(points), 1, 1, 1))
        centers = self.joint + np.tensordot(identity, self.joint_identity, 1)
        for j in range(len(self.joint)):
            for e in np.flatnonzero(np.abs(self.joint_axis[:, j]).sum(-1)):
                arm = points[:, rows] - centers[j]
                out[..., e] += self.joint_weight[j, rows][:, None] * np.cross(self.joint_axis[e, j], arm)
        return out

    def _turn(self, still: np.ndarray, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        centers = self.joint + np.tensordot(identity, self.joint_identity, 1)
        out = still.copy()
        for j in range(len(self.joint)):
            touched = self.joint_weight[j] > 1e-6
            angle = expression @ self.joint_axis[:, j]
            if not touched.any() or not np.abs(angle).any():
                continue
            turned = np.einsum("tij,tlj->tli", Rotation.from_rotvec(angle).as_matrix(), still[:, touched] - centers[j])
            out[:, touched] += self.joint_weight[j, touched][:, None] * (turned + centers[j] - still[:, touched])
        return out


def landmark_weights(valid: np.ndarray) -> np.ndarray:
    """[478] weight of each landmark's squared error: what people look at counts most."""
    weights = np.ones(len(valid))
    weights[list(faces.LIPS)] = 2.0
    weights[list(faces.EYE_L) + list(faces.EYE_R)] = 3.2
    weights[list(faces.IRIS_L) + list(faces.IRIS_R)] = 2.0
    weights[list(faces.OVAL)] = 1.0
    return weights * valid


def contour_directions(landmarks: np.ndarray) -> np.ndarray:
    """[T, 478, 2] unit tangents of the face contour in the image, zero for all other landmarks.

    A detector's contour points slide along the silhouette as the head turns, so their error along it means little.
    """
    out = np.zeros((*landmarks.shape[:2], 2))
    ring = _ordered_oval(landmarks)
    points = landmarks[:, ring, :2]
    tangent = np.roll(points, -1, 1) - np.roll(points, 1, 1)
    out[:, ring] = tangent / np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-6)
    return out


def _ordered_oval(landmarks: np.ndarray) -> np.ndarray:
    """Contour landmarks by angle about their centre, in the mean frame."""
    oval = np.array(sorted(faces.OVAL))
    center = landmarks[:, oval, :2].mean(0) - landmarks[:, oval, :2].mean((0, 1))
    return oval[np.argsort(np.arctan2(center[:, 1], center[:, 0]))]
