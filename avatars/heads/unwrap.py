"""A uv map without overlaps that spends its area where people look.

Charts with one outer border become rectangles by a weighted Tutte embedding: every inner vertex is a convex
combination of its neighbours, which on a convex border cannot fold (Floater 1997). The weights are adapted until the
stretch is even (Yoshizawa, Belyaev and Seidel 2004), with lengths magnified where importance is high.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.sparse.linalg import spsolve

_ROUNDS = 12
_BULGE = 0.02
"""The square's sides bend outwards by this much: on straight ones, triangles with three border corners vanish."""


def charts(corners: np.ndarray) -> np.ndarray:
    """[F] chart number of each triangle; `corners` [F, 3] are uv vertices."""
    count = int(corners.max()) + 1
    edges = np.concatenate([corners[:, :2], corners[:, 1:]])
    graph = coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count))
    return connected_components(graph, directed=False)[1][corners[:, 0]]


def cut_open(vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """[F, 3] uv vertex of each corner after a cut up the back of the head; seams of an old map [F, 3, 2] are kept.

    The seam is the shortest path along edges from the rear of the lowest border to the top.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    # Cheap at the back: the seam stays away from the face and from the ears.
    length = length * (1 + 40 * (np.abs(vertices[edges]).mean(1)[:, 0] + np.maximum(vertices[edges].mean(1)[:, 2], 0)))
    loops = border_loops(faces)
    lowest = min(loops, key=lambda loop: float(vertices[loop, 1].mean()))
    start = lowest[vertices[lowest, 2].argmin()]
    # Along a border it would cut triangles off.
    length = length * np.where(np.isin(edges, np.setdiff1d(np.concatenate(loops), [start])).any(1), 1e3, 1)
    graph = coo_matrix((length, edges.T), shape=(len(vertices),) * 2).tocsr()
    part = connected_components(graph, directed=False)[1]
    same = np.flatnonzero(part == part[start])
    top = same[vertices[same, 1].argmax()]
    before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)[1]
    seam = [int(top)]
    while seam[-1] != start:
        seam.append(int(before[seam[-1]]))
    return _corners(faces, {(min(a, b), max(a, b)) for a, b in pairwise(seam)}, uv)


def _corners(faces: np.ndarray, seam: set[tuple[int, int]], uv: np.ndarray) -> np.ndarray:
    """Corners glued across every shared edge that is not on the seam, where the old map [F, 3, 2] agrees."""
    beside: dict[tuple[int, int], tuple[int, int]] = {}
    links = []
    for f, triangle in enumerate(faces.tolist()):
        for k in range(3):
            a, b = triangle[k], triangle[(k + 1) % 3]
            other = beside.pop((b, a), None)
            if other is None:
                beside[a, b] = (3 * f + k, 3 * f + (k + 1) % 3)
            elif (min(a, b), max(a, b)) not in seam:
                links += [(3 * f + k, other[1]), (3 * f + (k + 1) % 3, other[0])]
    pairs = np.array(links)
    pairs = pairs[(uv.reshape(-1, 2)[pairs[:, 0]] == uv.reshape(-1, 2)[pairs[:, 1]]).all(1)]
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(faces.size,) * 2)
    return connected_components(graph, directed=False)[1].reshape(-1, 3)


def border_loops(faces: np.ndarray) -> list[np.ndarray]:
    """Closed borders of a consistently oriented mesh, each in order, longest (by count) first."""
    directed = {(int(a), int(b)) for t in faces for a, b in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))}
    following = {a: b for a, b in directed if (b, a) not in directed}
    loops = []
    while following:
        start = min(following)
        loop = [start]
        while following[loop[-1]] != start:
            loop.append(following[loop[-1]])
        for vertex in loop:
            del following[vertex]
        loops.append(np.array(loop))
    return sorted(loops, key=len, reverse=True)


def flatten(points: np.ndarray, faces: np.ndarray, importance: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Map one chart onto the unit square.

    Args:
        points: [n, 3] m.
        faces: [f, 3], one component; its longest border becomes the square's, other holes are spanned.
        importance: [n] relative density wanted at each vertex.
        guide: [n, 2] a rough layout that says which border vertices are the square's corners.

    Returns:
        [n, 2], within _BULGE of the unit square.
    """
    loops = border_loops(faces)
    outer, holes = loops[0], loops[1:]
    count = len(points)
    filled = [faces]
    for k, hole in enumerate(holes):  # a hub in each hole makes it a disk
        filled.append(np.stack([np.roll(hole, -1), hole, np.full(len(hole), count + k)], 1))
    solid = np.concatenate([points, *(points[hole].mean(0)[None] for hole in holes)])
    weight = np.concatenate([importance, *(importance[hole].mean()[None] for hole in holes)])
    mesh = np.concatenate(filled)
    fixed = _on_square(points, outer, guide, importance)
    scale = np.sqrt(weight[mesh].mean(1))
    ring = _neighbours(mesh, len(solid))
    flat = _solve(ring, outer, fixed, len(solid))
    best, least = flat, np.inf
    for _ in range(_ROUNDS):
        stretch, energy = _stretch(solid, mesh, scale, flat)
        if energy >= least:
            break
        best, least = flat, energy
        ring = csr_matrix((ring.data / stretch[ring.indices], ring.indices, ring.indptr), shape=ring.shape)
        flat = _solve(ring, outer, fixed, len(solid))
    return best[:count]


def _neighbours(faces: np.ndarray, count: int) -> csr_matrix:
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    graph = csr_matrix((np.ones(len(edges)), edges.T), shape=(count, count))
    graph.data[:] = 1.0
    return graph


def _solve(ring: csr_matrix, outer: np.ndarray, fixed: np.ndarray, count: int) -> np.ndarray:
    """Every vertex off the border at the weighted mean of its neighbours."""
    free = np.setdiff1d(np.arange(count), outer)
    total = np.asarray(ring.sum(1)).ravel()
    mean = csr_matrix((ring.data / np.repeat(total, np.diff(ring.indptr)), ring.indices, ring.indptr), shape=ring.shape)
    out = np.zeros((count, 2))
    out[outer] = fixed
    lhs = -mean[free][:, free]
    lhs.setdiag(1.0)
    rhs = mean[free][:, outer] @ fixed
    for axis in range(2):
        out[free, axis] = spsolve(lhs.tocsc(), rhs[:, axis])
    return out


def _stretch(points: np.ndarray, faces: np.ndarray, scale: np.ndarray, flat: np.ndarray) -> tuple[np.ndarray, float]:
    """Stretch [n] about each vertex, and the whole map's (Sander et al. 2001, L2), normalised by total areas."""
    a, b, c = (points[faces[:, k]] * scale[:, None] for k in range(3))
    (u1, v1), (u2, v2), (u3, v3) = (flat[faces[:, k]].T for k in range(3))
    area2 = np.maximum((u2 - u1) * (v3 - v1) - (u3 - u1) * (v2 - v1), 1e-12)
    along_u = (a * (v2 - v3)[:, None] + b * (v3 - v1)[:, None] + c * (v1 - v2)[:, None]) / area2[:, None]
    along_v = (a * (u3 - u2)[:, None] + b * (u1 - u3)[:, None] + c * (u2 - u1)[:, None]) / area2[:, None]
    squared = ((along_u**2).sum(1) + (along_v**2).sum(1)) / 2
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    squared *= (area2.sum() / 2) / area.sum()
    top, bottom = (np.zeros(len(points)) for _ in range(2))
    for k in range(3):
        top += np.bincount(faces[:, k], area * squared, len(points))
        bottom += np.bincount(faces[:, k], area, len(points))
    energy = float((area * squared).sum() / area.sum())
    return np.sqrt(np.maximum(top / np.maximum(bottom, 1e-20), 1e-8)), energy


def _on_square(points: np.ndarray, loop: np.ndarray, guide: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """Border vertices [len(loop), 2] spread along the unit square by magnified length, corners where the guide says."""
    rough = guide[loop] - guide[loop].mean(0)
    rough = rough / np.abs(rough).max(0)
    signed = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    corners = (rough @ signed.T).argmax(0)
    turn = np.roll(np.arange(len(loop)), -corners[0])
    loop = loop[turn]
    starts = np.sort((corners - corners[0]) % len(loop))
    step = np.linalg.norm(points[np.roll(loop, -1)] - points[loop], axis=1) * np.sqrt(importance[loop])
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    outward = np.array([[0.0, -1.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    out = np.zeros((len(loop), 2))
    for k in range(4):
        first, last = starts[k], starts[k + 1] if k < 3 else len(loop)
        lengths = np.concatenate([[0.0], np.cumsum(step[first:last])])
        t = (lengths / lengths[-1])[:-1, None]
        out[first:last] = (1 - t) * square[k] + t * square[(k + 1) % 4] + _BULGE * 4 * t * (1 - t) * outward[k]
    back = np.empty_like(out)
    back[turn] = out
    return back
