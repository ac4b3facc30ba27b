"""What speckles from sides that no frame shows.

From the camera's own side, splats of any two colours that lie one behind the other make up the right one; carried round
the head they come apart, into blots of the background's blue in hair, pale slivers on a jaw, mottled cheeks. What a
head looks like from there no frame tells, but skin and hair have few lone pixels: each should be near the median of
those around it (the prior of a median filter; it keeps edges, which a mean would not). How far strands of hair stand
out from one another differs from head to head: sides may be as rough as the film.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..raster import ops
from ..splats.model import AvatarModel, Pose, camera_tensors
from . import bounds
from .frames import FrameStore
from .poses import PoseTable
from .sides import add, random_side, reduced

_YAW = np.radians(60.0)
_WINDOW = 5
"""px of the median's window, in a picture as small as that of `sides`."""
_WEIGHT = 1.0
"""Of a pixel's distance from the median against the photometric loss of one. At three times as much, Adam takes smaller
steps along what the film says, and pictures lose .15 dB."""
_SOLID = 0.8
"""Least alpha of a pixel that is asked: an outline's is of two things by right."""
GREY = 0.5
"""Of what lies behind."""
_FRAMES, _CLEAR, _ROUGHEST, _ENOUGH = 12, 0.95, 0.9, 500
"""Frames that are looked at, least matte of a pixel there, quantile of how far these are from the median of those
around them, and pixels that tell it."""
_FEW, _TONE = 20, 0.02
"""Splats that tell a face's tones, and how far beyond those, as shares of red, green and blue, a neck's may lie and be
skin."""
_MOVED = ("color", "logit_opacity")
_COLOR = slice(6, 9)
"""Columns of what bases add."""


class Speckle:
    """Makes what shows from random sides smooth: skin in all, hair and features in their tint, since they have strands
    and edges, and hair also in its brightness where it is rougher than filmed. Clothes are left alone, as they have
    patterns.

    Args:
        model: as seeded.
        camera: of the training images.
        rough: how far a pixel's brightness may be from the median of those around it in hair (see `roughness`).
    """

    def __init__(self, model: AvatarModel, camera: Camera, rough: float = np.inf) -> None:
        self._model, self._camera, self._rough = model, reduced(camera), rough
        clothes = worn(model)
        self._worn = torch.from_numpy(clothes).to(model.device)
        self.skin = torch.from_numpy(bounds.plain(model) & ~clothes).to(model.device) & ~bounds.beside(model)
        self._hair = hair(model)

    def smooth(self, pose: Pose, delta: Tensor | None, rng: np.random.Generator) -> float:
        """Add gradients of how far one side is from its median to colours and opacities, and to `delta`; the loss.

        Args:
            pose: one, in the host's memory, without a graph.
            delta: [1, N, 9] what bases add to it; its colours get their share too.
        """
        camera = random_side(self._camera, pose, _YAW, rng)
        added = None if delta is None else delta.detach().requires_grad_()
        off = uneven(self.drawn(pose, added, camera))
        loss = _WEIGHT * off.abs().mean()
        even = np.isfinite(self._rough)
        self.learn(loss, added, delta, self.skin, self._tint, keep=bool(even))
        if even:
            excess = _WEIGHT * (off.mean(0).abs() - self._rough).clamp_min(0).mean()
            self.learn(excess, added, delta, self._hair, lambda gradient: gradient * self._hair[:, None])
        return float(loss.detach())

    def learn(
        self, loss: Tensor, added: Tensor | None, delta: Tensor | None, solid: Tensor,
        shade: Callable[[Tensor], Tensor], keep: bool = False,
    ) -> None:  # fmt: skip
        """Add a loss's gradients to opacities of `solid` [N] splats, and what `shade` leaves of them to colours."""
        color, opacity = (self._model.parameters[name] for name in _MOVED)
        wanted = [color, opacity] if added is None else [color, opacity, added]
        found = torch.autograd.grad(loss, wanted, retain_graph=keep)
        add(color, shade(found[0]))
        add(opacity, found[1] * solid)
        if delta is not None:
            share = torch.zeros_like(found[2])
            share[0, :, _COLOR] = shade(found[2][0, :, _COLOR])
            add(delta, share)

    def _tint(self, gradient: Tensor) -> Tensor:
        """What of a gradient [N, 3] of colours each splat may follow."""
        tint = gradient - gradient.mean(1, keepdim=True)
        return torch.where(self.skin[:, None], gradient, tint).masked_fill_(self._worn[:, None], 0)

    def drawn(self, pose: Pose, delta: Tensor | None, camera: Camera) -> ops.Rendered:
        """A picture that is differentiable with respect to colours, opacities and `delta` alone."""
        kept, (intrinsics, view) = self._model.parameters, camera_tensors(camera)
        with torch.no_grad():
            vertices = self._model.vertices(pose)
        background = torch.full((3,), GREY)
        try:
            self._model.parameters = {k: v if k in _MOVED else v.detach() for k, v in kept.items()}
            return self._model.draw(vertices, delta, intrinsics, view, camera.width, camera.height, background)
        finally:
            self._model.parameters = kept


def uneven(drawn: ops.Rendered) -> Tensor:
    """[3, H, W] how far the pixels of the first picture are from the median of those around them, 0 on outlines."""
    picture = drawn.color[0]
    with torch.no_grad():
        pixels = np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy())
        median = torch.from_numpy(cv2.medianBlur(pixels, _WINDOW)).permute(2, 0, 1).to(picture.device)
        solid = (drawn.alpha[0] > _SOLID).to(picture.dtype)
    return (picture - median) * solid


@torch.no_grad()
def roughness(
    model: AvatarModel, poses: PoseTable, store: FrameStore, rows: np.ndarray, view: Camera, kind: Tensor
) -> float:
    """How far the brightness of what the film shows of some splats is from the median of that around it, of all but
    the roughest pixels; infinite where it shows little of them.

    Args:
        model: as seeded.
        view: the camera of the training images, as large as it is to be looked at.
        kind: [N] bool.
    """
    found = []
    level = int(store.sizes[1][0] >= view.width)
    marked = model.parameters["color"].detach().clone()
    marked[:] = kind[:, None]
    kept = model.parameters
    try:
        model.parameters = {k: v.detach() for k, v in kept.items()} | {"color": marked}
        for row in rows[:: max(1, len(rows) // _FRAMES)]:
            shown = model.render(poses.row(int(row)), view, torch.zeros(3)).color[0, 0].cpu().numpy()
            frame = store.get(int(row), level)
            image, matte = (_small(x[0].permute(1, 2, 0).cpu().numpy(), view) for x in (frame.image, frame.matte))
            off = np.abs((image - cv2.medianBlur(image, _WINDOW)).mean(2))
            found.append(off[(shown > _SOLID) & (matte > _CLEAR)])
    finally:
        model.parameters = kept
    pixels = np.concatenate(found)
    return float(np.quantile(pixels, _ROUGHEST)) if len(pixels) >= _ENOUGH else np.inf


def _small(image: np.ndarray, camera: Camera) -> np.ndarray:
    return cv2.resize(np.ascontiguousarray(image), (camera.width, camera.height), interpolation=cv2.INTER_AREA)


def worn(model: AvatarModel) -> np.ndarray:
    """[N] bool: clothes."""
    return model.head.head.bust_faces(model.binding.corner) | _collar(model)


def hair(model: AvatarModel) -> Tensor:
    """[N] bool: splats on the scalp and, of those that are no clothes, beside the mesh."""
    bare = ~worn(model)
    scalp = torch.from_numpy(bounds.part(model, "scalp") & bare).to(model.device)
    return scalp | (bounds.beside(model) & torch.from_numpy(bare).to(model.device))


def _collar(model: AvatarModel) -> np.ndarray:
    """[N] bool: splats of the neck whose tone no face has: it wears a collar."""
    color = model.parameters["color"].detach().cpu().numpy()
    tone = color / color.sum(1, keepdims=True).clip(0.05)
    face, neck = (bounds.plain(model) & bounds.part(model, name) for name in ("face", "neck"))
    if face.sum() < _FEW:
        return np.zeros(len(color), bool)
    low, high = np.percentile(tone[face], (1, 99), axis=0)
    return neck & ((tone < low - _TONE) | (tone > high + _TONE)).any(1)
