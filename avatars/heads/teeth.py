"""Two rows of teeth as closed bands, drawn along the guides that the base mesh carries in its mouth.

Every vertex is a fixed combination of guide vertices, so teeth follow identity, jaw and mouth as the guides do.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array, lil_matrix

# Rows of a band from the gum in front, over the biting edge, to the gum behind, as weights on a guide's four rows.
# The upper guide ends at the closed lips' line; incisors reach a little further down and stand before the lower ones.
_UPPER = (
    (1.0, 0.0, 0.0, 0.0),
    (0.0, 1.1, -0.1, 0.0),
    (0.0, -0.15, 1.15, 0.0),
    (0.0, -0.42, 1.22, 0.2),
    (0.0, -0.3, 0.3, 1.0),
    (0.6, -0.6, 0.0, 1.0),
)
_BACK = {"upper": (0.1, 0.3), "lower": (0.4, 0.5)}
"""Share of a tooth's thickness by which a row stands behind its guide: at the incisors, and at the molars."""
_LOWER = (
    (1.0, 0.0, 0.0, 0.0),
    (0.0, 1.0, 0.0, 0.0),
    (0.0, 0.0, 1.0, 0.0),
    (0.0, -0.2, 1.0, 0.2),
    (0.0, -0.5, 0.5, 1.0),
    (0.6, -0.6, 0.0, 1.0),
)
ROWS = len(_UPPER)


def guide_columns(quads: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Order a guide's grid: [columns, 4] vertex indices from the subject's right to its left.

    Each column runs gum in front, middle, biting edge, inside. `quads` [q, 4] are the guide's, `vertices` the mesh's.
    """
    column = _end_column(quads, vertices)
    columns, left = [column], [set(quad) for quad in quads.tolist()]
    while left:
        following = _next_column(columns[-1], left, quads)
        if following is None:
            break
        columns.append(following)
    grid = np.array(columns)
    if vertices[grid[0]].mean(0)[0] > vertices[grid[-1]].mean(0)[0]:
        grid = grid[::-1]
    # The inner end of a column lies nearer to the middle of the mouth than the outer end does.
    first, last = (np.abs(vertices[grid[[0, -1]]][:, k, 0]).mean() for k in (0, 3))
    return grid if first > last else grid[:, ::-1]


def _end_column(quads: np.ndarray, vertices: np.ndarray) -> list[int]:
    """The four vertices of one short side of the strip, in order along it."""
    count = np.bincount(quads.ravel())
    corners = [int(v) for v in np.flatnonzero(count == 1)]
    start = max(corners, key=lambda v: float(vertices[v, 0]))
    edges: dict[tuple[int, int], int] = {}
    for quad in quads.tolist():
        for a, b in zip(quad, quad[1:] + quad[:1], strict=True):
            edges[min(a, b), max(a, b)] = edges.get((min(a, b), max(a, b)), 0) + 1
    rim: dict[int, list[int]] = {}
    for (a, b), uses in edges.items():
        if uses == 1:
            rim.setdefault(a, []).append(b)
            rim.setdefault(b, []).append(a)
    for step in rim[start]:
        path = [start, step]
        while path[-1] not in corners:
            path.append(next(v for v in rim[path[-1]] if v != path[-2]))
        if len(path) == 4:
            return path
    raise ValueError("the teeth's guide is not a strip four vertices wide")


def _next_column(column: list[int], left: list[set[int]], quads: np.ndarray) -> list[int] | None:
    out: list[int] = []
    for a, b in pairwise(column):
        quad = next((q for q in left if a in q and b in q), None)
        if quad is None:
            return None
        left.remove(quad)
        ring = next(r for r in quads.tolist() if set(r) == quad)
        here = ring.index(a)
        beside = ring[(here + 1) % 4], ring[(here - 1) % 4]
        after = next(v for v in beside if v != b)
        if not out:
            out.append(after)
        out.append(next(v for v in ring if v not in (a, b, after)))
    return out


def teeth_weights(columns: np.ndarray, total: int, *, upper: bool) -> csr_array:
    """[ROWS * columns, total]: band vertices (row by row) from vertices."""
    out = lil_matrix((ROWS * len(columns), total))
    front, side = _BACK["upper" if upper else "lower"]
    for row, weights in enumerate(_UPPER if upper else _LOWER):
        for j, guide in enumerate(columns):
            outwards = abs(2 * j / (len(columns) - 1) - 1)
            back = front + (side - front) * min(2 * outwards, 1)
            blend = np.array(weights) + back * np.array([0.0, -1.0, 0.0, 1.0])
            for vertex, weight in zip(guide, blend, strict=True):
                out[row * len(columns) + j, vertex] += weight
    return out.tocsr()


def band_faces(columns: int, *, upper: bool) -> np.ndarray:
    """Triangles [F, 3] of a band, counter-clockwise from outside."""
    grid = np.arange(ROWS * columns).reshape(ROWS, columns)
    a, b, c, d = grid[:-1, :-1].ravel(), grid[:-1, 1:].ravel(), grid[1:, 1:].ravel(), grid[1:, :-1].ravel()
    faces = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])
    return faces if upper else faces[:, ::-1]


def band_uv(columns: int, *, upper: bool) -> np.ndarray:
    """[ROWS * columns, 2] in [0, 1]: along the arch and across the band, gum to gum."""
    v, u = np.meshgrid(
        np.linspace(1, 0, ROWS), np.linspace(0, 1, columns) if upper else np.linspace(1, 0, columns), indexing="ij"
    )
    return np.stack([u.ravel(), v.ravel()], 1)
