"""What scratches skin from sides that no frame shows, seen from close by.

Where the camera grazes cheek and jaw, thin splats make up the picture, each for a line of pixels; carried round the
head they are fine light and dark scratches, too fine for the small pictures of `speckle`. So skin is also looked at as
near as the film does, a part of it at a time: pixels may be as far from the median of those around them as the film's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..splats.model import AvatarModel, Pose
from ..splats.seeding import screen
from .sides import random_side
from .speckle import Speckle, uneven

_SIZE = 256
"""px of the picture's sides, at most."""
_YAW = np.radians(50.0)
_WEIGHT = 1.0
"""Of a pixel rougher than the film's against the photometric loss of one."""


class Scratches:
    """Makes skin that shows from random sides no rougher than filmed.

    Args:
        speckle: knows what is skin, and draws it.
        model: as seeded.
        camera: of the training images.
        rough: how far a pixel of skin may be from the median of those around it.
    """

    def __init__(self, speckle: Speckle, model: AvatarModel, camera: Camera, rough: float) -> None:
        self._speckle, self._model, self._camera, self._rough = speckle, model, camera, rough
        self._places = np.unique(model.binding.corner[speckle.skin.cpu().numpy()])

    def smooth(self, pose: Pose, delta: Tensor | None, rng: np.random.Generator) -> float:
        """Add gradients of how much rougher than filmed one part of one side is to colours and opacities of skin, and
        to `delta`; the loss.

        Args:
            pose: one, in the host's memory, without a graph.
            delta: [1, N, 9] what bases add to it; its colours get their share too.
        """
        if not np.isfinite(self._rough) or not len(self._places):
            return 0.0
        side = random_side(self._camera, pose, _YAW, rng)
        with torch.no_grad():
            posed = self._model.vertices(pose)[0].cpu().numpy()
        camera = _cut(side, screen(posed[self._places[rng.integers(len(self._places))]][None], side)[0])
        added = None if delta is None else delta.detach().requires_grad_()
        off = uneven(self._speckle.drawn(pose, added, camera)).mean(0).abs()
        loss = _WEIGHT * (off - self._rough).clamp_min(0).mean()
        skin = self._speckle.skin
        self._speckle.learn(loss, added, delta, skin, lambda gradient: gradient * skin[:, None])
        return float(loss.detach())


def _cut(camera: Camera, center: np.ndarray) -> Camera:
    """The part of a camera's picture around a point (x, y, ...) px."""
    width, height = min(_SIZE, camera.width), min(_SIZE, camera.height)
    return replace(
        camera, width=width, height=height,
        cx=camera.cx - float(center[0]) + width / 2, cy=camera.cy - float(center[1]) + height / 2,
    )  # fmt: skip
