"""How much of the sky each point of a mesh sees: ambient occlusion, and what it does to a colour."""

from __future__ import annotations

import numpy as np

from ..raster.mesh import rasterize_mesh
from .surface import vertex_normals

_DIRECTIONS, _PIXELS = 64, 512
_FAR = 10.0
"""m from the mesh to where it is looked at from: rays are all but parallel."""
_RISE = 0.0015
"""m along the normal from which a point looks out, so that its own triangles do not shade it; about a pixel."""
_GAMMA = 2.2


def openness(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V] share of the hemisphere over each vertex, weighted by the cosine, that no triangle hides.

    Args:
        vertices: [V, 3] m. Inside a closed mesh nothing is open. Where a vertex has no area around it, 1.
    """
    normal = vertex_normals(vertices, faces)
    place = vertices + _RISE * normal
    middle = (vertices.min(0) + vertices.max(0)) / 2
    reach = float(np.linalg.norm(vertices - middle, axis=1).max()) + 2 * _RISE
    seen, most = np.zeros(len(vertices)), np.zeros(len(vertices))
    for way in _sphere(_DIRECTIONS):
        across = np.cross((0.0, 1.0, 0.0) if abs(way[1]) < 0.9 else (1.0, 0.0, 0.0), way)
        across /= np.linalg.norm(across)
        axes = np.stack([across, np.cross(way, across), -way])
        scale, origin = np.array([1, 1, 0]) * _PIXELS / (2 * reach) + [0, 0, 1], [_PIXELS / 2, _PIXELS / 2, _FAR]
        depth = rasterize_mesh((vertices - middle) @ axes.T * scale + origin, faces, _PIXELS, _PIXELS).depth
        looking = (place - middle) @ axes.T * scale + origin
        column, row = looking[:, :2].astype(int).clip(0, _PIXELS - 1).T
        before = depth[row, column]  # 0 where there is nothing
        cosine = np.maximum(normal @ way, 0)
        seen += cosine * ((before == 0) | (looking[:, 2] <= before))
        most += cosine
    return np.where(most > 0, seen / np.maximum(most, 1e-9), 1.0)


def shaded(color: np.ndarray, share: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Colours [n, 3] (sRGB) of surfaces that are `share` [n] open, from what they are where `usual` [n] is open; never
    brighter.

    Light that bounces within a hollow fills it in the surface's own colour: the fit of Jimenez et al., "Practical
    real-time strategies for accurate indirect occlusion" (2016).
    """
    albedo = np.clip(color, 0, 1) ** _GAMMA
    ratio = _bounced(share[:, None], albedo) / np.maximum(_bounced(usual[:, None], albedo), 1e-6)
    return color * np.clip(ratio, 0, 1) ** (1 / _GAMMA)


def _bounced(share: np.ndarray, albedo: np.ndarray) -> np.ndarray:
    a, b, c = 2.0404 * albedo - 0.3324, -4.7951 * albedo + 0.6417, 2.7552 * albedo + 0.6903
    return np.maximum(share, ((share * a + b) * share + c) * share)


def _sphere(count: int) -> np.ndarray:
    """[count, 3] directions spread evenly (a spiral by the golden angle)."""
    at = np.arange(count) + 0.5
    height, turn = 1 - 2 * at / count, np.pi * (1 + 5**0.5) * at
    around = np.sqrt(1 - height**2)
    return np.stack([around * np.cos(turn), height, around * np.sin(turn)], 1)
