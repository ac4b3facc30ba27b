"""A crew-neck shirt: a shell around the torso, cut at a neckline, prolonged beyond the shoulders; and its cloth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, identity, vstack
from scipy.spatial import KDTree

from ..heads.head import Head
from ..heads.surface import neighbour_mean, vertex_normals
from ..heads.unwrap import border_loops
from .look import Look, linear
from .noise import field, smoothstep

TILE = 256
"""Side of the woven pattern's picture, px."""
TILE_SIZE = 0.096
"""m that the picture covers; it repeats."""
_AWAY = 0.006
"""m between skin and cloth."""
_COLLAR = 0.016
"""m of ribbing below the neckline."""
_ROWS, _STEP = 7, 0.04
"""Rows by which shell and sleeves are prolonged, and their length in m."""


@dataclass(frozen=True)
class Clothes:
    """The shirt at rest."""

    vertices: np.ndarray
    """[n, 3] m."""
    faces: np.ndarray
    """[f, 3], outside counter-clockwise."""
    skinning: np.ndarray
    """[n, J]."""
    uv: np.ndarray
    """[n, 2] m, along the body and up."""
    collar: np.ndarray
    """[n] in [0, 1]: share of ribbing."""
    tile: np.ndarray
    """[TILE, TILE, 3] float32 linear."""
    trim: np.ndarray
    """[3] linear: colour of the ribbing."""


def sew(head: Head, look: Look, rng: np.random.Generator) -> Clothes:
    """The shirt of one person."""
    neck = head.joints[0]
    slope, front = -0.34, rng.uniform(-0.048, -0.034)

    def above(p: np.ndarray) -> np.ndarray:
        """Height above the neckline [n] m: lowest in front, rising towards the shoulders."""
        return p[:, 1] - (neck[1] + front + slope * (p[:, 2] - neck[2] - 0.075) + 5.0 * p[:, 0] ** 2)

    torso = head.faces[
        (above(head.template)[head.faces].min(1) < 0)
        & (head.regions["neck"] | head.regions["shoulders"])[head.faces].all(1)
    ]
    mix, faces = _subdivide(torso, len(head.template))
    mix, faces = _clip(mix, faces, above(mix @ head.template))
    points, skinning = mix @ head.template, mix @ head.skinning
    normals = vertex_normals(points, faces)
    loops = border_loops(faces)
    neckline = max(loops, key=lambda loop: float(points[loop, 1].mean()))
    height = -KDTree(points[neckline]).query(points)[0]
    fold = field(points * (1.0, 0.55, 1.0), 0.07, rng, 2) * smoothstep(0.0, -0.06, height)
    shell = points + normals * (_AWAY + 0.003 * fold + 0.004 * smoothstep(-0.02, -0.08, height))[:, None]
    draped = _drape(shell, faces, height)
    clear = ((draped - points) * normals).sum(1)
    shell = draped + normals * np.clip(_AWAY - clear, 0, None)[:, None]  # smoothing sinks into shoulders
    faces, shell, source = _hem(faces, shell, normals, neckline)
    for loop in loops:
        if loop is not neckline:
            faces, shell, source = _prolong(faces, shell, source, loop)
    around = np.arctan2(shell[:, 0], shell[:, 2] - neck[2] + 0.02) * 0.17
    return Clothes(
        vertices=shell.astype(np.float32),
        faces=faces.astype(np.int32),
        skinning=skinning[source].astype(np.float32),
        uv=np.stack([around, shell[:, 1]], 1).astype(np.float32),
        collar=smoothstep(-_COLLAR, -_COLLAR + 0.0015, height[source]).astype(np.float32),
        tile=weave(look, rng),
        trim=linear(np.array(look.trim)),
    )


def _subdivide(faces: np.ndarray, count: int) -> tuple[csr_matrix, np.ndarray]:
    """Split each triangle in four: ([count + edges, count] combinations, triangles)."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    n = len(unique)
    middles = csr_matrix((np.full(2 * n, 0.5), (np.repeat(np.arange(n), 2), unique.ravel())), shape=(n, count))
    ab, bc, ca = (count + part for part in inverse.reshape(3, -1))
    a, b, c = faces.T
    split = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return csr_matrix(vstack([identity(count, format="csr"), middles])), split


def _clip(mix: csr_matrix, faces: np.ndarray, level: np.ndarray) -> tuple[csr_matrix, np.ndarray]:
    """The part of a mesh where `level` is negative, cut along the zero line; unused vertices are dropped."""
    inside = level < 0
    within = inside[faces].sum(1)
    out = [faces[within == 3]]
    rows, columns, values = [], [], []
    cuts: dict[tuple[int, int], int] = {}

    def cut(a: int, b: int) -> int:
        """The vertex on the edge from a (inside) to b (outside)."""
        if (a, b) not in cuts:
            share = level[a] / (level[a] - level[b])
            rows.extend([len(cuts)] * 2)
            columns.extend([a, b])
            values.extend([1 - share, share])
            cuts[a, b] = len(level) + len(cuts)
        return cuts[a, b]

    new: list[tuple[int, int, int]] = []
    for face in faces[(within == 1) | (within == 2)]:
        lone = int(np.flatnonzero(inside[face] == (inside[face].sum() == 1))[0])
        a, b, c = (int(v) for v in np.roll(face, -lone))
        if inside[a]:
            new.append((a, cut(a, b), cut(a, c)))
        else:
            p, q = cut(b, a), cut(c, a)
            new += [(p, b, c), (p, c, q)]
    out.append(np.array(new, int).reshape(-1, 3))
    joined = np.concatenate(out)
    whole = vstack([mix, csr_matrix((values, (rows, columns)), shape=(len(cuts), len(level))) @ mix]).tocsr()
    used, faces = np.unique(joined, return_inverse=True)
    return csr_matrix(whole[used]), faces.reshape(-1, 3)


def _drape(shell: np.ndarray, faces: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Even out the body's relief under the cloth, the neckline kept."""
    mean = neighbour_mean(faces, len(shell))
    share = 0.5 * smoothstep(-0.004, -0.03, height)[:, None]
    border = np.zeros(len(shell), bool)
    border[np.concatenate(border_loops(faces))] = True
    share[border] = 0
    for _ in range(12):
        shell = shell + share * (mean @ shell - shell)
    return shell


def _hem(
    faces: np.ndarray, shell: np.ndarray, normals: np.ndarray, loop: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn the cloth in at the neckline; returns faces, vertices and the vertex that each one copies."""
    rows = [shell[loop] + 0.0012 * normals[loop] + (0, 0.0015, 0), shell[loop] - 0.007 * normals[loop] - (0, 0.003, 0)]
    return _strips(faces, shell, np.arange(len(shell)), loop, rows)


def _prolong(
    faces: np.ndarray, shell: np.ndarray, source: np.ndarray, loop: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Go on beyond the torso's cut: outwards and down along the arms, straight down below."""
    p = shell[loop]
    arm = smoothstep(0.19, 0.22, np.abs(p[:, 0])) * smoothstep(p[:, 1].min() + 0.01, p[:, 1].min() + 0.05, p[:, 1])
    rows = []
    for k in range(_ROWS):
        out = arm * np.sign(p[:, 0]) * max(0.0, 0.75 - 0.22 * k)
        step = np.stack([out, -np.ones(len(p)), np.zeros(len(p))], 1)
        p = p + _STEP * step / np.linalg.norm(step, axis=1, keepdims=True)
        rows.append(p)
    return _strips(faces, shell, source, loop, rows)


def _strips(
    faces: np.ndarray, shell: np.ndarray, source: np.ndarray, loop: np.ndarray, rows: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add rows of vertices along a border loop."""
    last = loop
    for row in rows:
        new = len(shell) + np.arange(len(loop))
        a, b, c, d = last, np.roll(last, -1), np.roll(new, -1), new
        faces = np.concatenate([faces, np.stack([b, a, d], 1), np.stack([b, d, c], 1)])
        shell, source, last = np.concatenate([shell, row]), np.concatenate([source, source[loop]]), new
    return faces, shell, source


def weave(look: Look, rng: np.random.Generator) -> np.ndarray:
    """One period [TILE, TILE, 3] of the cloth, linear."""
    v, u = np.meshgrid(*(np.arange(TILE) / TILE,) * 2, indexing="ij")
    base, trim = np.array(look.cloth), np.array(look.trim)
    share = np.zeros((TILE, TILE))
    if look.pattern == "stripes":
        share = (np.mod(v * 4, 1) < 0.3).astype(float)
    elif look.pattern == "checks":
        share = 0.45 * (np.mod(u * 3, 1) < 0.35) + 0.45 * (np.mod(v * 3, 1) < 0.35)
    thread = 0.5 * np.sin(2 * np.pi * 64 * u) * np.sin(2 * np.pi * 64 * v)
    if look.pattern == "knit":
        thread = 1.6 * np.sin(2 * np.pi * (24 * v + 1.2 * np.abs(np.mod(u * 16, 2) - 1)))
    color = base * (1 - share[..., None]) + trim * share[..., None]
    grain = 0.05 * thread + 0.05 * rng.standard_normal((TILE, TILE))
    return linear(np.clip(color * (1 + grain)[..., None], 0.01, 1))
