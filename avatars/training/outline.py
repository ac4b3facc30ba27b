"""What skin shows beside the head's outline, from sides that no frame shows.

A camera in front of a face does not tell whether a splat of its cheek lies on the skin or two millimetres above, nor
how it is tilted. Carried round the head, cheeks, jaw and temple become the outline, and whatever rises above them a
fringe of half transparent flecks. The mesh, of which skin is, has a clean outline: nothing of bare skin should show
beside it. Hair, clothes and ears have outlines of their own.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..raster.mesh import rasterize_mesh
from ..splats.model import AvatarModel, Pose
from ..splats.seeding import screen
from . import bounds
from .sides import add, random_side, reduced, share
from .speckle import worn

_YAW = np.radians(50.0)
_FINER = 2
"""Pixels of the mesh's picture per pixel of the splats', along each axis."""
_SOFT = 0.6
"""px, standard deviation by which the rasterizer softens every edge."""
_WEIGHT = 1.0
"""Of a pixel beside the outline against the photometric loss of one."""
_SOLID = 0.95
"""Least alpha of a face: where the camera grazes it, below the chin, splats shrink to crumbs."""
_MOVED = ("mean", "quaternion", "log_scale")


class Outline:
    """Keeps skin within the outline of the mesh from random sides.

    Args:
        model: as seeded.
        camera: of the training images.
    """

    def __init__(self, model: AvatarModel, camera: Camera) -> None:
        self._model, self._camera, self._faces = model, reduced(camera), model.head.head.faces
        self._face = model.head.head.faces_of("face")
        skin = bounds.plain(model) & ~bounds.part(model, "ears") | bounds.part(model, "lips", "eyelids")
        self._skin = torch.from_numpy(skin & ~worn(model)).to(model.device) & ~bounds.beside(model)

    def hold(self, pose: Pose, delta: Tensor | None, rng: np.random.Generator) -> float:
        """Add gradients of what skin shows beside the mesh from one side to its places, turns and sizes; the loss.

        Args:
            pose: one, in the host's memory, without a graph.
            delta: [1, N, 9] what bases add to it.
        """
        camera = random_side(self._camera, pose, _YAW, rng)
        with torch.no_grad():
            vertices = self._model.vertices(pose)
        covered = self.coverage(vertices[0].cpu().numpy(), camera)
        inside, solid = (torch.from_numpy(part).to(vertices.device) for part in covered)
        still = None if delta is None else delta.detach()
        shown, alpha = share(self._model, vertices, self._skin, camera, _MOVED, still)
        loss = _WEIGHT * ((shown - inside).clamp_min(0) + (_SOLID * solid - alpha).clamp_min(0)).mean()
        moved = [self._model.parameters[name] for name in _MOVED]
        for value, gradient in zip(moved, torch.autograd.grad(loss, moved), strict=True):
            add(value, gradient * self._skin[:, None])
        return float(loss.detach())

    def coverage(self, vertices: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """[H, W] how much of each pixel is mesh, of posed vertices [V, 3] m, as soft at its edges as splats are; and
        [H, W] 1 where it is the face, a pixel off its edges, else 0."""
        fine = camera.resized(_FINER * camera.width, _FINER * camera.height)
        drawn = rasterize_mesh(screen(vertices, fine), self._faces, fine.width, fine.height).face
        size = (camera.width, camera.height)
        covered, face = (
            cv2.resize(part.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            for part in (drawn >= 0, self._face[drawn] & (drawn >= 0))
        )
        solid = cv2.erode(face, np.ones((3, 3))) >= 1
        return cv2.GaussianBlur(covered, (0, 0), _SOFT), solid.astype(np.float32)
