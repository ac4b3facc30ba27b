"""What the hair of a person is like, as far as it was seen, and more of it elsewhere: on the scalp, and behind the neck
where it hangs down on either side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import KDTree

from .. import geometry
from ..data import Splats
from ..heads.head import Head
from ..splats.binding import local_frames
from ..splats.lookalikes import NECK, SCALP, TORSO, bare_scalp, kinds, lookalikes
from ..splats.seeding import areas, random_barycentric, systematic
from .calm import HIDDEN

SEEN = 0.15
"""Share of its footprint that a splat must show in some frame for others to take after it."""
_LEAST = 50
"""Seen splats of hair from which it is known what it is like."""
_COVER = 3.0
"""How often strands, a standard deviation to either side, cover the place they grow on."""
_NEIGHBOURS, ALIKE = 8, 24
"""Splats that one is held against to see how much shades differ, and that a hidden one takes after."""
_CONTRAST, _SHARED = 0.45, 0.85
"""Most standard deviation of the log of brightness, and how much of it neighbours along a strand share: that of single
splats, of which many make up a pixel, is larger than what is seen."""
_STRAND, _LOCK = (0.004, 0.03), (0.012, 0.06)
"""m across and along the hair over which brightness changes: of strands, and of locks of them."""
_TOUSLED = 0.2
"""rad by which a splat's direction strays."""
_ANY_WAY, _COMBED = 2 / np.pi, 0.7
"""Mean |cos| of the angle between neighbours' longest axes in curls, which lie any way, and in combed hair."""
_HIGHEST, _TOP = 0.02, 0.9
"""m that hair may stand off the skull, and quantile of the seen hair's heights up to which it does: its outline is made
by the highest of it.
"""
_SOLID = 2.0
"""Logit of its opacity."""
_LEVEL = 200
"""Seen splats as high on the head whose colours hair takes after where none was seen: those beside it lie in the shade
of what hangs over them.
"""
_BESIDE, _HANGING = 0.01, 40
"""m off the mesh at which hair hangs free, and splats of it on either side of the neck that make hair long."""
_UNEVEN, _THICK = 0.025, 0.004
"""m by which ends of long hair differ, and the standard deviation of its depth."""


@dataclass
class Roots:
    """n places for hair: bound to triangle [n] and barycentric [n, 3]; where [n, 3] m, growing which way [n, 3] on a
    surface with which normal [n, 3], all at rest; of which colour [n, 3] in the mean.
    """

    triangle: np.ndarray
    barycentric: np.ndarray
    place: np.ndarray
    way: np.ndarray
    normal: np.ndarray
    color: np.ndarray

    def __len__(self) -> int:
        return len(self.triangle)

    def taken(self, which: np.ndarray) -> Roots:
        """Some of them."""
        return Roots(**{name: value[which] for name, value in vars(self).items()})

    def joined(self, other: Roots) -> Roots:
        """Both in a row."""
        return Roots(**{name: np.concatenate([value, getattr(other, name)]) for name, value in vars(self).items()})


class Hair:
    """Hair as the footage shows it.

    Args:
        splats: of the trained head.
        rest: [N, 3] m, where they are at rest.
        shown, pixels: [N] largest share of its footprint that each shows in some frame, and px of it.
    """

    def __init__(self, head: Head, splats: Splats, rest: np.ndarray, shown: np.ndarray, pixels: np.ndarray) -> None:
        self.head, self.splats, self.rest, self.shown, self._pixels = head, splats, rest, shown, pixels
        self._kinds = kinds(head)
        self._kind = self._kinds[splats.triangle]
        self._sure, self._scalp = shown >= SEEN, self._kind == SCALP
        self._seen = self._sure & self._scalp & ~bare_scalp(self._kind, rest, splats.color, self._sure)
        self.known = int(self._seen.sum()) >= _LEAST
        """Whether enough was seen to grow more of it."""
        size = np.sort(np.exp(splats.log_scale[self._seen]) * splats.extent[self._seen, None], 1)[:, ::-1]
        self._size = np.median(size, 0) if self.known else np.ones(3)  # standard deviations in m, the longest first
        skull = head.template[head.regions["scalp"]]
        self._low, self._high = skull.min(0), skull.max(0)
        # Hair starts on top, behind the middle.
        self._whorl = np.array([0.0, self._high[1], self._low[2] + (self._high[2] - self._low[2]) / 4])
        self.combed = self._order() if self.known else 1.0
        """1 where neighbours lie alike, in strands; 0 where they lie any way, as in curls and stubble."""

    def _order(self) -> float:
        """How far the longest axes of neighbours agree in the hair that was seen, in [0, 1]."""
        head, seen = self.head, np.flatnonzero(self._seen)
        place = self.splats.triangle[seen], self.splats.barycentric[seen]
        frame = local_frames(head.template, head.faces, head.template, *place)[1]
        turned = geometry.matrix_from_quaternion(torch.from_numpy(self.splats.quaternion[seen])).numpy()
        longest = self.splats.log_scale[seen].argmax(1)
        axis = np.einsum("nij,nj->ni", frame, turned[np.arange(len(seen)), :, longest])
        near = np.asarray(KDTree(self.rest[seen]).query(self.rest[seen], _NEIGHBOURS + 1)[1])[:, 1:]
        alike = np.abs(np.einsum("ni,nki->nk", axis, axis[near])).mean()
        return float(np.clip((alike - _ANY_WAY) / (_COMBED - _ANY_WAY), 0, 1))

    def count(self, area: float) -> int:
        """Strands that cover an area, m^2."""
        return round(_COVER * area / (2 * np.pi * self._size[0] * self._size[1]))

    def on_scalp(self, rng: np.random.Generator) -> Roots:
        """Where the nearest splat of the scalp is hidden, as high above it as the hair that it takes after reaches."""
        head, splats = self.head, self.splats
        area = areas(head.template, head.faces) * (self._kinds == SCALP)
        count = self.count(float(area.sum()))
        triangle, barycentric = systematic(area / area.sum(), count, rng), random_barycentric(count, rng)
        origin, frame, _ = local_frames(head.template, head.faces, head.template, triangle, barycentric)
        near = np.flatnonzero(self._scalp)[KDTree(self.rest[self._scalp]).query(origin)[1]]
        unseen = self.shown[near] <= HIDDEN
        triangle, barycentric, origin, frame, near = (x[unseen] for x in (triangle, barycentric, origin, frame, near))
        models = lookalikes(
            head, np.r_[splats.triangle, triangle], np.r_[self.rest, origin],
            np.r_[splats.color, splats.color[near]],
            np.r_[self._sure, np.zeros(len(near), bool)], ALIKE,
        )[np.cumsum(~np.r_[self._sure, np.zeros(len(near), bool)])[len(splats) :] - 1]  # fmt: skip
        above = np.quantile((splats.mean[:, 2] * splats.extent)[models], _TOP, axis=1).clip(0, _HIGHEST)
        height = above * rng.uniform(0.7, 1.05, len(near)) - 0.3 * self._size[1]
        normal = frame[:, :, 2]
        away = _unit(origin - self._whorl) - [0, 1, 0]
        way = _unit(away - (away * normal).sum(1, keepdims=True) * normal)
        curl = (1 - self.combed) * rng.uniform(-np.pi / 2, np.pi / 2, (len(near), 1))
        way = np.cos(curl) * way + np.sin(curl) * np.cross(normal, way)
        color = self._usual(origin[:, 1])
        return Roots(triangle, barycentric, origin + height[:, None] * normal, way, normal, color)

    def _usual(self, height: np.ndarray) -> np.ndarray:
        """[n, 3] mean colour of the hair that pictures show as high up as `height` [n] m."""
        seen = np.flatnonzero(self._seen)
        level = KDTree(self.rest[seen, 1:2]).query(height[:, None], min(_LEVEL, len(seen)))[1]
        like = seen[level]
        weight = self._pixels[like][..., None]
        return (self.splats.color[like] * weight).sum(1) / weight.sum(1)

    def behind_neck(self, rng: np.random.Generator) -> Roots | None:
        """A curtain from one side to the other, if hair hangs beside the neck on both; None if it does not."""
        head, rest = self.head, self.rest
        if not {NECK, TORSO} <= set(self._kinds.tolist()):
            return None  # a head that ends at its chin
        neck = head.template[np.unique(head.faces[self._kinds == NECK])]
        shoulders = head.template[np.unique(head.faces[self._kinds == TORSO]), 1].max()
        off = KDTree(head.template).query(rest)[0] > _BESIDE
        wide = np.abs(rest[:, 0]) > np.abs(neck[:, 0]).max() / 2
        free = self._sure & off & wide & (rest[:, 1] < self._low[1]) & (rest[:, 1] > shoulders)
        free &= self.splats.logit_opacity > 0
        left, right = free & (rest[:, 0] > 0), free & (rest[:, 0] < 0)
        if min(left.sum(), right.sum()) < _HANGING:
            return None
        middle, back = float(np.median(rest[free, 2])), float(self._low[2])
        end = float(np.quantile(rest[free, 1], 0.02))
        reach = [float(np.median(np.abs(rest[side, 0]))) for side in (right, left)]
        deep = middle - back
        if deep <= 0:
            return None
        count = self.count(float(np.pi * (np.mean(reach) + deep) / 2 * -end))
        angle = rng.uniform(-np.pi / 2, np.pi / 2, count)
        radius = np.where(angle < 0, *reach)
        place = np.stack([radius * np.sin(angle), rng.uniform(end, 0, count), middle - deep * np.cos(angle)], 1)
        normal = _unit(np.stack([np.sin(angle) / radius, np.zeros(count), -np.cos(angle) / deep], 1))
        place += normal * rng.normal(size=(count, 1)) * _THICK
        kept = place[:, 1] > end + _UNEVEN * rng.uniform(size=count) ** 2
        place, normal = place[kept], normal[kept]
        usable = np.flatnonzero(np.isin(self._kinds, (NECK, SCALP, TORSO)))
        corners = head.template[head.faces[usable]]
        triangle = usable[KDTree(corners.mean(1)).query(place)[1]]
        barycentric = np.full((len(place), 3), 1 / 3)
        source, mirrored = np.flatnonzero(free), np.array([-1.0, 1.0, 1.0])
        tree = KDTree(np.concatenate([rest[source], rest[source] * mirrored]) * [0.3, 2.0, 0.3])
        models = source[tree.query(place * [0.3, 2.0, 0.3], k=ALIKE)[1] % len(source)]
        hanging, nape = np.median(self.splats.color[models], 1), self.splats.color[self._scalp]
        nape = nape[KDTree(rest[self._scalp]).query(place)[1]]
        down = (place[:, 1:2] / end).clip(0, 1)
        color = (1 - down) * nape + down * hanging
        way = np.tile([0.0, -1.0, 0.0], (len(place), 1))
        return Roots(triangle, barycentric, place, way, normal, color)

    def strands(self, roots: Roots, enlarged: float, rng: np.random.Generator) -> Splats:
        """Splats like those that were seen, at new places.

        Args:
            enlarged: how much longer and wider they are.
        """
        count, head = len(roots), self.head
        strays = _TOUSLED * rng.normal(size=(count, 1))
        side = np.cross(roots.normal, roots.way)
        way = np.cos(strays) * roots.way + np.sin(strays) * side
        axes = np.stack([way, np.cross(roots.normal, way), roots.normal], 2)
        origin, frame, stretch = local_frames(
            head.template, head.faces, head.template, roots.triangle, roots.barycentric
        )
        turned = geometry.quaternion_from_matrix(torch.from_numpy(np.einsum("nji,njk->nik", frame, axes)))
        extent = np.full(count, self._size[0] * enlarged)
        mean = np.einsum("nji,nj->ni", frame, roots.place - origin) / (extent * stretch)[:, None]
        lit = np.log(self.splats.color[self._seen].mean(1).clip(0.02))
        near = KDTree(self.rest[self._seen]).query(self.rest[self._seen], _NEIGHBOURS + 1)[1]
        contrast = min(float((lit - lit[near].mean(1)).std()), _CONTRAST)
        shade = np.exp(contrast * self._shades(roots.place, rng) - contrast**2 / 2)
        # Light that hair reflects has its own colour only in part.
        grey = roots.color.mean(1, keepdims=True)
        color = roots.color * shade[:, None].clip(max=1) + (roots.color + grey) / 2 * (shade[:, None] - 1).clip(0)
        size = np.log([1.0, self._size[1] / self._size[0], self._size[2] / self._size[0] / enlarged])
        return Splats(
            roots.triangle.astype(np.int32), roots.barycentric.astype(np.float32), extent.astype(np.float32),
            mean.astype(np.float32), turned.numpy().astype(np.float32), np.tile(size, (count, 1)).astype(np.float32),
            np.full(count, _SOLID, np.float32), color.clip(0, 1).astype(np.float32),
            np.zeros((count, 9, self.splats.bases.shape[2]), np.float32),
        )  # fmt: skip

    def _shades(self, place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[n] of mean 0 and deviation 1: brightness in strands, in locks, and of each splat by itself."""
        around = np.arctan2(place[:, 0] - self._whorl[0], self._whorl[2] - place[:, 2])
        across = around * (self._high[0] - self._low[0]) / 2
        shared = 0.8 * _waves(across, place[:, 1], _STRAND, rng) + 0.6 * _waves(across, place[:, 1], _LOCK, rng)
        share = _SHARED * self.combed  # curls have no strands to share it along
        return share * shared + np.sqrt(1 - share**2) * rng.normal(size=len(place))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)


def _waves(u: np.ndarray, v: np.ndarray, scale: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """[n] a smooth random field of deviation 1 at places (u, v) m, with its scale in either direction."""
    count = 96
    across, along = (rng.normal(size=count) / s for s in scale)
    phase = rng.uniform(0, 2 * np.pi, count)
    return np.sqrt(2 / count) * np.cos(u[:, None] * across + v[:, None] * along + phase).sum(1)
