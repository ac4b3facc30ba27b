"""Clothes hang in sheets.

What a torso wears that hardly turns may lie at any depth, each splat at its own: from in front they add up to a jacket,
from the side to tatters, needles above the collar and blots of a tie. But cloth is as deep as the cloth of its colour
around it. So each splat is drawn to the median depth of that, along the line of sight of the frame it was seeded from,
in whose picture it stays where it is.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from ..splats.model import AvatarModel
from .depths import Depths
from .speckle import worn

_AROUND = 16
"""Splats that tell the depth of cloth."""
_ALIKE = 0.15
"""Difference of colour that counts as far as `_APART`."""
_APART = 0.02
"""m beside each other, at the depth of the torso."""
_DRAWN, _EVERY = 0.25, 10
"""Share of its distance to the median that a splat is drawn at full rate, and after how many steps."""


class Drape:
    """Draws cloth beside the mesh to as deep as the cloth around it.

    Args:
        model: as seeded.
        depths: of it.
    """

    def __init__(self, model: AvatarModel, depths: Depths) -> None:
        chosen = np.flatnonzero(worn(model)[depths.splats.cpu().numpy()])
        chosen = chosen if len(chosen) > _AROUND else chosen[:0]
        index = torch.from_numpy(chosen).to(depths.splats.device)
        self.splats, self._sight = depths.splats[index], depths.sight[index]
        self._first = model.parameters["mean"].detach()[self.splats].clone()
        self._away = torch.from_numpy(depths.away[chosen].astype(np.float32)).to(index.device)
        around = np.zeros((0, _AROUND), np.int64)
        if len(chosen):
            color = model.parameters["color"].detach()[self.splats].cpu().numpy()
            place = depths.at[chosen] * np.median(depths.away[chosen])
            looks = np.concatenate([place / _APART, color / _ALIKE], 1)
            around = KDTree(looks).query(looks, _AROUND)[1]
        self._around = torch.from_numpy(around).to(index.device)

    @torch.no_grad()
    def step(self, mean: Tensor, frozen: Tensor, rate: float, steps: int) -> None:
        """Move means [N, 3] (extents, in their own frames) along the line of sight, in place; those not `frozen` [N]
        bool."""
        if steps % _EVERY or not len(self.splats):
            return
        gone = ((mean[self.splats] - self._first) * self._sight).sum(1) / self._sight.square().sum(1)
        away = self._away + gone
        behind = (away - away[self._around].median(1).values) * ~frozen[self.splats]
        mean.index_add_(0, self.splats, (-_DRAWN * rate * behind)[:, None] * self._sight)
