"""How fast an avatar is drawn."""

from __future__ import annotations

import time

import torch

from ..data import Camera
from ..raster import ops
from ..splats.model import AvatarModel, Pose

_DRAWN = 40


@torch.no_grad()
def drawing_rate(model: AvatarModel, camera: Camera, poses: Pose) -> float:
    """Frames per second on this machine, posing included: the fastest of many, since others may use it too."""
    best = float("inf")
    with ops.native_threads():
        for i in range(_DRAWN):
            start = time.perf_counter()
            model.render(poses[i % len(poses)], camera)
            best = min(best, time.perf_counter() - start)
    return 1 / best
