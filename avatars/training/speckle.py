"""What speckles from sides that no frame shows.

From the camera's own side, splats of any two colours that lie one behind the other make up the right one; carried round
the head they come apart, into blots of the background's blue in hair, pale slivers on a jaw, mottled cheeks. What a
head looks like from there no frame tells, but skin and hair have few lone pixels: each should be near the median of
those around it (the prior of a median filter; it keeps edges, which a mean would not).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..splats.model import AvatarModel, Pose, camera_tensors
from . import bounds
from .sides import random_side, reduced

_YAW = np.radians(60.0)
_WINDOW = 5
"""px of the median's window, in a picture as small as that of `sides`."""
_WEIGHT = 1.0
"""Of a pixel's distance from the median against the photometric loss of one. At three times as much, Adam takes smaller
steps along what the film says, and pictures lose .15 dB."""
_SOLID = 0.8
"""Least alpha of a pixel that is asked: an outline's is of two things by right."""
_GREY = 0.5
_FEW, _TONE = 20, 0.02
"""Splats that tell a face's tones, and how far beyond those, as shares of red, green and blue, a neck's may lie and be
skin."""
_MOVED = ("color", "logit_opacity")
_COLOR = slice(6, 9)
"""Columns of what bases add."""


class Speckle:
    """Makes what shows from random sides smooth: skin in all, hair and features in their tint alone, since they have
    strands and edges. Clothes are left alone, as they have patterns.

    Args:
        model: as seeded.
        camera: of the training images.
    """

    def __init__(self, model: AvatarModel, camera: Camera) -> None:
        self._model, self._camera = model, reduced(camera)
        worn = model.head.head.bust_faces(model.binding.corner) | _collar(model)
        self._worn = torch.from_numpy(worn).to(model.device)
        self._skin = torch.from_numpy(bounds.plain(model) & ~worn).to(model.device) & ~bounds.beside(model)

    def smooth(self, pose: Pose, delta: Tensor | None, rng: np.random.Generator) -> float:
        """Add gradients of how far one side is from its median to colours and opacities, and to `delta`; the loss.

        Args:
            pose: one, in the host's memory, without a graph.
            delta: [1, N, 9] what bases add to it; its colours get their share too.
        """
        camera = random_side(self._camera, pose, _YAW, rng)
        color, opacity = (self._model.parameters[name] for name in _MOVED)
        added = None if delta is None else delta.detach().requires_grad_()
        loss = _WEIGHT * self._rough(pose, added, camera)
        wanted = [color, opacity] if added is None else [color, opacity, added]
        found = torch.autograd.grad(loss, wanted)
        _add(color, self._tint(found[0]))
        _add(opacity, found[1] * self._skin)
        if delta is not None:
            share = torch.zeros_like(found[2])
            share[0, :, _COLOR] = self._tint(found[2][0, :, _COLOR])
            _add(delta, share)
        return float(loss.detach())

    def _tint(self, gradient: Tensor) -> Tensor:
        """What of a gradient [N, 3] of colours each splat may follow."""
        tint = gradient - gradient.mean(1, keepdim=True)
        return torch.where(self._skin[:, None], gradient, tint).masked_fill_(self._worn[:, None], 0)

    def _rough(self, pose: Pose, delta: Tensor | None, camera: Camera) -> Tensor:
        """Mean over the picture of how far its pixels are from the median of those around them."""
        kept, (intrinsics, view) = self._model.parameters, camera_tensors(camera)
        with torch.no_grad():
            vertices = self._model.vertices(pose)
        background = torch.full((3,), _GREY)
        try:
            self._model.parameters = {k: v if k in _MOVED else v.detach() for k, v in kept.items()}
            drawn = self._model.draw(vertices, delta, intrinsics, view, camera.width, camera.height, background)
        finally:
            self._model.parameters = kept
        picture = drawn.color[0]
        with torch.no_grad():
            pixels = np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy())
            median = torch.from_numpy(cv2.medianBlur(pixels, _WINDOW)).permute(2, 0, 1).to(picture.device)
            solid = (drawn.alpha[0] > _SOLID).to(picture.dtype)
        return ((picture - median).abs() * solid).mean()


def _collar(model: AvatarModel) -> np.ndarray:
    """[N] bool: splats of the neck whose tone no face has: it wears a collar."""
    color = model.parameters["color"].detach().cpu().numpy()
    tone = color / color.sum(1, keepdims=True).clip(0.05)
    face, neck = (bounds.plain(model) & bounds.part(model, name) for name in ("face", "neck"))
    if face.sum() < _FEW:
        return np.zeros(len(color), bool)
    low, high = np.percentile(tone[face], (1, 99), axis=0)
    return neck & ((tone < low - _TONE) | (tone > high + _TONE)).any(1)


def _add(value: Tensor, gradient: Tensor) -> None:
    value.grad = gradient if value.grad is None else value.grad + gradient
