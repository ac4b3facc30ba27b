"""Colours that any viewer can show.

Blended in floating point, a splat may be blacker than black to darken what lies behind it, and bases may take it there
even where training keeps its own colour in range. Viewers blend in 8 bits and clip each splat to [0, 1] first, and
compact files cannot hold such colours at all. So colours, opacities, sizes and a little of the places of one pose are
fitted again within the range, against the same splats drawn without it from three sides. Should that not help, they
are clipped. What was changed in one pose does half as much good in others, and costs nothing there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..geometry import matrix_from_quaternion
from ..raster import ops
from ..splats.model import camera_tensors
from .posed import PosedSplats

_TURNS = (0.0, 0.3, -0.3)
"""rad about the vertical: views that the fit is over, the capture's first and half of the time."""
_COARSE, _STEPS = 60, 80
"""Steps of a fit at half the size, then at the whole."""
_SIZE = 512
"""px, longer side of the pictures that are compared."""
_FINE = 10 ** (-50 / 10)
"""Mean squared error of mere clipping that is left alone: 50 dB."""
_RATES = {"color": 0.04, "logit": 0.2, "size": 0.05, "shift": 0.02}


@dataclass(frozen=True)
class Change:
    """What a fit changed, splat by splat, so that it can be done to other poses; [1, N, ...] float32."""

    color: Tensor
    """sRGB, added before clipping."""
    logit: Tensor
    """Added to the logit of the opacity."""
    size: Tensor
    """Added to the logarithms of the scales."""
    shift: Tensor
    """Of the centre along the splat's own axes, in means of its scales."""

    @staticmethod
    def none(count: int) -> Change:
        """Nothing."""
        return Change(*(torch.zeros(shape) for shape in ((1, count, 3), (1, count), (1, count, 3), (1, count, 3))))


class _Tensors:
    """Splats of one pose; [1, N, ...] float32."""

    def __init__(self, splats: PosedSplats) -> None:
        self.means, self.wxyz, self.scales, self.opacities, self.colors = (
            torch.from_numpy(np.array(x, np.float32, order="C"))[None]
            for x in (splats.means, splats.wxyz, splats.scales, splats.opacities, splats.colors)
        )
        self.logit = torch.logit(self.opacities.clamp(1e-4, 1 - 1e-4))
        self.axes, self.unit = matrix_from_quaternion(self.wxyz), self.scales.mean(2, keepdim=True)

    def changed(self, change: Change) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Means, scales, opacities and colours after a change."""
        means = self.means + (self.axes @ (self.unit * change.shift)[..., None])[..., 0]
        opacities, colors = (self.logit + change.logit).sigmoid(), (self.colors + change.color).clamp(0, 1)
        return means, self.scales * change.size.exp(), opacities, colors


class _View(_Tensors):
    """Splats of one pose from three sides, at one size of picture."""

    def __init__(self, splats: PosedSplats, camera: Camera) -> None:
        super().__init__(splats)
        self.camera = camera
        self.intrinsics, _ = camera_tensors(camera)
        self.views = [_turned(camera, angle, splats.means) for angle in _TURNS]
        with torch.no_grad():
            self.targets = [self._draw(i, self.means, self.scales, self.opacities, self.colors) for i in range(3)]

    def _draw(self, which: int, means: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor) -> Tensor:
        size = (self.camera.width, self.camera.height)
        arrays = (means, self.wxyz, scales, opacities, colors, self.intrinsics, self.views[which])
        return ops.rasterize(*arrays, *size, background=_GRAY).color.clamp(0, 1)

    def difference(self, which: int, change: Change) -> Tensor:
        """[1, 3, H, W] of one side's picture after a change from what it should be."""
        return self._draw(which, *self.changed(change)) - self.targets[which]

    @torch.no_grad()
    def error(self, change: Change) -> float:
        """Mean squared difference over all sides."""
        return float(np.mean([float(self.difference(i, change).square().mean()) for i in range(3)]))


def displayable(splats: PosedSplats, camera: Camera) -> tuple[PosedSplats, Change]:
    """The same splats with colours in [0, 1] that look as much like the originals as they can, and what was changed.

    Args:
        camera: canonical (see `posed.canonical_camera`).
    """
    nothing = Change.none(len(splats))
    clipped = replace(splats, colors=splats.colors.clip(0, 1))
    if np.array_equal(clipped.colors, splats.colors):
        return clipped, nothing
    view = _View(splats, _within(camera, _SIZE))
    before = view.error(nothing)
    if before < _FINE:
        return clipped, nothing
    change = _fitted(_View(splats, _within(camera, _SIZE / 2)), nothing, _COARSE)
    change = _fitted(view, change, _STEPS)
    return (changed(splats, change), change) if view.error(change) < before else (clipped, nothing)


def changed(splats: PosedSplats, change: Change) -> PosedSplats:
    """Splats of any pose, clipped to [0, 1], after what a fit changed in another one."""
    if not any(bool(value.any()) for value in (change.color, change.logit, change.size, change.shift)):
        return replace(splats, colors=splats.colors.clip(0, 1))
    means, scales, opacities, colors = (x[0].numpy().copy() for x in _Tensors(splats).changed(change))
    return replace(splats, means=means, scales=scales, opacities=opacities, colors=colors)


def _fitted(view: _View, start: Change, steps: int) -> Change:
    """A change after some steps of descent from another."""
    values = {name: getattr(start, name).clone().requires_grad_() for name in _RATES}
    groups = [{"params": [value], "lr": _RATES[name]} for name, value in values.items()]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 1e-3)
    for step in range(steps):
        which = 0 if step % 2 == 0 else 1 + (step // 2) % 2
        optimizer.zero_grad()
        view.difference(which, Change(**values)).square().sum().backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():  # a colour out of range would feel nothing
            values["color"].copy_((view.colors + values["color"]).clamp(0, 1) - view.colors)
    return Change(**{name: value.detach() for name, value in values.items()})


def _within(camera: Camera, size: float) -> Camera:
    share = min(1.0, size / max(camera.width, camera.height))
    return camera.resized(*(max(1, round(n * share)) for n in (camera.width, camera.height)))


_GRAY = torch.full((3,), 0.5)


def _turned(camera: Camera, angle: float, means: np.ndarray) -> Tensor:
    """camera_from_world [1, 4, 4] of a camera walked round the middle of the splats."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.eye(4)
    turn[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    middle = np.median(means, 0)
    turn[:3, 3] = middle - turn[:3, :3] @ middle
    pose = turn @ np.asarray(camera.world_from_camera, float)
    return torch.from_numpy(np.linalg.inv(pose).astype(np.float32))[None]
