"""What the head's surface must hide from sides that no frame shows.

`Occlusion` makes skin opaque where the camera is. Cheeks that it only grazes get few and thin splats: nothing in the
film tells whether the far side of the mouth, or of the skull, shines through them. A camera carried round the head
does, and it needs no picture: whatever lies behind the surface from there must not be seen.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..splats.model import AvatarModel, Pose, camera_tensors
from .occlusion import Occlusion
from .views import facing, orbit

_SIZE = 256
"""px of the picture's longer side."""
_YAW, _PITCH = np.radians(50.0), np.radians(15.0)
_WEIGHT = 0.3
"""Of a hidden pixel against the photometric loss of one."""
_FRONT = ("logit_opacity", "log_scale")


class Sides:
    """Pulls surfaces shut from random sides.

    Args:
        model: as seeded.
        occlusion: knows what can be hidden.
        camera: of the training images.
    """

    def __init__(self, model: AvatarModel, occlusion: Occlusion, camera: Camera) -> None:
        self._model, self._occlusion, self._camera = model, occlusion, reduced(camera)

    def pull(self, pose: Pose, rng: np.random.Generator) -> float:
        """Add gradients of what shines through from one side to opacities and scales in front of it; the loss.

        Args:
            pose: one, in the host's memory, without a graph.
        """
        camera = random_side(self._camera, pose, _YAW, rng)
        with torch.no_grad():
            vertices = self._model.vertices(pose)
            hidden = torch.from_numpy(self._occlusion.behind(vertices[0].cpu().numpy(), camera)).to(vertices.device)
        loss = _WEIGHT * share(self._model, vertices, hidden, camera, _FRONT)[0].mean()
        front = [self._model.parameters[name] for name in _FRONT]
        for value, gradient in zip(front, torch.autograd.grad(loss, front), strict=True):
            gradient = gradient.clone()
            gradient[hidden] = 0  # what is hidden stays as it is; what the picture taught it is kept
            add(value, gradient)
        return float(loss.detach())


def share(
    model: AvatarModel, vertices: Tensor, chosen: Tensor, camera: Camera, moved: tuple[str, ...],
    delta: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """[H, W] how much of each pixel is chosen splats [N] bool, and how much any, differentiable with respect to some
    parameters.

    Args:
        vertices: [1, V, 3] m, posed.
        moved: names of these parameters.
        delta: [1, N, 9] what bases add; colours count for nothing.
    """
    kept, (intrinsics, view) = model.parameters, camera_tensors(camera)
    mask = chosen.to(vertices.dtype)[:, None].expand(-1, 3).contiguous()
    if delta is not None:
        delta = torch.cat([delta[..., :6], torch.zeros_like(delta[..., 6:])], -1)
    fixed = {name: value if name in moved else value.detach() for name, value in kept.items()}
    try:
        model.parameters = fixed | {"color": mask}
        drawn = model.draw(vertices, delta, intrinsics, view, camera.width, camera.height, None)
        return drawn.color[0, 0], drawn.alpha[0, 0]
    finally:
        model.parameters = kept


def add(value: Tensor, gradient: Tensor) -> None:
    """Add to what a parameter has gathered."""
    value.grad = gradient if value.grad is None else value.grad + gradient


def reduced(camera: Camera) -> Camera:
    """The camera, for pictures that are small enough to be drawn now and then for next to nothing."""
    ratio = min(1.0, _SIZE / max(camera.width, camera.height))
    return camera.resized(max(1, round(camera.width * ratio)), max(1, round(camera.height * ratio)))


def random_side(camera: Camera, pose: Pose, yaw: float, rng: np.random.Generator) -> Camera:
    """The camera carried round one posed head, by at most `yaw` rad from where it is seen straight on."""
    turn, pitch = facing(pose, camera) + rng.uniform(-yaw, yaw), rng.uniform(-_PITCH, _PITCH)
    return orbit(camera, pose.translation[0].numpy().astype(float), turn, pitch)
