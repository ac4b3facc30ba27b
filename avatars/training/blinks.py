"""Lids shut: what a blink shows that a film hardly has.

A few frames of a film show closed lids, and seldom quite closed ones. The skin that a blink unfolds is a crease in all
others, where splats of any colour make up its shade; unfolded they are streaks, and between them the eyeball shows.
Two things are known of a blink without a picture of it: nothing of the eyeball may be seen through a lid, and lids are
skin, as even as other skin is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import KDTree
from torch import Tensor

from ..data import Camera
from ..heads.lids import BLINKS
from ..raster import ops
from ..raster.mesh import rasterize_mesh
from ..splats.model import PARAMETERS, AvatarModel, Pose, camera_tensors
from ..splats.seeding import screen
from . import bounds
from .sides import random_side
from .speckle import GREY, uneven

_YAW = np.radians(30.0)
_WIDTH, _MARGIN = 224, 0.15
"""px of the picture of both eyes, and the share of its width that is left around them: a row of lashes is wider than
the window of the median, a streak is not."""
_NEAR = 0.03
"""m around the lids from which splats are drawn."""
_CLOSED = (0.4, 0.9)
"""How far lids are shut, least and most: they meet at some .8."""
_THROUGH, _EVEN = 2.0, 4.0
"""Of a pixel of the eyeball, and of one's distance from the median of those around it, against the photometric loss of
one in a film's frame. More of it, and Adam takes smaller steps along what the film says."""
_RIM = 5
"""px around a place in which the deepest lid counts: silhouettes are never quite in place."""
_EYEBALLS = ("eyeball_l", "eyeball_r")
_LEARNING = ("log_scale", "logit_opacity", "color")


class Blinks:
    """Makes lids of a model close, opaque and even; one whose head has no blinks stays as it is.

    Args:
        model: as seeded.
        camera: of the training images.
    """

    def __init__(self, model: AvatarModel, camera: Camera) -> None:
        self._model, self._camera, head = model, camera, model.head.head
        self._axes = [head.expression_names.index(name) for name in BLINKS.values() if name in head.expression_names]
        self._around = np.flatnonzero(head.regions.get("eyelids", np.zeros(len(head.template), bool)))
        self._cover = head.faces[~head.faces_of(*_EYEBALLS)]
        near = np.zeros(len(model.binding), bool)
        if len(self._around):
            near = KDTree(head.template[self._around]).query(model.rest_means().numpy())[0] < _NEAR
        self._splats = torch.from_numpy(np.flatnonzero(near)).to(model.device)
        lids = bounds.lids(model).cpu()
        self._able = bool(self._axes) and bool(lids.any())
        self._lids = lids[near].to(model.device)
        self._balls = bounds.part(model, *_EYEBALLS)[near]
        self._binding = model.binding.part(near)

    def shut(self, pose: Pose, rng: np.random.Generator) -> float:
        """Add gradients of what closed lids let through to opacities and scales, and of how uneven they are to colours
        and opacities; the loss.

        Args:
            pose: one, in the host's memory, without a graph.
        """
        side, closed = random_side(self._camera, pose, _YAW, rng), float(rng.uniform(*_CLOSED))
        if not self._able:
            return 0.0
        expression = pose.expression.clone()
        expression[:, self._axes] = expression[:, self._axes].clamp_min(closed)
        with torch.no_grad():
            vertices = self._model.vertices(replace(pose, expression=expression))
        posed = vertices[0].cpu().numpy()
        camera = _close_up(side, posed[self._around])
        hidden = torch.from_numpy(self._behind(posed, camera)).to(vertices.device)
        own = {name: self._model.parameters[name].detach()[self._splats] for name in PARAMETERS}
        for name in _LEARNING:
            own[name].requires_grad_()
        size = camera.width * camera.height / (self._camera.width * self._camera.height)
        mask = hidden.to(vertices.dtype)[:, None].expand(-1, 3).contiguous()
        through = _THROUGH * size * self._drawn(vertices, {**own, "color": mask}, camera, None).color[:, 0].mean()
        even = _EVEN * size * uneven(self._drawn(vertices, own, camera, torch.full((3,), GREY))).abs().mean()
        self._learn(through, own, _LEARNING[:2], ~hidden)
        self._learn(even, own, _LEARNING[1:], self._lids)
        return float(through.detach() + even.detach())

    def _drawn(
        self, vertices: Tensor, own: dict[str, Tensor], camera: Camera, background: Tensor | None
    ) -> ops.Rendered:
        intrinsics, view = (x.to(vertices.device) for x in camera_tensors(camera))
        return ops.render_bound(
            vertices, self._binding, own["mean"], own["quaternion"], own["log_scale"], own["logit_opacity"],
            own["color"], None, intrinsics, view, camera.width, camera.height,
            background=None if background is None else background.to(vertices.device),
        )  # fmt: skip

    def _behind(self, vertices: np.ndarray, camera: Camera) -> np.ndarray:
        """[n] bool: splats of eyeballs that posed lids, [V, 3] m with all else, hide from a camera."""
        points = screen(vertices, camera)
        depth = rasterize_mesh(points, self._cover, camera.width, camera.height).depth
        deepest = ndimage.maximum_filter(np.where(depth > 0, depth, np.inf), _RIM)
        place = points[self._binding.corner].mean(1)
        column, line = place[:, 0].astype(int), place[:, 1].astype(int)
        at = deepest[line.clip(0, camera.height - 1), column.clip(0, camera.width - 1)]
        return self._balls & (place[:, 2] + bounds.SUNK > at)

    def _learn(self, loss: Tensor, own: dict[str, Tensor], names: tuple[str, ...], chosen: Tensor) -> None:
        """Add a loss's gradients with respect to some of the drawn splats' [n] tensors, for the chosen ones."""
        for name, gradient in zip(names, torch.autograd.grad(loss, [own[name] for name in names]), strict=True):
            value = self._model.parameters[name]
            if value.grad is None:
                value.grad = torch.zeros_like(value)
            value.grad.index_add_(0, self._splats, gradient * (chosen if gradient.ndim == 1 else chosen[:, None]))


def _close_up(camera: Camera, points: np.ndarray) -> Camera:
    """The camera, with a small picture that holds some points [M, 3] m and little else."""
    x, y, z = (points @ camera.camera_from_world[:3, :3].T + camera.camera_from_world[:3, 3]).T
    x, y = x / z, y / z
    scale = _WIDTH * (1 - 2 * _MARGIN) / max(float(np.ptp(x)), 1e-6)
    height = max(1, min(_WIDTH, round(float(np.ptp(y)) * scale + 2 * _MARGIN * _WIDTH)))
    cx, cy = _WIDTH / 2 - scale * (x.min() + x.max()) / 2, height / 2 - scale * (y.min() + y.max()) / 2
    return replace(camera, width=_WIDTH, height=height, fx=scale, fy=scale, cx=float(cx), cy=float(cy))
