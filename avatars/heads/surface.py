"""Points on a triangle mesh: closest points and vertex normals (NumPy)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial import KDTree


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3], triangles weighted by area; zero where a vertex has no area around it."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    flat = np.cross(b - a, c - a)
    out = np.zeros_like(vertices)
    for k in range(3):
        for axis in range(3):
            out[:, axis] += np.bincount(faces[:, k], flat[:, axis], len(vertices))
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-20)


def neighbour_mean(faces: np.ndarray, count: int) -> csr_matrix:
    """[count, count] matrix that takes each vertex's value to the mean over the vertices it shares an edge with."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    degree = np.maximum(np.bincount(edges[:, 0], minlength=count), 1)
    return csr_matrix((1.0 / degree[edges[:, 0]], edges.T), shape=(count, count))


def closest_on_triangles(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Barycentrics [n, m, 3] of the point of each triangle [n, m, 3, 3] that is closest to points [n, 3].

    The plane's foot point where it lies inside, else the best of the three edges' closest points.
    """
    a, b, c = triangles[..., 0, :], triangles[..., 1, :], triangles[..., 2, :]
    p = points[:, None, :]
    normal = np.cross(b - a, c - a)
    area = np.maximum((normal**2).sum(-1), 1e-30)
    inside = np.stack(
        [
            (np.cross(c - b, p - b) * normal).sum(-1) / area,
            (np.cross(a - c, p - c) * normal).sum(-1) / area,
            (np.cross(b - a, p - a) * normal).sum(-1) / area,
        ],
        -1,
    )
    best = inside
    distance = np.where((inside >= 0).all(-1), 0.0, np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, edge = triangles[..., i, :], triangles[..., j, :] - triangles[..., i, :]
        t = np.clip(((p - start) * edge).sum(-1) / np.maximum((edge**2).sum(-1), 1e-30), 0, 1)
        gap = ((start + t[..., None] * edge - p) ** 2).sum(-1)
        weights = np.zeros_like(inside)
        weights[..., i], weights[..., j] = 1 - t, t
        better = gap < distance
        best = np.where(better[..., None], weights, best)
        distance = np.where(better, gap, distance)
    return best


def closest_on_mesh(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, allowed: np.ndarray | None = None, candidates: int = 40
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Closest surface points.

    Args:
        points: [n, 3].
        vertices, faces: the mesh.
        allowed: [F] bool, triangles that may be hit.
        candidates: how many triangles, nearest by their middle, are examined.

    Returns:
        Triangle [n], barycentrics [n, 3], distance [n].
    """
    index = np.arange(len(faces)) if allowed is None else np.flatnonzero(allowed)
    corners = vertices[faces[index]]
    near = KDTree(corners.mean(1)).query(points, k=min(candidates, len(index)))[1].reshape(len(points), -1)
    weights = closest_on_triangles(points, corners[near])
    hits = np.einsum("nmkd,nmk->nmd", corners[near], weights)
    distance = np.linalg.norm(hits - points[:, None], axis=-1)
    best = distance.argmin(1)
    rows = np.arange(len(points))
    return index[near[rows, best]], weights[rows, best], distance[rows, best]
