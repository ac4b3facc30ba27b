"""What the head's own surface hides in a frame.

A camera that never moves cannot tell an opaque cheek from a pale one over a dark mouth: layers that shine through each
other add up to the right colour from the front, and to blotches from the side. Training gives what lies behind any
colour at all, now and then, so that only what lies in front can explain the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ..data import Camera
from ..heads.head import HeadModel
from ..raster.mesh import rasterize_mesh
from ..splats.model import AvatarModel, Pose

_SIDE = 192
"""px of the buffer's longer side."""
_DEEP = 0.006
"""m behind the front from which something counts as hidden."""
_RIM = 5
"""px around a place in which the deepest front counts: silhouettes are never quite in place."""


class Occlusion:
    """Which of N splats are hidden in which row; found when first asked for.

    Args:
        model: as seeded; its binding says where splats sit. What starts outside the mesh is never hidden: hair and
            cloth may be anywhere.
        poses: of all rows, as tracked. Refined ones, or the head as training shapes it, would make a resumed training
            differ from an uninterrupted one.
        camera: of the training images.
    """

    def __init__(self, model: AvatarModel, poses: Pose, camera: Camera) -> None:
        ratio = _SIDE / max(camera.width, camera.height)
        self._camera = camera.resized(max(1, round(camera.width * ratio)), max(1, round(camera.height * ratio)))
        self._model, self._poses, self._body = model, poses, HeadModel(model.head.head)
        self._bound = (model.parameters["mean"].detach().abs().amax(1) == 0).cpu().numpy()
        self._known: dict[int, np.ndarray] = {}

    def hidden(self, row: int) -> Tensor:
        """[N] bool, in the host's memory."""
        if row not in self._known:
            self._known[row] = np.packbits(self._find(row))
        bits = np.unpackbits(self._known[row], count=len(self._bound))
        return torch.from_numpy(bits.view(bool))

    @contextmanager
    def recolored(self, row: int, color: Tensor) -> Iterator[Tensor]:
        """All that is hidden in one colour [3] while this lasts; gives the indices [n] of it."""
        colors = self._model.parameters["color"].detach()
        hidden = self.hidden(row).nonzero()[:, 0].to(colors.device)  # counted here: a GPU would have to be waited for
        kept = colors.index_select(0, hidden)
        colors.index_copy_(0, hidden, color.to(colors.device).expand_as(kept))
        try:
            yield hidden
        finally:
            colors.index_copy_(0, hidden, kept)

    @torch.no_grad()
    def _find(self, row: int) -> np.ndarray:
        p = self._poses[row]
        posed = self._body.pose(p.expression, p.rotation, p.translation, p.torso_rotation, p.torso_translation)
        return self.behind(posed[0].numpy(), self._camera)

    def behind(self, vertices: np.ndarray, camera: Camera) -> np.ndarray:
        """[N] bool: what posed vertices [V, 3] m hide from a camera, at its resolution."""
        x, y, z = (vertices @ camera.camera_from_world[:3, :3].T + camera.camera_from_world[:3, 3]).T
        z = np.maximum(z, 1e-4)
        screen = np.stack([x / z * camera.fx + camera.cx, y / z * camera.fy + camera.cy, z], 1).astype(np.float32)
        depth = rasterize_mesh(screen, self._model.head.head.faces, camera.width, camera.height).depth
        deepest = ndimage.maximum_filter(np.where(depth > 0, depth, np.inf), _RIM)
        column, line = screen[:, 0].astype(int), screen[:, 1].astype(int)
        at = deepest[line.clip(0, camera.height - 1), column.clip(0, camera.width - 1)]
        return self._bound & (z > at + _DEEP)[self._model.binding.corner].all(1)
