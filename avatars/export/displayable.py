"""Colours that any viewer can show.

Blended in floating point, a splat may be blacker than black to darken what lies behind it, and training makes use of
that. Viewers blend in 8 bits and clip each splat to [0, 1] first, and compact files cannot hold such colours at all.
Training keeps to that range, so there clipping changes nothing. Of avatars that do not, colours and opacities of one
pose are fitted again within the range, against the same splats drawn without it from three sides; for that a small
picture will do. Should that not help, they are clipped.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..raster import ops
from ..splats.model import camera_tensors
from .posed import PosedSplats

_TURNS = (0.0, 0.3, -0.3)
"""rad about the vertical: views that the fit is over, the capture's first and half of the time."""
_STEPS = 24
_SIZE = 256
"""px, longer side of the pictures that are compared in the fit."""
_FINE = 10 ** (-50 / 10)
"""Mean squared error of mere clipping that is left alone: 50 dB."""
_RATE_COLOR, _RATE_OPACITY = 0.04, 0.2


def displayable(splats: PosedSplats, camera: Camera) -> PosedSplats:
    """The same splats with colours in [0, 1] that look as much like the originals as they can.

    Args:
        camera: canonical (see `posed.canonical_camera`).
    """
    clipped = replace(splats, colors=splats.colors.clip(0, 1))
    if np.array_equal(clipped.colors, splats.colors):
        return clipped
    camera = camera.resized(
        *(max(1, round(n * min(1, _SIZE / max(camera.width, camera.height)))) for n in (camera.width, camera.height))
    )
    means, wxyz, scales, opacities, original = (
        torch.from_numpy(np.ascontiguousarray(x))[None]
        for x in (splats.means, splats.wxyz, splats.scales, splats.opacities, splats.colors)
    )

    def draw(view: Tensor, opacity: Tensor, color: Tensor) -> Tensor:
        intrinsics, _ = camera_tensors(camera)
        size = (camera.width, camera.height)
        return ops.rasterize(means, wxyz, scales, opacity, color, intrinsics, view, *size, background=_GRAY).color

    views = [_turned(camera, angle, splats.means) for angle in _TURNS]
    with torch.no_grad():
        targets = [draw(views[0], opacities, original).clamp(0, 1)]
        if float((draw(views[0], opacities, original.clamp(0, 1)) - targets[0]).square().mean()) < _FINE:
            return clipped
        targets += [draw(view, opacities, original).clamp(0, 1) for view in views[1:]]
    color = original.clamp(0, 1).requires_grad_()
    logit = torch.logit(opacities.clamp(1e-4, 1 - 1e-4)).requires_grad_()
    groups = [{"params": [color], "lr": _RATE_COLOR}, {"params": [logit], "lr": _RATE_OPACITY}]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS, 1e-3)
    for step in range(_STEPS):
        which = 0 if step % 2 == 0 else 1 + (step // 2) % (len(views) - 1)
        optimizer.zero_grad()
        (draw(views[which], logit.sigmoid(), color) - targets[which]).square().sum().backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            color.clamp_(0, 1)
    fitted = color.detach(), logit.detach().sigmoid()
    with torch.no_grad():

        def error(opacity: Tensor, color: Tensor) -> float:
            pairs = zip(views, targets, strict=True)
            return sum(float((draw(view, opacity, color) - target).square().mean()) for view, target in pairs)

        if error(fitted[1], fitted[0]) >= error(opacities, original.clamp(0, 1)):
            return clipped
    return replace(splats, colors=fitted[0][0].numpy().copy(), opacities=fitted[1][0].numpy().copy())


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
