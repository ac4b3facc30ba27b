"""A head of short hair: thousands of thin ribbons grown from the scalp around the skull, combed from a parting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..heads.head import Head
from ..heads.regions import landmark_points
from ..heads.surface import vertex_normals
from .look import Look, linear
from .noise import field, smoothstep

_STEPS = 7
_WIDTH = 0.0012
"""m: a ribbon stands for a lock of a few dozen hairs."""
_COARSE, _COARSE_WIDTH = 5, 4.0
"""One lock in so many, so much wider, casts the shadows."""
_OVER = 0.002
"""m between the scalp and the lowest locks."""


@dataclass(frozen=True)
class Hair:
    """Ribbons at rest; they move with the skull."""

    vertices: np.ndarray
    """[2 n, 3] m: two at each of the n points along the locks."""
    faces: np.ndarray
    """[f, 3]."""
    points: np.ndarray
    """[n, 3] m."""
    normal: np.ndarray
    """[n, 3] away from the skull."""
    tangent: np.ndarray
    """[n, 3] along the lock, towards its tip."""
    albedo: np.ndarray
    """[n, 3] linear."""
    depth: np.ndarray
    """[n] in [0, 1]: 0 at the scalp, 1 at the surface of the hair."""
    coarse_vertices: np.ndarray
    """[c, 3] m: fewer and wider ribbons, for shadows."""
    coarse_faces: np.ndarray


@dataclass(frozen=True)
class _Skull:
    """An upright ellipsoid about the scalp."""

    center: np.ndarray
    radii: np.ndarray

    def height(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(distance above the surface [n], outward normal [n, 3]); first order, good near the surface."""
        q = (points - self.center) / self.radii
        level = np.linalg.norm(q, axis=1)
        gradient = q / self.radii / level[:, None]
        steep = np.linalg.norm(gradient, axis=1)
        return (level - 1) / steep, gradient / steep[:, None]


def grow_hair(head: Head, look: Look, rng: np.random.Generator, count: int = 7500) -> Hair:
    """Locks on one person's scalp."""
    roots, normal = _roots(head, rng, count)
    skull = _fit_skull(head)
    count = len(roots)
    layer = rng.uniform(0, 1, count) ** 0.7
    length = look.hair_length * rng.uniform(0.7, 1.15, count) * (0.55 + 0.45 * smoothstep(-0.06, 0.04, roots[:, 1]))
    clump = np.stack([field(roots, 0.016, rng), field(roots, 0.016, rng), field(roots, 0.016, rng)], 1)
    stray = rng.normal(0, 0.10, (count, 3))
    path = np.empty((count, _STEPS, 3))
    path[:, 0] = roots - 0.002 * normal
    for k in range(1, _STEPS):
        here, t = path[:, k - 1], k / (_STEPS - 1)
        above, outward = skull.height(here)
        flow = _combing(here, skull, look) + 0.28 * clump + stray
        flow -= (flow * outward).sum(1, keepdims=True) * outward
        flow /= np.maximum(np.linalg.norm(flow, axis=1, keepdims=True), 1e-9)
        rise = look.hair_volume * layer * _fullness(here, skull) * smoothstep(0, 0.35, np.full(count, t)) + _OVER
        rise += 0.004 * layer * clump[:, 0] * t
        lift = np.clip((rise - above) / (length / (_STEPS - 1)), -0.6, 1.2)
        step = flow + lift[:, None] * outward + np.array([0, -0.18, 0]) * t
        path[:, k] = here + step / np.linalg.norm(step, axis=1, keepdims=True) * (length / (_STEPS - 1))[:, None]
    return _ribbons(path, skull, layer, look, rng)


def _fit_skull(head: Head) -> _Skull:
    """The ellipsoid whose surface the scalp's vertices lie on best, upright and symmetric."""
    p = head.template[head.regions["scalp"]].astype(float)
    p = p[p[:, 1] > -0.02]
    # (x/a)² + (y/b)² + (z/c)² - 2 v y - 2 w z = const, linear in its coefficients
    lhs = np.stack([p[:, 0] ** 2, p[:, 1] ** 2, p[:, 2] ** 2, p[:, 1], p[:, 2]], 1)
    a, b, c, v, w = np.linalg.lstsq(lhs, np.ones(len(p)), rcond=None)[0]
    center = np.array([0.0, -v / (2 * b), -w / (2 * c)])
    level = 1 + b * center[1] ** 2 + c * center[2] ** 2
    return _Skull(center, np.sqrt(level / np.array([a, b, c])))


def _roots(head: Head, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 3] on the scalp, dense and even, with normals; the hairline is drawn a little unevenly."""
    scalp = head.regions["scalp"].astype(float)
    ears = head.regions["ears"] | head.regions["shoulders"]
    faces = head.faces[(scalp[head.faces].max(1) > 0) & ~ears[head.faces].any(1)]
    corners = head.template[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = rng.choice(len(faces), 2 * count, p=area / area.sum())
    u = np.sqrt(rng.uniform(0, 1, 2 * count))
    v = rng.uniform(0, 1, 2 * count)
    weights = np.stack([1 - u, u * (1 - v), u * v], 1)
    points = np.einsum("nkd,nk->nd", corners[chosen], weights)
    normal = np.einsum("nkd,nk->nd", vertex_normals(head.template, head.faces)[faces[chosen]], weights)
    inside = (
        (scalp[faces[chosen]] * weights).sum(1) + 0.12 * field(points, 0.012, rng) + rng.normal(0, 0.14, len(points))
    )
    brow = landmark_points(head)[10, 1]
    recess = (
        smoothstep(0.02, 0.05, np.abs(points[:, 0]))
        * smoothstep(brow + 0.018, brow, points[:, 1])
        * (points[:, 2] > 0.05)
    )
    nape = points[:, 1] > -0.085 + 0.01 * field(points, 0.01, rng)
    keep = np.flatnonzero((inside - 0.25 * recess > 0.42) & nape)[:count]
    return points[keep], normal[keep]


def _combing(p: np.ndarray, skull: _Skull, look: Look) -> np.ndarray:
    """Direction [n, 3] in which hair lies at points [n, 3]: sideways from the parting on top, then down and back."""
    q = (p - skull.center) / skull.radii
    side = q[:, 0] - look.parting * 0.7
    sweep = np.tanh(side * 5)
    top = smoothstep(0.2, 0.8, q[:, 1])
    front = smoothstep(0.1, 0.7, q[:, 2]) * smoothstep(-0.3, 0.3, q[:, 1])
    out = np.stack([(0.9 * top + 0.05) * sweep, -0.9 * (1 - top), -0.45 * top - 0.6 * (1 - top)], 1)
    brushed = front[:, None] * np.array([0.0, 1.5, -0.9]) * (1 - look.fringe)
    return out + brushed


def _fullness(p: np.ndarray, skull: _Skull) -> np.ndarray:
    """How high hair stands, [n]: most on top, little over the ears and at the nape."""
    q = (p - skull.center) / skull.radii
    return 0.35 + 0.75 * smoothstep(-0.2, 0.8, q[:, 1])


def _ribbons(path: np.ndarray, skull: _Skull, layer: np.ndarray, look: Look, rng: np.random.Generator) -> Hair:
    count = len(path)
    tangent = np.gradient(path, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-9)
    _, outward = skull.height(path.reshape(-1, 3))
    outward = outward.reshape(path.shape)
    facing = outward + 0.35 * rng.normal(0, 1, (count, 1, 3))
    across = np.cross(tangent, facing)
    across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-9)
    taper = np.array([1.0, 1.0, 1.0, 0.95, 0.85, 0.6, 0.15])[:, None]
    width = _WIDTH * rng.uniform(0.5, 1.2, (count, 1, 1)) * taper / 2
    tone = linear(np.array(look.hair)) * np.exp(0.30 * rng.standard_normal((count, 1)))
    tone = tone * (1 + 0.15 * rng.standard_normal((count, 1)) * np.array([1.0, 0.3, -0.6]))
    along = np.linspace(0, 1, _STEPS)
    albedo = np.clip(tone, 0.004, 0.6)[:, None, :] * (0.85 + 0.35 * along)[None, :, None]
    depth = np.clip(layer[:, None] * smoothstep(0, 0.35, along) + 0.1 * along, 0, 1)
    some = slice(None, None, _COARSE)

    def flat(x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x.reshape(count * _STEPS, *x.shape[2:]), np.float32)

    return Hair(
        vertices=_two_sided(path, width * across),
        faces=_quads(count),
        points=flat(path),
        normal=flat(outward),
        tangent=flat(tangent),
        albedo=flat(albedo),
        depth=flat(depth),
        coarse_vertices=_two_sided(path[some], _COARSE_WIDTH * (width * across)[some]),
        coarse_faces=_quads(len(path[some])),
    )


def _two_sided(path: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.stack([path - half, path + half], 2).reshape(-1, 3).astype(np.float32)


def _quads(count: int) -> np.ndarray:
    grid = np.arange(count * _STEPS * 2).reshape(count, _STEPS, 2)
    a, b, c, d = grid[:, :-1, 0], grid[:, :-1, 1], grid[:, 1:, 1], grid[:, 1:, 0]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return faces.astype(np.int32)
