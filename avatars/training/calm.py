"""What no frame ever shows must not speak.

Splats that the footage never saw keep arbitrary colours and shapes, which is what makes side views of monocular
avatars speckle. How much of each splat was ever in view is measured; the unseen take the colour of seen neighbours or
of their mirror image, lose what the bases add, and shrink to the size they were seeded with. Where they are stays:
the seen surface has settled in front of them.
"""

from __future__ import annotations

import numpy as np
import torch

from ..data import Camera, Splats
from ..heads.head import Head
from ..splats.model import AvatarModel
from ..splats.seeding import INTERIOR, lookalikes
from .poses import PoseTable

_VIEWS = 24
_SHOWN = 0.02
"""Share of its own footprint that a splat must show in some frame to count as seen."""
_GROWTH = 0.5
"""Log of how much larger than seeded an unseen splat may stay."""


def visibility(model: AvatarModel, poses: PoseTable, camera: Camera, rows: np.ndarray) -> np.ndarray:
    """[N] largest share of each splat's footprint that reaches the picture over some rows, in [0, 1].

    Blending weights are the derivative of the summed image with respect to the splat's colour: exact, and free of
    extra code. The footprint is what the weight would be with nothing in front, from opacity and projected size.
    """
    half = camera.resized(max(1, camera.width // 2), max(1, camera.height // 2))
    color = model.parameters["color"].detach().clone().requires_grad_()
    kept = model.parameters
    best = torch.zeros(len(color))
    try:
        model.parameters = {k: v.detach() for k, v in kept.items()} | {"color": color}
        for row in rows[:: max(1, len(rows) // _VIEWS)]:
            color.grad = None
            pose = poses.row(int(row))
            model.render(pose, half).color[:, 0].sum().backward()
            assert color.grad is not None
            best = torch.maximum(best, color.grad[:, 0] / _footprint(model, half, float(pose.translation[0, 2])))
    finally:
        model.parameters = kept
    return best.clamp(0, 1).numpy()


def _footprint(model: AvatarModel, camera: Camera, depth: float) -> torch.Tensor:
    """[N] px: integral of each splat's own weight, seen broadside at the head's distance."""
    scale, _ = torch.sort(model.parameters["log_scale"].exp() * torch.from_numpy(model.binding.extent)[:, None], 1)
    sigma = scale[:, 1:] * camera.fx / depth
    area = 2 * np.pi * (sigma[:, 0] ** 2 + 0.3).sqrt() * (sigma[:, 1] ** 2 + 0.3).sqrt()
    return (area * torch.sigmoid(model.parameters["logit_opacity"])).clamp_min(1e-3)


@torch.no_grad()
def calm(model: AvatarModel, head: Head, seeded: Splats, poses: PoseTable, camera: Camera, rows: np.ndarray) -> int:
    """Calm what was never seen; returns how many splats that were.

    Args:
        seeded: the splats as they started.
    """
    with torch.enable_grad():
        seen = visibility(model, poses, camera, rows) > _SHOWN
    if seen.all() or seen.sum() < 100:
        return 0
    hidden = np.flatnonzero(~seen)
    near = lookalikes(head, seeded.triangle, model.rest_means().numpy(), seen, 8)
    target = torch.from_numpy(hidden)
    p = model.parameters
    p["color"][target] = p["color"].detach()[torch.from_numpy(near)].median(1).values
    for region, paint in INTERIOR.items():
        inside = hidden[head.faces_of(region)[seeded.triangle[hidden]]]
        p["color"][torch.from_numpy(inside)] = torch.tensor(paint)
    p["log_scale"][target] = torch.minimum(p["log_scale"][target], torch.from_numpy(seeded.log_scale)[target] + _GROWTH)
    model.bases[target] = 0
    return len(hidden)
