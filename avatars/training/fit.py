"""Pose frames photometrically with the avatar frozen: the protocol by which the field's trackers pose test frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..data import Camera
from ..raster import ops
from ..splats.model import AvatarModel, camera_tensors
from .frames import FrameStore
from .poses import PoseTable

_PLAN = ((1, 30, 3.0), (0, 15, 1.0))
"""(resolution level, steps, rate at the start); the rate falls tenfold within each entry."""


def fit_poses(
    model: AvatarModel,
    store: FrameStore,
    camera: Camera,
    poses: PoseTable,
    rows: np.ndarray,
    ssim: float = 0.2,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Move the rows of `poses` to where the avatar explains the frames best; nothing else changes.

    The expression's gradient runs through the network as well, since the bases are part of what a face state means.
    """
    frozen = {name: value.detach() for name, value in model.parameters.items()}
    previous, model.parameters = model.parameters, frozen
    for p in model.network.parameters():
        p.requires_grad_(False)
    try:
        poses.reset_moments(rows)
        for i, row in enumerate(rows):
            for level, steps, start in _PLAN:
                size = store.sizes[level]
                at = camera.resized(*size)
                intrinsics, view = camera_tensors(at)
                frame = store.get(int(row), level)
                for step in range(steps):
                    pose, leaf = poses.leaf(int(row))
                    drawn = model.draw(
                        model.vertices(pose), model.delta(model.weights(pose)), intrinsics, view, *size, frame.background
                    )
                    ops.photometric_loss(drawn.color, frame.image, frame.weight, ssim).backward()
                    poses.step(int(row), leaf, start * 0.1 ** (step / steps))
            if progress is not None:
                progress((i + 1) / len(rows))
    finally:
        model.parameters = previous
        for p in model.network.parameters():
            p.requires_grad_(True)
    torch.clear_autocast_cache()
