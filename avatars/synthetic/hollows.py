"""Where light hardly gets: eyeballs under lids and the inside of the mouth, which the face opens and closes."""

from __future__ import annotations

import numpy as np

from ..capture import faces as mesh
from ..heads.head import Head
from .noise import smoothstep

_INSIDE = ("mouth_interior", "tongue", "teeth_upper", "teeth_lower")


class Hollows:
    """Darkness of one head's vertices, as it depends on the lids and lips."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._mouth = np.flatnonzero(np.logical_or.reduce([head.regions[name] for name in _INSIDE]))
        self._balls = [np.flatnonzero(head.regions[f"eyeball_{side}"]) for side in "lr"]
        self.inside = np.zeros(len(head.template), bool)
        """[V]: what lies in a hollow."""
        self.inside[np.concatenate([self._mouth, *self._balls])] = True
        self._lids = []
        for ring in (mesh.EYE_L, mesh.EYE_R):
            self._lids.append((self._mix(ring[0], *ring[:8:-1], ring[8]), self._mix(*ring[:9])))
        self._lips = self._mix(13, 14, 78, 308, 0, 17)

    def _mix(self, *landmarks: int) -> tuple[np.ndarray, np.ndarray]:
        head = self._head
        return head.faces[head.landmark_faces[list(landmarks)]], head.landmark_barycentric[list(landmarks)].astype(
            np.float32
        )

    def light(self, vertices: np.ndarray) -> np.ndarray:
        """Share of light [V] that reaches posed vertices [V, 3] m."""
        out = np.ones(len(vertices), np.float32)
        for ball, (top, bottom) in zip(self._balls, self._lids, strict=True):
            above, below = (_nearest(vertices[ball], _seat(vertices, edge)) for edge in (top, bottom))
            out[ball] = (0.30 + 0.70 * smoothstep(0.0005, 0.0050, above)) * (
                0.75 + 0.25 * smoothstep(0.0, 0.0025, below)
            )
        upper, lower, right, left, front, under = _seat(vertices, self._lips)
        outward = np.cross(left - right, front - under)
        outward /= np.linalg.norm(outward)
        if outward @ ((front + under) / 2 - vertices.mean(0)) < 0:
            outward = -outward
        gap = np.asarray(np.linalg.norm(upper - lower))
        depth = (((upper + lower + right + left) / 4) - vertices[self._mouth]) @ outward
        out[self._mouth] = np.exp(-np.clip(depth - 0.012, 0, None) / 0.016) * (
            0.3 + 0.7 * smoothstep(0.001, 0.010, gap)
        )
        return out


def _seat(vertices: np.ndarray, mix: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    faces, weights = mix
    return (vertices[faces] * weights[..., None]).sum(1)


def _nearest(points: np.ndarray, edge: np.ndarray) -> np.ndarray:
    dense = np.concatenate([edge, (edge[1:] + edge[:-1]) / 2])
    return np.linalg.norm(points[:, None] - dense[None], axis=2).min(1)
