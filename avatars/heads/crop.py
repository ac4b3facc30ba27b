"""Cuts head, neck and shoulders out of the base mesh, and adds eyeballs and teeth.

Everything that comes out depends linearly on points of the base mesh, so that the same rule makes the rest shape, its
identity axes and its facial actions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags, vstack
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from . import eyeballs, teeth
from .head import JOINTS
from .makehuman import BaseMesh, bone_weights
from .surface import neighbour_mean

LOWEST = 0.44
"""m above the base mesh's origin: the mid-chest."""
WIDEST = 0.215
"""m from the middle: the shoulders' outer end, without arms."""
_SOCKET = 0.98
"""Skin inside the eyeball, in units of its radius, and behind its middle is never seen and left out."""
_WITHDRAW, _WITHDRAW_GAP, _WITHDRAW_RINGS = 0.3, 0.012, 4
"""By what share of the way to its middle, within what distance (m) of the skin, from which ring of quads on."""
_CUBES = {"root": "joint-neck", "neck": "joint-head", "jaw": "joint-mouth"}
_EYES = {"eye_l": "helper-l-eye", "eye_r": "helper-r-eye"}
_NECK_RAMP = {"neck03": 0.8, "neck02": 0.55, "neck01": 0.25}
"""How much of the head's motion the bones of the neck take up."""


@dataclass(frozen=True)
class Crop:
    """Which points of the base mesh matter, and how the head's vertices and joints come from them."""

    points: np.ndarray
    """[k] base vertices that are read."""
    rest: np.ndarray
    """[k, 3] m."""
    blend: csr_matrix
    """[n, k]: skin, tongue and teeth as combinations of points; eyeballs follow them as vertices."""
    eyes: dict[str, np.ndarray]
    """Rows of `points` of each eyeball's helper."""
    cubes: dict[str, np.ndarray]
    """Rows of `points` whose mean is a joint."""
    faces: np.ndarray
    """[F, 3]."""
    chart: np.ndarray
    """[F, 3] index of each corner's uv vertex; corners that share one are glued in the uv map."""
    uv: np.ndarray
    """[u, 2] the base mesh's own uv map, later replaced by a better one."""
    parts: dict[str, np.ndarray]
    """Name -> [V] bool."""
    skinning: np.ndarray
    """[V, J]."""
    mirror: np.ndarray
    """[V] index of each vertex's mirror image."""

    def derive(self, values: np.ndarray) -> np.ndarray:
        """Vertices [V, 3] from positions of the points [k, 3], or their displacements from displacements."""
        balls = []
        for rows in self.eyes.values():
            center, radius = self._ball(values, rows)
            balls.append(center + radius * eyeballs.eyeball_directions())
        return np.concatenate([self.blend @ values, *balls])

    def joints(self, values: np.ndarray) -> np.ndarray:
        """Joints [J, 3] (or their displacements) likewise."""
        rows = {**self.cubes, **self.eyes}
        return np.stack([values[rows[name]].mean(0) for name in JOINTS])

    def _ball(self, values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, float]:
        """Centre and radius; both linear in the helper's vertices, which lie symmetrically about the centre."""
        rest = self.rest[rows] - self.rest[rows].mean(0)
        normal = rest / np.linalg.norm(rest, axis=1, keepdims=True)
        center = values[rows].mean(0)
        return center, float(((values[rows] - center) * normal).sum(1).mean())


def crop_head(base: BaseMesh) -> Crop:
    """The whole rule, from the base mesh."""
    quads, quad_uv = _visible_skin(base)
    tongue, tongue_uv = base.quads["helper-tongue"], base.quad_uv["helper-tongue"]
    used = np.unique(np.concatenate([quads, tongue]))
    groups = [*_CUBES.values(), *_EYES.values(), "helper-upper-teeth", "helper-lower-teeth"]
    points = np.unique(np.concatenate([used, np.unique(quads)] + [np.unique(base.quads[g]) for g in groups]))
    row = np.full(len(base.vertices), -1)
    row[points] = np.arange(len(points))
    vertex = np.full(len(base.vertices), -1)
    vertex[used] = np.arange(len(used))
    faces, chart = _triangulate(base, np.concatenate([quads, tongue]), np.concatenate([quad_uv, tongue_uv]))
    interior = np.isin(used, _mouth_interior(base))
    parts = {"skin": ~np.isin(used, tongue) & ~interior, "mouth_interior": interior, "tongue": np.isin(used, tongue)}
    build = _Builder(vertex[faces], chart, base.uv, parts, vertex[base.mirror[used]])
    blends = [_withdraw(base, used, quads, interior) @ _cut(base, used, quads)[:, points]]
    for name in ("upper", "lower"):
        columns = teeth.guide_columns(base.quads[f"helper-{name}-teeth"], base.vertices)
        upper, count = name == "upper", len(columns)
        blends.append(teeth.teeth_weights(row[columns], len(points), upper=upper))
        flip = np.arange(teeth.ROWS * count).reshape(teeth.ROWS, count)[:, ::-1].ravel()
        build.add(f"teeth_{name}", teeth.band_faces(count, upper=upper), teeth.band_uv(count, upper=upper), flip)
    for name, other in (("eyeball_l", eyeballs.VERTICES), ("eyeball_r", -eyeballs.VERTICES)):
        build.add(name, eyeballs.eyeball_faces(), eyeballs.eyeball_uv(), eyeballs.mirror() + other)
    return Crop(
        points=points,
        rest=base.vertices[points],
        blend=csr_matrix(vstack(blends)),
        eyes={name: row[np.unique(base.quads[group])] for name, group in _EYES.items()},
        cubes={name: row[np.unique(base.quads[group])] for name, group in _CUBES.items()},
        faces=build.faces,
        chart=build.chart,
        uv=build.uv,
        parts=build.parts,
        skinning=_skinning(used, build.parts, len(base.vertices)),
        mirror=build.mirror,
    )


class _Builder:
    """Appends parts to a mesh."""

    def __init__(
        self, faces: np.ndarray, chart: np.ndarray, uv: np.ndarray, parts: dict[str, np.ndarray], mirror: np.ndarray
    ) -> None:
        self.faces, self.chart, self.uv, self.parts, self.mirror = faces, chart, uv, parts, mirror

    def add(self, name: str, faces: np.ndarray, uv: np.ndarray, mirror: np.ndarray) -> None:
        """A part with one uv vertex per vertex; `mirror` counts from the part's first vertex."""
        count = len(self.mirror)
        self.faces = np.concatenate([self.faces, faces + count])
        self.chart = np.concatenate([self.chart, faces + len(self.uv)])
        self.uv = np.concatenate([self.uv, uv])
        self.mirror = np.concatenate([self.mirror, mirror + count])
        self.parts = {key: np.pad(mask, (0, len(uv))) for key, mask in self.parts.items()}
        self.parts[name] = np.arange(len(self.mirror)) >= count


def _visible_skin(base: BaseMesh) -> tuple[np.ndarray, np.ndarray]:
    """Quads [q, 4] of the body, and their uv indices, that have a corner in the crop and are not hidden in a socket."""
    quads, uv = base.quads["body"], base.quad_uv["body"]
    keep = (_outside(base.vertices) <= 0)[quads].any(1)
    for group in _EYES.values():
        ball = base.vertices[np.unique(base.quads[group])]
        center = ball.mean(0)
        radius = np.linalg.norm(ball - center, axis=1).mean()
        offset = base.vertices - center
        hidden = (np.linalg.norm(offset, axis=1) < _SOCKET * radius) | (
            (offset[:, 2] < 0.3 * radius) & (np.linalg.norm(offset, axis=1) < 1.15 * radius)
        )
        keep &= ~hidden[quads].all(1)
    return quads[keep], uv[keep]


def _outside(vertices: np.ndarray) -> np.ndarray:
    """Distance [n] by which vertices lie outside the crop, m; negative inside."""
    return np.maximum(LOWEST - vertices[:, 1], np.abs(vertices[:, 0]) - WIDEST)


def _cut(base: BaseMesh, used: np.ndarray, quads: np.ndarray) -> csr_matrix:
    """[used, n]: each used vertex is itself, or, outside the crop, slid along an edge or diagonal to its border."""
    beyond = _outside(base.vertices)
    rows, columns, values = [], [], []
    pairs = np.concatenate([quads[:, [i, j]] for i in range(4) for j in range(4) if i != j])
    pairs = pairs[(beyond[pairs[:, 0]] > 0) & (beyond[pairs[:, 1]] <= 0)]
    for i, vertex in enumerate(used):
        if beyond[vertex] <= 0:
            rows.append(i)
            columns.append(vertex)
            values.append(1.0)
            continue
        anchors = np.unique(pairs[pairs[:, 0] == vertex, 1])
        share = beyond[anchors] / (beyond[anchors] - beyond[vertex])
        landing = base.vertices[anchors] + share[:, None] * (base.vertices[vertex] - base.vertices[anchors])
        best = int(np.round(np.linalg.norm(landing - base.vertices[vertex], axis=1), 7).argmin())
        rows += [i, i]
        columns += [vertex, anchors[best]]
        values += [share[best], 1 - share[best]]
    return csr_matrix((values, (rows, columns)), shape=(len(used), len(base.vertices)))


def _withdraw(base: BaseMesh, used: np.ndarray, quads: np.ndarray, interior: np.ndarray) -> csr_matrix:
    """[used, used]: pulls the mouth's inside towards its middle where it comes close under the skin.

    The artist's mouth ends 3 mm under the skin beside the nose and would show through other people's faces.
    """
    rank = np.full(len(base.vertices), -1)
    rank[used] = np.arange(len(used))
    count, rows = len(used), np.flatnonzero(interior)
    mean = neighbour_mean(_fan(rank[quads]), count)
    outer = np.zeros(count, bool)
    outer[np.unique(rank[quads][~interior[rank[quads]].all(1)])] = True
    depth, reached = np.zeros(count), outer.copy()  # in rings from the lips
    for ring in range(1, _WITHDRAW_RINGS + 1):
        depth[~reached] = ring
        reached |= (mean @ reached.astype(float)) > 0
    points = base.vertices[used]
    gap = KDTree(points[outer & ~interior]).query(points[rows])[0]
    share = np.zeros(count)
    share[rows] = _WITHDRAW * np.clip((_WITHDRAW_GAP - gap) / (_WITHDRAW_GAP / 2), 0, 1)
    share *= np.clip((depth - 1) / (_WITHDRAW_RINGS - 1), 0, 1)
    share *= points[:, 1] > points[outer & interior, 1].mean()  # the lower half must follow the jaw
    moving = np.flatnonzero(share)
    middle = csr_matrix(
        (np.repeat(share[moving] / len(rows), len(rows)), (np.repeat(moving, len(rows)), np.tile(rows, len(moving)))),
        shape=(count, count),
    )
    return csr_matrix(diags(1 - share) + middle)


def _fan(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])


def _triangulate(base: BaseMesh, quads: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split quads along their shorter diagonal."""
    p = base.vertices[quads]
    first = np.linalg.norm(p[:, 0] - p[:, 2], axis=1) <= np.linalg.norm(p[:, 1] - p[:, 3], axis=1) + 1e-9
    order = np.where(first[:, None], [[0, 1, 2, 0, 2, 3]], [[1, 2, 3, 1, 3, 0]])
    pick = np.take_along_axis
    return pick(quads, order, 1).reshape(-1, 3), pick(uv, order, 1).reshape(-1, 3)


def _mouth_interior(base: BaseMesh) -> np.ndarray:
    """Base vertices of the mouth's inside: the chart of the uv map that lies nearest to the tongue."""
    quads, uv = base.quads["body"], base.quad_uv["body"]
    a, b = uv[:, :3].ravel(), uv[:, 1:].ravel()
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(len(base.uv),) * 2)
    chart = connected_components(graph, directed=False)[1][uv[:, 0]]
    tongue = base.vertices[np.unique(base.quads["helper-tongue"])].mean(0)
    members = [np.unique(quads[chart == label]) for label in np.unique(chart)]
    return min(members, key=lambda m: float(np.linalg.norm(base.vertices[m].mean(0) - tongue)))


def _skinning(used: np.ndarray, parts: dict[str, np.ndarray], total: int) -> np.ndarray:
    """[V, J] from the body's bones: what hangs on the head, on the jaw, the eyes, and a ramp along the neck."""
    weights, parents = bone_weights(total)

    def under(bone: str, root: str) -> bool:
        while bone and bone != root:
            bone = parents.get(bone, "")
        return bone == root

    def share(root: str) -> np.ndarray:
        return np.sum([column[used] for bone, column in weights.items() if under(bone, root)], 0)

    head = np.clip(share("head") + sum(part * weights[bone][used] for bone, part in _NECK_RAMP.items()), 0, 1)
    jaw = np.minimum(share("jaw"), head)
    out = np.zeros((len(parts["skin"]), len(JOINTS)))
    out[: len(used), :3] = np.stack([1 - head, head - jaw, jaw], 1)
    for name, joint in (("teeth_upper", 1), ("teeth_lower", 2), ("tongue", 2), ("eyeball_l", 3), ("eyeball_r", 4)):
        out[parts[name]] = np.eye(len(JOINTS))[joint]
    return out
