"""Hair and clothes where no frame shows any.

What is hidden takes after the hair beside it in colour (see `calm`), but some hundred large splats of one colour make a
skull and no hair. When a training has ended, hair is grown there: splats as long, thin and unlike their neighbours as
those of the hair that was seen, along the way in which hair falls, and cloth is laid over the back (see `cloth`).
Whatever of it would show in the footage is left out again: the pictures know better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..data import Camera, Splats
from ..heads.head import Head
from ..raster.reference import ALPHA_MIN
from ..splats.bases import BasisNetwork
from ..splats.binding import local_frames
from ..splats.model import AvatarModel
from .calm import visibility
from .cloth import below_neck, cloth_behind
from .frames import apart
from .hair import Hair
from .lining import lowered
from .poses import PoseTable
from .strays import strays

_INTRUDES = 0.003
"""Share of its footprint that what is added may show in the footage."""
_VIEWS, _LAYERS = 64, 28
"""Frames in which it must not show, and how often it is looked for what shows once what was before it is gone."""
_SINKS, _SINK = 4, 0.0015
"""How often what shows is first laid lower, and by how much, m: a head's outline says how high it may stand."""
_SHIFTS, _SHIFT = 8, 0.004
"""How often cloth that shows is then moved towards the body's middle, and by how much, m: a sleeve of the mesh may
stand out further than that of the film, behind which it belongs. What shows even so goes back to where it was.
"""
_SPLITS, _NEVER = 2, -1
"""How often that is split into four of half the size: what lies beside the edge of the pictures reaches into them, and
without it a gap is left between the cloth that was filmed and that which was not. Hair never is.
"""
_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_MOST = 0.2
"""Hair to grow at most, of all splats, and cloth up to which it is split."""


def groomed(
    head: Head, splats: Splats, network: BasisNetwork, poses: PoseTable, camera: Camera, rows: np.ndarray
) -> Splats:
    """Splats with hair and cloth where no frame shows any, and without strays and those too faint to be ever drawn.

    Args:
        poses, rows: of the footage, which must not change by it.
    """
    splats = _taken(splats, splats.logit_opacity > np.log(ALPHA_MIN / (1 - ALPHA_MIN)))
    device = next(network.parameters()).device
    model = AvatarModel(head, splats, network).to(device)
    shown, pixels = visibility(model, poses, camera, rows)
    rest = model.rest_means().numpy()
    kept = ~(below_neck(head, splats, rest, shown) | strays(head, splats, rest))
    splats, rest, shown, pixels = _taken(splats, kept), rest[kept], shown[kept], pixels[kept]
    nothing = _taken(splats, np.zeros(0, int))
    cloth = cloth_behind(head, splats, rest, shown) or nothing
    hair = _hair(Hair(head, splats, rest, shown, pixels), round(_MOST * len(splats))) or nothing
    if not len(cloth) + len(hair):
        return splats
    added = _Added.of(head, cloth, hair)
    pose, most = poses.pose[torch.from_numpy(rows)], round(_MOST * len(splats))
    turned = torch.cat([pose.rotation.reshape(len(rows), 9), 10 * pose.translation], 1).numpy()
    far = rows[apart(turned, _VIEWS)]  # the most turned heads show what no others do
    scalp = (shown <= _INTRUDES) & head.faces_of("scalp")[splats.triangle]
    for layer in range(_LAYERS):
        lined = lowered(head, splats, scalp, added.hair())
        model = AvatarModel(head, _joined(lined, added.splats), network).to(device)
        intrudes = visibility(model, poses, camera, far, len(far))[0][len(splats) :] > _INTRUDES
        if not intrudes.any():
            break
        added = added.dodged(intrudes, layer, most)
    return _joined(lowered(head, splats, scalp, added.hair()), added.splats)


@dataclass
class _Added:
    """What is laid where no frame shows anything, n splats, and what may become of it where it shows nevertheless."""

    splats: Splats
    splits: np.ndarray
    """[n] how often each may be split, _NEVER for hair."""
    home: np.ndarray
    """[n, 3] mean that cloth goes back to."""
    inward: np.ndarray
    """[n, 3] of its own frame: the way to the middle of the body, left or right, at rest."""

    @classmethod
    def of(cls, head: Head, cloth: Splats, hair: Splats) -> _Added:
        both = _joined(cloth, hair)
        splits = np.r_[np.full(len(cloth), _SPLITS), np.full(len(hair), _NEVER)]
        rest = head.template
        place, frame, _ = local_frames(rest, head.faces, rest, both.triangle, both.barycentric)
        return cls(both, splits, both.mean, (-np.sign(place[:, :1]) * frame[:, 0]).astype(np.float32))

    def dodged(self, intrudes: np.ndarray, layer: int, most: int) -> _Added:
        """What is left of it if some of it [n] shows, at most so many splats of cloth after splits."""
        cloth, mean, extent = self.splits != _NEVER, self.splats.mean, self.splats.extent[:, None]
        if layer < _SINKS:
            lower = mean.copy()
            lower[intrudes, 2] -= _SINK / self.splats.extent[intrudes]
            return replace(self, splats=replace(self.splats, mean=lower), home=lower)
        if layer <= _SINKS + _SHIFTS:
            there = self.home if layer == _SINKS + _SHIFTS else mean + _SHIFT * self.inward / extent
            moved = np.where((intrudes & cloth)[:, None], there, mean)
            return replace(self, splats=replace(self.splats, mean=moved))._taken(~intrudes | cloth)
        room = max(0, most - int((~intrudes & cloth).sum())) // len(_CORNERS)
        parted = self._taken(np.flatnonzero(intrudes & (self.splits > 0))[:room])
        rest, quarters = self._taken(~intrudes), _split(parted.splats)
        splits, inward = (np.repeat(value, len(_CORNERS), 0) for value in (parted.splits - 1, parted.inward))
        return _Added(
            _joined(rest.splats, quarters), np.r_[rest.splits, splits],
            np.concatenate([rest.home, quarters.mean]), np.concatenate([rest.inward, inward]),
        )  # fmt: skip

    def hair(self) -> Splats:
        """The hair among it."""
        return _taken(self.splats, self.splits == _NEVER)

    def _taken(self, which: np.ndarray) -> _Added:
        return _Added(_taken(self.splats, which), self.splits[which], self.home[which], self.inward[which])


def _split(splats: Splats) -> Splats:
    """Four flat splats of half the size in place of each."""
    four = {name: np.repeat(value, len(_CORNERS), 0) for name, value in vars(splats).items()}
    corners = np.tile(np.array([(x, y, 0) for x, y in _CORNERS], np.float32), (len(splats), 1))
    return replace(splats, **four | {"extent": four["extent"] / 2, "mean": 2 * four["mean"] + corners})


def _hair(hair: Hair, most: int) -> Splats | None:
    """All that could grow, at most so many; None where nothing can."""
    if not hair.known:
        return None
    rng = np.random.default_rng(0)
    roots = hair.on_scalp(rng)
    hanging = hair.behind_neck(rng)
    if hanging is not None:
        roots = roots.joined(hanging)
    if not len(roots):
        return None
    kept = rng.permutation(len(roots))[:most]
    enlarged = float(np.sqrt(len(roots) / len(kept)))  # fewer than it takes to cover the place are larger
    return hair.strands(roots.taken(kept), enlarged, rng)


def _taken(splats: Splats, which: np.ndarray) -> Splats:
    return replace(splats, **{name: value[which] for name, value in vars(splats).items()})


def _joined(one: Splats, other: Splats) -> Splats:
    return replace(one, **{name: np.concatenate([value, getattr(other, name)]) for name, value in vars(one).items()})
