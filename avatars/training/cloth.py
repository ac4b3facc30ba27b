"""Clothes where no frame shows them, on the back above all.

Splats are seeded all over a torso, but those that no frame shows learn nothing: where they are few, a shirt and a tie
that are worn in front show through to a camera behind. When a training has ended, cloth is laid there: in front what
was seen above goes on, behind it has the colours of what was seen as far from the neck; it is as far from the mesh as
the seen cloth beside it, or sleeves would part from shoulders. Below what was seen lies a lining of it, since that is
a thin veil to a camera that looks along it.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from ..data import Splats
from ..heads.head import Head
from ..splats.lookalikes import NECK, TORSO, behind_neck, kinds
from ..splats.seeding import areas, random_barycentric, systematic
from .calm import HIDDEN
from .hair import ALIKE, SEEN

_SIZE, _THIN = 0.008, 0.25
"""Standard deviation of a splat of cloth, m, and its share across the cloth."""
_COVER = 3.0
"""How often such splats, a standard deviation to either side, cover the place."""
_DARTS, _PACKED = 12, 0.58
"""Places tried for each that is taken, and area around each, of the square of the distance that they keep."""
_NEAR = 0.015
"""m to a splat of the footage beyond which nothing was seen of a place."""
_LOW, _HIGHEST, _LINING = 0.25, 0.02, 0.01
"""Quantile of their heights over the mesh that it lies at, m that it may, and m that a lining lies lower: behind
others, not before them."""
_OWN = 0.1
"""Share of its colour that a splat has from one of those it takes after, the rest from all: a pattern of blots is none
that anybody wears."""
_COLLAR = 6.0
"""How much more it counts how far from the neck it is than how far to the side."""
_ALONG = np.array([1.0, 0.3, 0.5])
"""How much a distance to the side, in height and in depth counts between cloth in front and what is like it."""
_ASIDE = 0.04
"""m to the side beyond which nothing that was seen goes on below."""
_LOWEST = 0.05
"""Quantile of the heights of a neck that was seen at which it ends, if nothing below it was."""
_SOLID = 4.0
"""Logit of its opacity."""


def cloth_behind(head: Head, splats: Splats, rest: np.ndarray, shown: np.ndarray) -> Splats | None:
    """Splats of cloth where nothing of the torso was seen, and below the rest of it; None if all or none was seen.

    Args:
        rest: [N, 3] m, where the splats are at rest.
        shown: [N] largest share of its footprint that each shows in some frame.
    """
    kind = kinds(head)
    area = areas(head.template, head.faces) * (kind == TORSO)
    worn = kind[splats.triangle] == TORSO
    known = worn & (shown >= SEEN)
    count = round(_COVER * float(area.sum()) / (2 * np.pi * _SIZE**2))
    if count == 0 or known.sum() < ALIKE:
        return None
    rng = np.random.default_rng(1)
    triangle, barycentric, place = _spread(head, area, count, rng)
    away, near = KDTree(rest[worn]).query(place)
    unseen = (shown[worn][near] <= HIDDEN) | (away > _NEAR)
    if not unseen.any():
        return None
    count = len(triangle)
    models = _kin(head, rest[known], place)
    colors = splats.color[known][models]
    middle = np.sort(colors, 1)[:, ALIKE // 4 : -ALIKE // 4].mean(1)  # a median would be one colour of checked cloth
    color = (1 - _OWN) * middle + _OWN * colors[np.arange(count), rng.integers(ALIKE, size=count)]
    mean = np.zeros((count, 3), np.float32)
    beside = KDTree(rest[known]).query(place, ALIKE)[1]
    above = np.quantile((splats.mean[:, 2] * splats.extent)[known][beside], _LOW, axis=1)
    mean[:, 2] = (above.clip(0, _HIGHEST) - _LINING * ~unseen) / _SIZE
    flat = np.log(np.array([1, 1, _THIN], np.float32))
    return Splats(
        triangle.astype(np.int32), barycentric.astype(np.float32), np.full(count, _SIZE, np.float32), mean,
        np.tile(np.eye(1, 4, dtype=np.float32), (count, 1)), np.tile(flat, (count, 1)),
        np.full(count, _SOLID, np.float32), color.clip(0, 1).astype(np.float32),
        np.zeros((count, 9, splats.bases.shape[2]), np.float32),
    )  # fmt: skip


def below_neck(head: Head, splats: Splats, rest: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """[N] bool: what hardly a frame shows below a neck whose clothes no frame shows: it would hang there in tatters.

    Args:
        rest, shown: as in `cloth_behind`.
    """
    kind = kinds(head)[splats.triangle]
    if ((kind == TORSO) & (shown >= SEEN)).sum() >= ALIKE:
        return np.zeros(len(splats), bool)
    neck = rest[(kind == NECK) & (shown >= SEEN), 1]
    lowest = np.quantile(neck, _LOWEST) if len(neck) else np.inf
    return np.isin(kind, (NECK, TORSO)) & (shown < SEEN) & (rest[:, 1] < lowest)


def _spread(
    head: Head, area: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """About `count` places on triangles of areas [F] that keep their distance from each other, so that none of the
    cloth has holes: (triangle [n], barycentric [n, 3], place [n, 3] m). By dart throwing (Cook 1986).
    """
    tried = _DARTS * count
    triangle, barycentric = systematic(area / area.sum(), tried, rng), random_barycentric(tried, rng)
    place = np.einsum("nc,ncd->nd", barycentric, head.template[head.faces[triangle]])
    near = KDTree(place).query_ball_point(place, float(np.sqrt(_PACKED * area.sum() / count)))
    free, taken = np.ones(tried, bool), []
    for dart in rng.permutation(tried):
        if free[dart]:
            taken.append(dart)
            free[near[dart]] = False
    return triangle[taken], barycentric[taken], place[taken]


def _kin(head: Head, seen: np.ndarray, place: np.ndarray) -> np.ndarray:
    """[n, 24] indices of the seen cloth at [M, 3] that each place [n, 3] takes after.

    In front, below the picture's edge, what was seen there goes on: a shirt stays a shirt, a tie a tie. Behind the
    neck, or where nothing is to go on, it is what was seen as far from the neck, of what was seen behind it if that is
    enough: a collar runs around the neck alone, and ties and open shirts are worn in front.
    """
    behind = behind_neck(head, seen)
    front = np.flatnonzero(~behind)
    sources = np.flatnonzero(behind) if behind.sum() >= ALIKE else np.arange(len(seen))
    neck = KDTree(head.template[head.regions["neck"]]) if "neck" in head.regions else None

    def feature(at: np.ndarray) -> np.ndarray:
        off = neck.query(at)[0] if neck is not None else np.zeros(len(at))
        return np.stack([np.abs(at[:, 0]), 2 * at[:, 1], at[:, 2], _COLLAR * off], 1)

    kin = sources[KDTree(feature(seen[sources])).query(feature(place), ALIKE)[1]]
    if len(front) < ALIKE:
        return kin
    above = front[KDTree(_ALONG * seen[front]).query(_ALONG * place, ALIKE)[1]]
    aside = np.median(np.abs(seen[above, 0] - place[:, :1]), 1)
    return np.where((~behind_neck(head, place) & (aside < _ASIDE))[:, None], above, kin)
