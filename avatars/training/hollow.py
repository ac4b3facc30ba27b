"""The soft inside of the mouth: dark flesh without a pattern.

Footage shows it through a slit, a little at a time, and beside teeth that are never quite where the mesh has them. Left
alone, the splats of tongue and throat take on the teeth, the lips and the shade between them, and a mouth that opens
wider than in the film shows blots. Their colours are therefore kept smooth, but for the shade of a round tongue, and
below what flesh can be. And large splats near the lips would reach out between them, as a haze from the side.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from ..splats.interior import INTERIOR, tongue_shade
from ..splats.model import AvatarModel

BRIGHTEST = {"mouth_interior": (0.50, 0.28, 0.28), "tongue": (0.78, 0.46, 0.48)}
"""Most that each region's colour (sRGB) may be; teeth are brighter in green and blue under any light."""
_REACH = 0.005
"""m: standard deviation of the distance over which colours are evened out."""
_EVERY, _SHARE = 10, 0.3
"""Steps between two smoothings, and how far each goes."""
_LEAST, _WITHIN = 0.0012, 0.4
"""Largest standard deviation of what lies in the mouth, the larger of so many m and so much of the way to the skin."""


def largest(model: AvatarModel, splats: np.ndarray) -> Tensor:
    """[n, 1] log of the largest standard deviation, in extents, of some splats [n] in the mouth, where they are now."""
    head = model.head.head
    inside = np.logical_or.reduce([head.regions[name] for name in INTERIOR if name in head.regions])
    skin = KDTree(head.template[head.regions["face"] & ~inside])
    away = skin.query(model.rest_means().numpy()[splats])[0]
    most = np.log(np.maximum(_LEAST, _WITHIN * away) / model.binding.extent[splats])
    return torch.from_numpy(most.astype(np.float32))[:, None].to(model.device)


class Hollow:
    """Keeps the colours of one model's tongue and mouth interior."""

    def __init__(self, model: AvatarModel) -> None:
        head, corner = model.head.head, model.binding.corner
        rest = model.rest_means().numpy()
        index, high, blocks, shades = [], [], [], []
        for name, brightest in BRIGHTEST.items():
            if name not in head.regions:
                continue
            chosen = np.flatnonzero(head.regions[name][corner].all(1))
            apart = np.linalg.norm(rest[chosen][:, None] - rest[chosen][None], axis=2)
            near = np.exp(-0.5 * (apart / _REACH) ** 2)
            index.append(chosen)
            high.append(np.tile(brightest, (len(chosen), 1)))
            shades.append(tongue_shade(head, rest[chosen]) if name == "tongue" else np.ones(len(chosen)))
            blocks.append(torch.from_numpy((near / near.sum(1, keepdims=True)).astype(np.float32)))
        empty = np.zeros(0, np.int64)
        self.splats = torch.from_numpy(np.concatenate([empty, *index])).to(model.device)
        """Which splats these are."""
        self._high = torch.from_numpy(np.concatenate([np.zeros((0, 3)), *high]).astype(np.float32)).to(model.device)
        shade = np.concatenate([np.zeros(0), *shades])[:, None].astype(np.float32)
        self._shade = torch.from_numpy(shade).to(model.device)
        self._mean = torch.block_diag(*blocks).to(model.device) if blocks else torch.zeros(0, 0)

    @torch.no_grad()
    def settle(self, color: Tensor, step: int) -> None:
        """Even out and limit the colours [N, 3] of all splats, in place, when it is time."""
        if step % _EVERY or not len(self.splats):
            return
        own = color[self.splats]
        smooth = self._shade * (self._mean @ (own / self._shade))
        color[self.splats] = torch.minimum(own.lerp(smooth, _SHARE), self._high)
