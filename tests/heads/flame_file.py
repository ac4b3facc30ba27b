"""Makes files in FLAME's format: its dimensions, names and pickle dialects, with the default head for content."""

from __future__ import annotations

import pickle
import struct
import sys
import types
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.sparse import csc_matrix

from avatars.heads.anny import default_head
from avatars.heads.head import Head
from avatars.heads.unwrap import border_loops

VERTICES, FACES, SHAPES, EXPRESSIONS = 5023, 9976, 300, 100


def flame_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """The arrays of a FLAME file, J_regressor dense."""
    head, rng = default_head(), np.random.default_rng(seed)
    rows, faces, blend = _topology(head)
    axes = blend(head.identity_basis[:, rows].astype(float))
    actions = blend(head.expression_basis[:, rows].astype(float))
    for i, name in enumerate(head.expression_names):
        if name.startswith(("eyeBlink", "eyeLook", "jaw", "tongue", "mouthClose")):
            actions[i] = 0  # FLAME has joints for these, or nothing
    template = blend(head.template[rows].astype(float))
    shapes = np.concatenate(
        [axes, 0.02 * np.einsum("st,tvd->svd", rng.normal(size=(SHAPES - len(axes), len(axes))), axes)]
    )
    more = rng.normal(size=(EXPRESSIONS - len(actions), len(actions)))
    expressions = np.concatenate([actions, 0.1 * np.einsum("st,tvd->svd", more, actions)])
    weights = blend(head.skinning[rows].astype(float))
    weights /= weights.sum(1, keepdims=True)
    regressor = np.zeros((5, VERTICES))
    for j, joint in enumerate(head.joints.astype(float)):
        near = np.argsort(np.linalg.norm(template - joint, axis=1))[:80]
        lhs = np.concatenate([template[near].T, np.ones((1, len(near)))])
        regressor[j, near] = np.linalg.lstsq(lhs, np.append(joint, 1.0), rcond=None)[0]
    correctives = 0.05 * np.einsum("ps,svd->pvd", rng.normal(size=(36, len(axes))), axes) * weights[:, 2:3]
    return {
        "f": faces.astype(np.uint32),
        "v_template": template,
        "shapedirs": np.moveaxis(np.concatenate([shapes, expressions]), 0, 2),
        "posedirs": np.moveaxis(correctives, 0, 2),
        "J_regressor": regressor,
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "weights": weights,
    }


def _topology(head: Head):
    """Rows of the default head that are kept, FLAME's number of triangles over them, and how fields follow.

    Head, neck and eyeballs, then edges split until the counts are FLAME's: splitting an inner edge adds one vertex and
    two triangles, splitting a border edge one and one.
    """
    dropped = np.logical_or.reduce(
        [head.regions[n] for n in ("mouth_interior", "tongue", "teeth_upper", "teeth_lower")]
    )
    kept = ~dropped & (head.skinning[:, 0] < 0.9)
    border = head.regions["mouth_interior"] & np.isin(np.arange(len(kept)), head.faces[kept[head.faces].any(1)])
    kept |= border & ~np.isin(np.arange(len(kept)), head.faces[~kept[head.faces].any(1)].ravel())
    faces = head.faces[kept[head.faces].all(1)]
    rows = np.unique(faces)
    index = np.full(len(kept), -1)
    index[rows] = np.arange(len(rows))
    triangles = index[faces].tolist()
    points = head.template[rows].tolist()
    added: list[list[int]] = []  # what each new vertex is the mean of
    loops = sorted(border_loops(index[faces]), key=lambda loop: float(head.template[rows[loop], 1].min()))
    neck, mouth = loops[0], head.template[border].mean(0)
    for loop in loops[1:]:
        ring = head.template[rows[loop]]
        if np.linalg.norm(ring.mean(0) - mouth) < 0.01:
            continue  # like FLAME's, the mouth is open at the back; eyeballs and sockets are capped
        triangles += [[int(b), int(a), len(points)] for a, b in zip(loop, np.roll(loop, -1), strict=True)]
        points.append(ring.mean(0).tolist())
        added.append(loop.tolist())
    ring, at = neck.tolist(), 1
    for _ in range(FACES - len(triangles) - 2 * (VERTICES - len(points))):  # fill notches of the neck's border
        at %= len(ring)
        triangles.append([ring[(at + 1) % len(ring)], ring[at], ring[at - 1]])
        del ring[at]
        at += 1
    inner = (FACES - len(triangles)) - (VERTICES - len(points))
    outer = 2 * (VERTICES - len(points)) - (FACES - len(triangles))
    assert inner >= 0, (inner, outer)
    assert outer >= 0, (inner, outer, len(neck))
    beside: dict[tuple[int, int], int] = {(t[k], t[(k + 1) % 3]): f for f, t in enumerate(triangles) for k in range(3)}

    def split(a: int, b: int) -> None:
        middle = len(points)
        points.append([(p + q) / 2 for p, q in zip(points[a], points[b], strict=True)])
        added.append([a, b])
        for u, v in ((a, b), (b, a)):
            f = beside.pop((u, v), None)
            if f is None:
                continue
            w = next(x for x in triangles[f] if x not in (u, v))
            triangles[f] = [u, middle, w]
            triangles.append([middle, v, w])
            for g, t in ((f, triangles[f]), (len(triangles) - 1, triangles[-1])):
                for k in range(3):
                    beside[t[k], t[(k + 1) % 3]] = g

    def longest(border: bool, count: int) -> list[tuple[int, int]]:
        edges = [e for e in beside if ((e[1], e[0]) not in beside) == border and (border or e[0] < e[1])]
        return sorted(edges, key=lambda e: -float(np.linalg.norm(np.subtract(points[e[0]], points[e[1]]))))[:count]

    for border, total in ((True, outer), (False, inner)):
        while total:  # a few at a time, so that long edges are halved again
            batch = longest(border, min(total, 60))
            for a, b in batch:
                if (a, b) in beside or (b, a) in beside:
                    split(a, b)
                    total -= 1

    def blend(field: np.ndarray) -> np.ndarray:
        """[..., n, d] of the kept rows to [..., VERTICES, d]."""
        out = np.concatenate([field, np.zeros((*field.shape[:-2], len(added), field.shape[-1]))], -2)
        for i, sources in enumerate(added):
            out[..., len(rows) + i, :] = out[..., sources, :].mean(-2)
        return out

    assert len(points) == VERTICES
    assert len(triangles) == FACES
    return rows, np.array(triangles), blend


class FakeCh:
    """Pickles as chumpy.ch.Ch does: a bare object whose state holds the value under `x`."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x

    def __getstate__(self) -> dict[str, object]:
        return {"x": self.x, "_dirty_vars": set(), "_itr": None, "_depends_on_deps": False}


FakeCh.__module__, FakeCh.__qualname__, FakeCh.__name__ = "chumpy.ch", "Ch", "Ch"


class _Python2(pickle._Pickler):
    """Writes byte strings as Python 2 did."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

    def _save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = _save_bytes


def write_flame(path: Path, arrays: dict[str, np.ndarray], protocol: int = 2, *, chumpy: bool = True) -> Path:
    """Pickle arrays as FLAME 2020 (chumpy) or as FLAME 2023 (plain) is.

    Protocol 2 with chumpy is written as Python 2 wrote it.
    """
    value: dict[str, object] = dict(arrays)
    value["J_regressor"] = csc_matrix(arrays["J_regressor"]) if "J_regressor" in arrays else None
    value["bs_type"], value["bs_style"] = "lrotmin", "lbs"
    if chumpy:
        for name in ("v_template", "shapedirs", "posedirs", "weights"):
            if name in arrays:
                value[name] = FakeCh(arrays[name])
    package, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    module.Ch = FakeCh  # type: ignore[attr-defined]
    sys.modules["chumpy"], sys.modules["chumpy.ch"] = package, module
    try:
        with open(path, "wb") as file:
            writer = _Python2(file, 2) if chumpy and protocol == 2 else pickle._Pickler(file, protocol)
            writer.dump(value)
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]
    if protocol < 4:  # the module's name in the days when these files were made
        path.write_bytes(path.read_bytes().replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n"))
    return path
