"""Pose frames photometrically with the avatar frozen: the protocol by which the field's trackers pose test frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..data import Camera
from ..raster import ops
from ..splats.model import AvatarModel, Pose, camera_tensors
from .frames import FrameStore
from .poses import PoseTable

_PLAN = ((1, 60, 3.0), (0, 60, 1.5))
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
            _fit_row(model, store, camera, poses, int(row), ssim)
            if progress is not None:
                progress((i + 1) / len(rows))
    finally:
        model.parameters = previous
        for p in model.network.parameters():
            p.requires_grad_(True)


def _fit_row(model: AvatarModel, store: FrameStore, camera: Camera, poses: PoseTable, row: int, ssim: float) -> None:
    """Descend through the plan; the pose kept is the one with the least loss at full resolution, the first included."""
    index = np.array([row])
    best, kept = float("inf"), poses.row(row)
    for level, steps, start in ((0, 1, 0.0), *_PLAN):
        width, height = store.sizes[level]
        intrinsics, view = camera_tensors(camera.resized(width, height))
        frame = store.get(row, level)
        for step in range(steps):
            with ops.native_threads():
                pose, leaf = poses.leaf(row)
                delta = model.delta(model.weights(pose))
                drawn = model.draw(model.vertices(pose), delta, intrinsics, view, width, height, frame.background)
                loss = ops.photometric_loss(drawn.color, frame.image, frame.weight, ssim)
                if level == 0 and float(loss.detach()) < best:
                    best, kept = float(loss.detach()), Pose(*(x.clone() for x in vars(poses.row(row)).values()))
                if start > 0:
                    loss.backward()
                    poses.step(row, leaf, start * 0.1 ** (step / steps))
    poses.assign(kept, index)
