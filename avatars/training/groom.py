"""Hair and clothes where no frame shows any.

What is hidden takes after the hair beside it in colour (see `calm`), but some hundred large splats of one colour make a
skull and no hair. When a training has ended, hair is grown there: splats as long, thin and unlike their neighbours as
those of the hair that was seen, along the way in which hair falls, and cloth is laid over the back (see `cloth`).
Whatever of it would show in the footage is left out again: the pictures know better.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..data import Camera, Splats
from ..heads.head import Head
from ..raster.reference import ALPHA_MIN
from ..splats.bases import BasisNetwork
from ..splats.model import AvatarModel
from .calm import visibility
from .cloth import below_neck, cloth_behind
from .frames import apart
from .hair import Hair
from .poses import PoseTable

_INTRUDES = 0.003
"""Share of its footprint that what is added may show in the footage."""
_VIEWS, _LAYERS = 64, 16
"""Frames in which it must not show, and how often it is looked for what shows once what was before it is gone."""
_SINKS, _SINK = 4, 0.0015
"""How often what shows is first laid lower, and by how much, m: a head's outline says how high it may stand."""
_SPLITS, _NEVER = 2, -1
"""How often cloth that shows is then split into four of half the size: what lies beside the edge of the pictures
reaches into them, and without it a gap is left between the cloth that was filmed and that which was not. Hair never is.
"""
_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_MOST = 0.2
"""Hair to grow at most, of all splats, and cloth up to which it is split."""


def groomed(
    head: Head, splats: Splats, network: BasisNetwork, poses: PoseTable, camera: Camera, rows: np.ndarray
) -> Splats:
    """Splats with hair and cloth where no frame shows any, and without those too faint to be ever drawn.

    Args:
        poses, rows: of the footage, which must not change by it.
    """
    splats = _taken(splats, splats.logit_opacity > np.log(ALPHA_MIN / (1 - ALPHA_MIN)))
    device = next(network.parameters()).device
    model = AvatarModel(head, splats, network).to(device)
    shown = visibility(model, poses, camera, rows)[0]
    rest = model.rest_means().numpy()
    kept = ~below_neck(head, splats, rest, shown)
    splats, rest, shown = _taken(splats, kept), rest[kept], shown[kept]
    nothing = _taken(splats, np.zeros(0, int))
    cloth = cloth_behind(head, splats, rest, shown) or nothing
    hair = _hair(Hair(head, splats, rest, shown), round(_MOST * len(splats))) or nothing
    grown = _joined(cloth, hair)
    splits = np.r_[np.full(len(cloth), _SPLITS), np.full(len(hair), _NEVER)]
    if not len(grown):
        return splats
    pose = poses.pose[torch.from_numpy(rows)]
    turned = torch.cat([pose.rotation.reshape(len(rows), 9), 10 * pose.translation], 1).numpy()
    far = rows[apart(turned, _VIEWS)]  # the most turned heads show what no others do
    for layer in range(_LAYERS):
        both = _joined(splats, grown)
        model = AvatarModel(head, both, network).to(device)
        intrudes = visibility(model, poses, camera, far, len(far))[0][len(splats) :] > _INTRUDES
        if not intrudes.any():
            break
        if layer < _SINKS:
            grown.mean[intrudes, 2] -= _SINK / grown.extent[intrudes]
        else:
            room = round(_MOST * len(splats)) - int((~intrudes & (splits != _NEVER)).sum())
            parted = np.flatnonzero(intrudes & (splits > 0))[: max(0, room // len(_CORNERS))]
            grown = _joined(_taken(grown, ~intrudes), _split(_taken(grown, parted)))
            splits = np.r_[splits[~intrudes], np.repeat(splits[parted] - 1, len(_CORNERS))]
    return _joined(splats, grown)


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
