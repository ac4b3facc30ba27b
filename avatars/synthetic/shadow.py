"""What stands in the light's way: shadow maps of a far lamp, and ambient occlusion baked from many of them."""

from __future__ import annotations

import numpy as np

from ..raster.mesh import rasterize_mesh

_FAR = 1000.0
"""m added to depths, so that perspective-correct interpolation is as good as linear."""
_TAPS = [(dx, dy) for dx in (-2, -1, 0, 1, 2) for dy in (-2, -1, 0, 1, 2)]


class ShadowMap:
    """Depth of a scene as seen from a far lamp.

    Args:
        vertices: [n, 3] m.
        faces: [f, 3].
        light: [3] unit, towards the lamp.
        size: side of the map, px.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, light: np.ndarray, size: int) -> None:
        helper = np.array([0.0, 1.0, 0.0]) if abs(light[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
        right = np.cross(helper, light)
        right /= np.linalg.norm(right)
        self._axes = np.stack([right, np.cross(light, right), -light], 1).astype(np.float32)
        seen = vertices @ self._axes
        low, high = seen[:, :2].min(0), seen[:, :2].max(0)
        self._scale, self._low, self.size = (size - 6) / float((high - low).max()), low, size
        self.texel = 1 / self._scale
        self._depth = rasterize_mesh(self._place(seen), faces, size, size).depth
        self._depth[self._depth == 0] = np.inf

    def _place(self, seen: np.ndarray) -> np.ndarray:
        return np.concatenate([(seen[:, :2] - self._low) * self._scale + 3, seen[:, 2:] + _FAR], 1)

    def lit(self, points: np.ndarray, bias: float | np.ndarray, soft: bool = True) -> np.ndarray:
        """Share of the lamp [k] in [0, 1] that reaches points [k, 3] m, which may lie `bias` m under a surface."""
        at = self._place(points @ self._axes)
        column, row = at[:, 0].astype(int), at[:, 1].astype(int)
        taps = _TAPS if soft else [(0, 0)]
        total = np.zeros(len(points), np.float32)
        for dx, dy in taps:
            x, y = np.clip(column + dx, 0, self.size - 1), np.clip(row + dy, 0, self.size - 1)
            total += self._depth[y, x] > at[:, 2] - bias
        return total / len(taps)


def bake_occlusion(
    vertices: np.ndarray, faces: np.ndarray, points: np.ndarray, normals: np.ndarray, directions: int = 48
) -> np.ndarray:
    """Share [k] of the light from all around that reaches points [k, 3] with normals [k, 3]."""
    index = np.arange(directions) + 0.5
    polar, turn = np.arccos(1 - 2 * index / directions), np.pi * (1 + 5**0.5) * index  # an even spiral on the sphere
    toward = np.stack([np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)], 1)
    reached, total = np.zeros(len(points)), np.full(len(points), 1e-6)
    for light in toward:
        facing = np.clip(normals @ light, 0, 1)
        seen = ShadowMap(vertices, faces, light, 200)
        slope = np.sqrt(1 - facing**2) / np.maximum(facing, 0.2)  # depth within one texel of a tilted surface
        reached += facing * seen.lit(points + 0.002 * normals, 0.001 + slope * seen.texel, soft=False)
        total += facing
    return (reached / total).astype(np.float32)
