"""Where single splats may go, how large and how long they may get: what one camera cannot tell, and must not guess."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from ..splats.interior import INTERIOR, TEETH
from ..splats.model import AvatarModel

_MAX_SCALE, _LIDS = 0.012, (0.002, 0.7)
"""Largest standard deviation, m; on lids, which a blink draws out three times as long, the larger of so many m and so
many extents.
"""
_MAX_LOG_ASPECT, _MAX_LOG_ASPECT_LIPS, _MAX_LOG_ASPECT_INNER = 2.3, 1.5, 1.1
"""Log of the largest ratio between a splat's axes; less on lips, and least on eyeballs, teeth and tongue: a needle that
seems to be a highlight or an edge sticks out as a spike when they turn or open."""
_MAX_EXTENTS = (1.4, 2.5)
"""Largest standard deviation in extents, on the skin and in hair and clothes: a few huge ones blur every outline from
the side."""
_THICKNESS = (0.3, 1.0)
"""Largest reach of a splat's axes along the normal, in extents: on the skin, and in hair and clothes."""
_FAR, _LID_REACH, _EYE_REACH, _FLESH_REACH = 1.5, 1.2, 0.7, 0.4
"""How far a splat may leave its seat on the skin, on lids, on an eyeball and on tongue or throat, in extents."""
_FARTHEST, _LID_FARTHEST = (0.02, 0.02, 0.006), 0.0007
"""The same for all of them in m, along the skin and along its normal, and on lids: sparse splats have large extents. A
lid that falls unfolds; what leans out far from its seat is thrown over the cheek by it, as a blot below the lashes.
"""
SUNK, _COVER = 0.0008, 0.0003
"""How far splats of an eyeball lie below its mesh at least, and those of lids below theirs at most, in m: splats are
drawn in the order of their centres, and a lid half-way down clears the eyeball by less than a millimetre.
"""
_RISE = 0.5
"""How far a splat may rise above bare skin, in extents: what floats before a face looks right from the front only."""
_TONES, _CONTRAST, CLOSE = 24, 0.15, 0.006
"""Neighbours among whose seeded colours a splat of bare skin keeps, how far it may lie beside them, and how far, in m,
from the skin one may be seeded to belong to it.
"""
_ANY, _GLOSS = 100.0, 1.0
"""A multiple of red that bounds nothing; and by how much a lip's green and blue may grow as red does in a highlight:
splats of lips must not become the teeth beside them.
"""
_REDDER, _GLOSSY = 1.25, 90
"""Multiple of the median lip's green and blue beside red that any may have, and percentile of red that is a highlight,
on skin too.
"""
_PALER, _USUAL = 1.15, 0.8
"""Multiple of its neighbours' green and blue beside red that bare skin may have, and quantile of theirs that counts: on
an outline some of them have the background's already.
"""
_ENAMEL = 1.05
"""Multiple of the whitest enamel's green and blue beside red that any tooth may have: a film shows teeth in slivers, of
which training makes green ones.
"""
_BARE, _HAIRY = ("face", "ears", "neck"), ("brows", "scalp")


def reach(model: AvatarModel) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """Bounds of the mean [N, 3] in extents, a mask [N, 9] of what bases may move, and limits [N, 1] of log aspect.

    Splats on the skin stay near it, else they show beside it from the side. Those of the eyeballs stay under its
    surface, and no basis moves them: a highlight that hovers in front of the eye would shine through closed lids. Nor
    those of lids, which the mesh closes well: a film has a blink or two, and what bases make of their few frames is
    lashes smeared below the eye in the next one. What lies in the mouth does not bend either: what a narrow opening
    taught would smear in a wide one.
    """
    mean = model.parameters["mean"].detach().cpu()
    low, high = torch.full_like(mean, -_FAR), torch.full_like(mean, _FAR)
    fill = beside(model).cpu()

    eye, inner = (torch.from_numpy(part(model, *names)) for names in (("eyeball_l", "eyeball_r"), INTERIOR))
    lid = lids(model).cpu()
    extent = torch.from_numpy(model.binding.extent)
    lean = (_LID_FARTHEST / extent[lid, None]).clamp_max(_LID_REACH)
    low[lid], high[lid] = -lean, lean
    low[inner], high[inner] = -_FLESH_REACH, _FLESH_REACH
    teeth = torch.from_numpy(part(model, *TEETH))
    low[eye], high[eye] = -_EYE_REACH, _EYE_REACH
    farthest = torch.tensor(_FARTHEST) / extent[:, None]
    low, high = torch.maximum(low, -farthest), torch.minimum(high, farthest)
    low[eye, 2], high[eye, 2] = (edge - SUNK / extent[eye] for edge in (low[eye, 2], 0.0))
    low[lid, 2] = torch.maximum(low, -_COVER / extent[:, None])[lid, 2]
    bare = torch.from_numpy(part(model, *_BARE) & ~part(model, *_HAIRY))
    high[bare, 2] = high[bare, 2].clamp_max(_RISE)
    low[fill | teeth], high[fill | teeth] = -np.inf, np.inf
    steady = torch.ones(len(mean), 9)
    steady[eye | inner | lid, :6] = 0.0
    aspect = torch.where(eye | inner, _MAX_LOG_ASPECT_INNER, _MAX_LOG_ASPECT)[:, None]
    aspect[torch.from_numpy(part(model, "lips")) & ~fill] = _MAX_LOG_ASPECT_LIPS
    return (low, high), steady, aspect


@dataclass
class Tones:
    """What colours [N, 3] splats may have: low <= color <= high, and green and blue no more than red times `most`
    [N, 2] and, where red is over `bright` [N, 1], the difference."""

    low: Tensor
    high: Tensor
    most: Tensor
    bright: Tensor

    def clamp(self, color: Tensor) -> None:
        """Bring colours within bounds, in place."""
        torch.minimum(torch.maximum(color, self.low, out=color), self.high, out=color)
        red, rest = color[:, :1], color[:, 1:]
        torch.minimum(rest, red * self.most + _GLOSS * (red - self.bright).clamp_min(0), out=rest)


def tones(model: AvatarModel) -> Tones:
    """Of a model before training: what lies on bare skin looks like the skin around it, so that no pair of thin splats,
    one black and one white, and none on an outline makes up from the front what are smudges from the side, nor grey
    slivers, which skin, however light or dark, never is; lips are no teeth, lids no eyeballs, and teeth not green.
    """
    color, mean = (model.parameters[name].detach().cpu().numpy() for name in ("color", "mean"))
    low, high = np.zeros_like(color), np.ones_like(color)
    most, bright = np.full_like(color[:, 1:], _ANY), np.ones_like(color[:, :1])
    bare = plain(model)
    skin = bare & ~beside(model).cpu().numpy()
    close = bare & (np.linalg.norm(mean * model.binding.extent[:, None], axis=1) < CLOSE)
    if skin.sum() >= _TONES:
        places = model.rest_means().detach().cpu().numpy()
        kin = color[skin][KDTree(places[skin]).query(places[close], _TONES)[1]]
        low[close], high[close] = kin.min(1) - _CONTRAST, kin.max(1) + _CONTRAST
        most[close] = _PALER * np.quantile(kin[..., 1:] / kin[..., :1].clip(0.05), _USUAL, axis=1)
        bright[close] = np.percentile(kin[..., :1], _GLOSSY, axis=1)
        lid = lids(model).cpu().numpy()
        if lid.any() and (skin & ~lid).sum() >= _TONES:
            around = color[skin & ~lid][KDTree(places[skin & ~lid]).query(places[lid], _TONES)[1]]
            high[lid] = around.max(1) + _CONTRAST
    lips = part(model, "lips")
    if lips.sum() >= _TONES:
        most[lips] = _REDDER * np.median(color[lips, 1:] / color[lips, :1].clip(0.05), 0)
        bright[lips] = np.percentile(color[lips, 0], _GLOSSY)
    teeth = part(model, *TEETH)
    if teeth.any():
        most[teeth] = _ENAMEL * (color[teeth, 1:] / color[teeth, :1].clip(0.05)).max(0)
    found = (low.clip(0, 1), high.clip(0, 1), most, bright)
    return Tones(*(torch.from_numpy(value).to(model.device) for value in found))


def part(model: AvatarModel, *names: str) -> np.ndarray:
    """[N] bool: splats on these regions of the head, those that it has."""
    head = model.head.head
    mask = np.logical_or.reduce([head.regions[name] for name in names if name in head.regions])
    return mask[model.binding.corner].all(1)


def lids(model: AvatarModel) -> Tensor:
    """[N] bool, before training: splats of eyelids and of the triangles around, which a blink unfolds, too."""
    region = model.head.head.regions.get("eyelids")
    if region is None:
        return torch.zeros(len(model.binding), dtype=torch.bool, device=model.device)
    return torch.from_numpy(region[model.binding.corner].any(1)).to(model.device) & ~beside(model)


def plain(model: AvatarModel) -> np.ndarray:
    """[N] bool: splats of skin that has no features of its own."""
    return part(model, *_BARE) & ~part(model, *_HAIRY, "lips", "eyelids", *INTERIOR)


def beside(model: AvatarModel) -> Tensor:
    """[N] bool: splats of hair and clothes beside the mesh; before training, those on its skin are in their seats."""
    return model.parameters["mean"].detach().abs().amax(1) > 0


def scale_limit(model: AvatarModel) -> Tensor:
    """[N, 1] log of the largest standard deviation, in extents, before training."""
    fill = beside(model)[:, None]
    most = torch.where(fill, _MAX_EXTENTS[1], _MAX_EXTENTS[0])
    extent = torch.from_numpy(model.binding.extent)[:, None].to(fill.device)
    most = torch.where(lids(model)[:, None], torch.minimum(most, (_LIDS[0] / extent).clamp_min(_LIDS[1])), most)
    return torch.minimum(_MAX_SCALE / extent, most).log()


def thickness(model: AvatarModel) -> Tensor:
    """[N, 1] log of how far each axis of a splat may reach along the normal of the skin, in extents.

    One camera does not see depth: a needle that points at it looks like a dot, and like a needle from the side.
    """
    fill = beside(model)
    reach = torch.tensor(_THICKNESS, device=fill.device).log()
    return torch.where(fill, reach[1], reach[0])[:, None]


def along_normal(quaternion: Tensor) -> Tensor:
    """[N, 3] how much of each axis lies along z, in (0, 1]."""
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=1).unbind(1)
    along = torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], 1)
    return along.abs_().clamp_(1e-3, 1)
