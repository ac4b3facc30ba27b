"""The uv map turned inside out: which point of the head each texel shows, so that paint is mixed in space."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from ..heads.head import Head
from ..raster.mesh import rasterize_mesh


class Texels:
    """The n used texels of a square texture.

    Args:
        head: one person's head.
        size: side of the texture.
    """

    def __init__(self, head: Head, size: int) -> None:
        self.head, self.size = head, size
        corners = head.uv.reshape(-1, 2) * size
        points = np.concatenate([corners, np.ones((len(corners), 1))], 1)
        drawn = rasterize_mesh(points, np.arange(len(corners)).reshape(-1, 3), size, size)
        face = drawn.face.ravel()
        self.index = np.flatnonzero(face >= 0)
        self.corners = head.faces[face[self.index]]
        self.weights = drawn.barycentric.reshape(-1, 3)[self.index]
        self.position = self.of_vertices(head.template)
        """[n, 3] m."""
        rank = np.zeros(size * size, np.int32)
        rank[self.index] = np.arange(len(self.index))
        near: Any = distance_transform_edt(face.reshape(size, size) < 0, return_distances=False, return_indices=True)
        self._source = rank.reshape(size, size)[near[0], near[1]]
        self._inside = (face >= 0).reshape(size, size)

    def of_vertices(self, values: np.ndarray) -> np.ndarray:
        """Vertex values [V, ...] at the texels [n, ...], float32."""
        values = values.astype(np.float32)
        total = sum(values[self.corners[:, k]].T * self.weights[:, k] for k in range(3))
        return np.ascontiguousarray(np.asarray(total).T)

    def region(self, *names: str) -> np.ndarray:
        """[n] in [0, 1]: share of the texel's triangle that lies in one of these regions."""
        return self.of_vertices(np.logical_or.reduce([self.head.regions[name] for name in names]))

    def image(self, values: np.ndarray) -> np.ndarray:
        """[size, size, ...] from [n, ...]; unused texels repeat the nearest used one, so that no seam shows."""
        return values[self._source]

    def slope(self, height: np.ndarray) -> np.ndarray:
        """Gradient [n, 3] of a height field [n] (m) along the surface of the unposed head; zero at chart borders."""
        h, p = self.image(height), self.image(self.position)
        hu, hv = np.gradient(h, axis=1), np.gradient(h, axis=0)
        pu, pv = np.gradient(p, axis=1), np.gradient(p, axis=0)
        uu, vv, uv = (pu * pu).sum(-1), (pv * pv).sum(-1), (pu * pv).sum(-1)
        area = np.maximum(uu * vv - uv * uv, 1e-20)
        out = pu * ((vv * hu - uv * hv) / area)[..., None] + pv * ((uu * hv - uv * hu) / area)[..., None]
        inside = self._inside.copy()
        for axis in (0, 1):
            for step in (-1, 1):
                inside &= np.roll(self._inside, step, axis)
        # Where a texel spans centimetres (hidden folds) a slope means nothing.
        sane = inside & (np.maximum(uu, vv) < 0.004**2)
        return (out * sane[..., None]).reshape(-1, 3)[self.index].astype(np.float32)
