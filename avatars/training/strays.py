"""Lone splats in the air.

A camera in front does not tell how deep a splat of hair lies, and one that no other is near has nothing to hold it:
from the side it is a blot beside the head. No frame misses it much. Nor does any miss a haze before the face, of the
colour of the skin behind it.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import KDTree

from ..data import Camera, Splats
from ..heads.head import Head
from ..raster.mesh import rasterize_mesh
from ..splats.binding import bind_reference
from ..splats.model import AvatarModel, Pose
from ..splats.seeding import screen
from .bounds import CLOSE
from .poses import PoseTable

_FREE = 0.015
"""m off its seat from which a splat is in the air."""
_FEW, _NEAR = 6, 0.015
"""Splats that one in company has within so many m."""
_FAINT = -1.5
"""Logit of an opacity under which a splat is no company."""
_VIEWS, _BEFORE, _OFTEN, _MISSED, _NOTHING = 12, 0.004, 0.5, 0.12, -16.0
"""Frames looked at, m before the face from which a splat hovers, the share of frames in which it must, the change of a
picture that is missed, and the logit of an opacity that draws nothing."""


def strays(head: Head, splats: Splats, rest: np.ndarray) -> np.ndarray:
    """[N] bool: splats off the mesh that hardly another is near; none of clothes, which are sparse on the back.

    Args:
        rest: [N, 3] m, where the splats are at rest.
    """
    free = np.linalg.norm(splats.mean, axis=1) * splats.extent > _FREE
    solid = rest[splats.logit_opacity > _FAINT]
    if len(solid) <= _FEW:
        return np.zeros(len(splats), bool)
    away = KDTree(solid).query(rest, _FEW + 1)[0][:, -1]  # the nearest of a solid one is itself
    return free & (away > _NEAR) & ~head.bust_faces()[splats.triangle]


@torch.no_grad()
def hovering(model: AvatarModel, poses: PoseTable, camera: Camera, rows: np.ndarray) -> np.ndarray:
    """[N] bool: splats off their seats, before the face, without which the footage would look much the same.

    Args:
        poses, rows: of the footage.
    """
    free = model.parameters["mean"].norm(dim=1).cpu().numpy() * model.binding.extent > CLOSE
    views = [poses.row(int(row)) for row in rows[:: max(1, len(rows) // _VIEWS)]]
    places = [_before(model, pose, camera) for pose in views]
    found = free & (np.mean([before for _, before in places], 0) >= _OFTEN)
    kept, without = model.parameters, model.parameters["logit_opacity"].clone()
    without[torch.from_numpy(found).to(without.device)] = _NOTHING
    missed = np.zeros(len(found), np.float32)
    for pose, (pixel, _) in zip(views, places, strict=True):
        try:
            pictures = [model.render(pose, camera).color[0]]
            model.parameters = kept | {"logit_opacity": without}
            pictures.append(model.render(pose, camera).color[0])
        finally:
            model.parameters = kept
        change = (pictures[0] - pictures[1]).abs().amax(0).cpu().numpy()
        missed = np.maximum(missed, change[pixel[:, 1], pixel[:, 0]])
    return found & (missed < _MISSED)


def _before(model: AvatarModel, pose: Pose, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """The pixel [N, 2] that each splat's centre is in, the nearest one of the picture, and whether it is well before
    the face there [N].
    """
    p, delta = {name: value.cpu() for name, value in model.parameters.items()}, model.delta(model.weights(pose))
    vertices, faces = model.vertices(pose).cpu(), model.head.head.faces
    means = bind_reference(
        vertices, model.binding, p["mean"], p["quaternion"], p["log_scale"], p["logit_opacity"], p["color"],
        None if delta is None else delta.cpu(),
    )[0][0]  # fmt: skip
    place = screen(means.numpy(), camera)
    drawn = rasterize_mesh(screen(vertices[0].numpy(), camera), faces, camera.width, camera.height)
    pixel = place[:, :2].astype(int).clip(0, [camera.width - 1, camera.height - 1])
    face = drawn.face[pixel[:, 1], pixel[:, 0]]
    near = place[:, 2] < drawn.depth[pixel[:, 1], pixel[:, 0]] - _BEFORE
    return pixel, near & (face >= 0) & model.head.head.faces_of("face")[face]
