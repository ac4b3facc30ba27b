"""Long hair that is no deeper than the footage asks for.

A head that faces the camera shows how wide and how high a strand of hair is, not how deep. Training leaves it as deep
as it was seeded, or deeper: sheets that are thin lines from the front, in the colour of an outline, half hair and half
background, and pale plates from the side. So depth fades, slower than pictures that do show it bring it back. Clothes
and hair close to the head keep theirs: a torso that turns shows it, and there the mesh says how deep it is.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..splats.binding import frames
from ..splats.model import AvatarModel
from . import bounds

_FREE, _LONG = 0.015, 0.2
"""m off the mesh at which hair hangs free, and share of all that is beside the mesh from which hair is long."""
_FADE, _EVERY = 1e-3, 4
"""Share of its depth that a splat loses in a step at full rate, and how often that is done."""


class Slim:
    """Takes depth from splats of long hair; from none where hair is short.

    Args:
        model: as seeded.
    """

    def __init__(self, model: AvatarModel) -> None:
        beside = bounds.beside(model).cpu().numpy()
        off = np.linalg.norm(model.parameters["mean"].detach().cpu().numpy(), axis=1) * model.binding.extent
        free = np.flatnonzero(beside & ~model.head.head.torso_faces(model.binding.corner) & (off > _FREE))
        long = len(free) > _LONG * beside.sum()
        self.splats = torch.from_numpy(free if long else free[:0]).to(model.device)
        tangents = model.binding.surface(model.head.template.detach().cpu()[None])[1:]
        axes = frames(*tangents)[0][0].to(model.device)
        self._depth = axes[self.splats, 2]  # out of the face, in a splat's own frame

    @torch.no_grad()
    def step(self, log_scale: Tensor, quaternion: Tensor, rate: float, steps: int) -> None:
        """Shorten the axes [N, 3] of turned splats [N, 4], each by its part in the splat's depth, in place."""
        if steps % _EVERY or not len(self.splats):
            return
        turned = geometry.matrix_from_quaternion(quaternion[self.splats])
        size = log_scale[self.splats]
        part = torch.einsum("nij,ni->nj", turned, self._depth).square() * (2 * size).exp()
        part /= part.sum(1, keepdim=True).clamp_min(1e-12)
        log_scale[self.splats] = size - _FADE * _EVERY * rate * part
