"""After training: what no frame ever showed must not speak.

Splats that the footage never saw keep arbitrary colours and shapes, which is what makes side views of monocular
avatars speckle. Their visibility is measured, and the unseen take the look of a seen neighbour or of its mirror image.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree

from ..data import Camera
from ..splats.model import AvatarModel
from .poses import PoseTable

_VIEWS = 24
_SEEN = 0.3
"""Summed blending weight, in pixels, from which a splat counts as seen."""


def visibility(model: AvatarModel, poses: PoseTable, camera: Camera, rows: np.ndarray) -> np.ndarray:
    """[N] largest summed blending weight (px) of each splat over some rows.

    The weight is the derivative of the summed image with respect to the splat's colour: exact, and free of extra code.
    """
    half = camera.resized(max(1, camera.width // 2), max(1, camera.height // 2))
    color = model.parameters["color"].detach().clone().requires_grad_()
    kept = model.parameters
    best = torch.zeros(len(color))
    try:
        model.parameters = {k: v.detach() for k, v in kept.items()} | {"color": color}
        for row in rows[:: max(1, len(rows) // _VIEWS)]:
            color.grad = None
            model.render(poses.row(int(row)), half).color[:, 0].sum().backward()
            assert color.grad is not None
            best = torch.maximum(best, 4 * color.grad[:, 0])
    finally:
        model.parameters = kept
    return best.numpy()


@torch.no_grad()
def finish(model: AvatarModel, poses: PoseTable, camera: Camera, rows: np.ndarray) -> int:
    """Give the unseen splats a seen one's colour and bases; returns how many there were."""
    with torch.enable_grad():
        seen = visibility(model, poses, camera, rows) > _SEEN
    if seen.all() or not seen.any():
        return 0
    rest = model.rest_means().numpy()
    side = np.array([-1.0, 1.0, 1.0])
    tree = cKDTree(np.concatenate([rest[seen], rest[seen] * side]))
    source = np.flatnonzero(seen)[tree.query(rest[~seen])[1] % int(seen.sum())]
    target = torch.from_numpy(np.flatnonzero(~seen))
    origin = torch.from_numpy(source)
    p = model.parameters
    p["color"][target] = p["color"][origin]
    model.bases[target] = 0
    return int((~seen).sum())
