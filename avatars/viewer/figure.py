"""The avatar in one pose, ready to be drawn from any number of cameras."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..splats.binding import bind_reference
from ..splats.model import AvatarModel, camera_tensors
from .framing import UNITS
from .person import Face

FAR = 167.0
"""Page units: what the page takes as infinitely far."""
_BEHIND = 0.8
"""Page units by which pictures lie behind what they show, so that layers on the surface are seen."""


SHOWN = ("picture", "ellipsoids", "matte", "nothing")
"""Ways to show the splats: as they are, each as a small solid body, only how opaque they are, or not at all."""
_SOLID_OPACITY, _SOLID_SIZE = 4.0, 0.6


@dataclass(frozen=True)
class Splatted:
    """Gaussians as the page draws them, in page units."""

    centers: np.ndarray
    covariances: np.ndarray
    colors: np.ndarray
    opacities: np.ndarray


class Figure:
    """One pose of a model: vertices and base deltas are computed once.

    Args:
        model: of the avatar.
        face: what it does.
    """

    @torch.no_grad()
    def __init__(self, model: AvatarModel, face: Face) -> None:
        self._model, pose = model, face.pose()
        self.vertices: Tensor = model.vertices(pose)
        self._delta = model.delta(model.weights(pose))

    @torch.no_grad()
    def picture(
        self, camera: Camera, background: np.ndarray, show: str = "picture", *, depth: bool = False
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """([H, W, 3] uint8 sRGB, depth [h, w] in page units or None).

        Args:
            background: [3], or [H, W, 3] behind a picture of that size; in [0, 1].
            show: one of `SHOWN`.
            depth: also give depth, at half the resolution; behind what is seen, and far where there is nothing.
        """
        intrinsics, view = camera_tensors(camera)
        model = _solid(self._model) if show == "ellipsoids" else self._model
        behind = torch.from_numpy(np.asarray(background, np.float32))
        drawn = model.draw(
            self.vertices, self._delta, intrinsics, view, camera.width, camera.height,
            behind.permute(2, 0, 1)[None].contiguous() if behind.ndim == 3 else behind,
        )  # fmt: skip
        color = drawn.alpha[0].repeat(3, 1, 1) if show == "matte" else drawn.color[0]
        levels = color.mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8)  # in place: the picture is ours
        image = levels.permute(1, 2, 0).contiguous().numpy()
        if not depth:
            return image, None
        alpha, away = drawn.alpha[0, 0, ::2, ::2].numpy(), drawn.depth[0, 0, ::2, ::2].numpy()
        return image, np.where(alpha > 0.5, (away * UNITS + _BEHIND).round(1), FAR).astype(np.float32)

    @torch.no_grad()
    def splats(self) -> Splatted:
        """The Gaussians themselves; covariances in square centimetres survive half precision."""
        p = self._model.parameters
        means, shapes, _, opacities, colors = bind_reference(
            self.vertices, self._model.binding, p["mean"], p["quaternion"], p["log_scale"], p["logit_opacity"],
            p["color"], self._delta,
        )  # fmt: skip
        axes = shapes[0] * UNITS
        return Splatted(
            centers=(means[0] * UNITS).numpy(),
            covariances=(axes @ axes.transpose(1, 2)).numpy(),
            colors=colors[0].clamp(0, 1).numpy(),
            opacities=opacities[0].numpy()[:, None].copy(),
        )

    @property
    def faces(self) -> np.ndarray:
        """[F, 3] of the rig."""
        return self._model.head.head.faces

    def mesh(self) -> np.ndarray:
        """[V, 3] the rig's vertices in page units."""
        return self.vertices[0].numpy() * UNITS

    @torch.no_grad()
    def landmarks(self) -> np.ndarray:
        """[n, 3] the landmarks that this head has, in page units."""
        points = self._model.head.landmarks(self.vertices)[0].numpy() * UNITS
        return points[np.isfinite(points).all(1)]


def _solid(model: AvatarModel) -> AvatarModel:
    """The same splats, opaque and smaller, so that each can be told from its neighbours."""
    out, p = copy.copy(model), dict(model.parameters)
    p["logit_opacity"] = torch.full_like(p["logit_opacity"], _SOLID_OPACITY)
    p["log_scale"] = p["log_scale"] + float(np.log(_SOLID_SIZE))
    out.parameters = p
    return out
