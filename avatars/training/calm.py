"""What no frame ever shows must not speak.

Splats that the footage never saw keep arbitrary colours and shapes, which is what makes side views of monocular
avatars speckle. How much of each splat was ever in view is measured; the unseen take the colour of seen neighbours or
of their mirror image, lose what the bases add, and shrink to the size they were seeded with. Where they are stays:
the seen surface has settled in front of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import KDTree

from ..data import Camera, Splats
from ..heads.ambient import openness, shaded
from ..heads.head import Head
from ..splats.interior import TEETH
from ..splats.lookalikes import SKIN, kinds, lookalikes
from ..splats.model import AvatarModel
from .bounds import CLOSE, along_normal
from .hollow import largest
from .poses import PoseTable
from .strays import hovering

_VIEWS = 24
HIDDEN, _TRUSTED, _TRUSTED_BUST = 0.03, 0.4, 0.3
"""Shares of its own footprint that a splat must show in some frame not to count as hidden, and to be trusted fully; of
clothes, which turn little and fold, less."""
_GROWTH = 0.5
"""Log of how much larger than seeded an unseen splat may stay."""
_FLAT = 0.25
"""How far its axes may reach along the normal, in extents; if it was seeded on the skin it does not rise above it:
outlines nobody saw are the mesh's own."""
_LOOKALIKES, _ENOUGH = 24, 100
"""Trusted splats that a doubtful one is held against, and how many there must be in all."""
_FEW, _SHADE = 20, (0.6, 1.5)
"""Teeth, as splats, that must have been seen for the others to be as bright, and by how much they may differ."""
_LENIENCE = 0.05
"""How far a doubtful splat's colour may lie outside those of its lookalikes."""
_SOLID, _GONE = 1.0, -8.0
"""Least logit of a hidden splat's opacity, so that from the side nothing shines through; and its logit where the
bust was never in the picture: what is seeded there is too sparse to be anything but blots in the air."""
_NEAR, _SUNK = 0.012, 1.5
"""m to the nearest seen splat beyond which a hidden one returns to its seat, and by how many of its standard deviations
along the normal it lies under the mesh, so that the outline is the mesh's."""
_CHEEK = 0.004
"""m by which what nobody saw of the mouth's walls lies further in than the mesh has it: cheeks are thin, and their own
splats may have settled under the skin.
"""
_NEVER = 0.01
"""Share of its footprint under which a splat of the bust was never in the picture."""


def visibility(
    model: AvatarModel, poses: PoseTable, camera: Camera, rows: np.ndarray, views: int = _VIEWS
) -> tuple[np.ndarray, np.ndarray]:
    """[N] largest share of each splat's footprint that reaches the picture in some `views` of the rows, in [0, 1]; and
    [N] px of it.

    Blending weights are the derivative of the summed image with respect to the splat's colour: exact, and free of
    extra code. The footprint is what the weight would be with nothing in front, from opacity and projected size.
    """
    half = camera.resized(max(1, camera.width // 2), max(1, camera.height // 2))
    color = model.parameters["color"].detach().clone().requires_grad_()
    kept = model.parameters
    best, most = torch.zeros_like(color[:, 0]), torch.zeros_like(color[:, 0])
    try:
        model.parameters = {k: v.detach() for k, v in kept.items()} | {"color": color}
        for row in rows[:: max(1, len(rows) // views)]:
            pose = poses.row(int(row))
            # With respect to the colour alone: the head's template gathers gradients, and these are not for it.
            shown = torch.autograd.grad(model.render(pose, half).color[:, 0].sum(), color)[0][:, 0]
            best = torch.maximum(best, shown / _footprint(model, half, float(pose.translation[0, 2])))
            most = torch.maximum(most, shown)
    finally:
        model.parameters = kept
    return best.clamp(0, 1).cpu().numpy(), most.cpu().numpy()


def _footprint(model: AvatarModel, camera: Camera, depth: float) -> torch.Tensor:
    """[N] px: integral of each splat's own weight, seen broadside at the head's distance."""
    extent = torch.from_numpy(model.binding.extent).to(model.device)
    scale, _ = torch.sort(model.parameters["log_scale"].exp() * extent[:, None], 1)
    sigma = scale[:, 1:] * camera.fx / depth
    area = 2 * np.pi * (sigma[:, 0] ** 2 + 0.3).sqrt() * (sigma[:, 1] ** 2 + 0.3).sqrt()
    return (area * torch.sigmoid(model.parameters["logit_opacity"])).clamp_min(1e-3)


@dataclass
class Calmed:
    """What training may still do with N splats."""

    hidden: torch.Tensor
    """[N] bool: never seen, and to stay as they are."""
    low: torch.Tensor
    """[N, 3] least colour: what shows next to nothing must not turn white to brighten a pixel by a hundredth."""
    high: torch.Tensor
    """[N, 3] most."""


@torch.no_grad()
def calm(
    model: AvatarModel, head: Head, seeded: Splats, interior: np.ndarray, poses: PoseTable, camera: Camera,
    rows: np.ndarray,
) -> Calmed:  # fmt: skip
    """Calm what was hardly ever seen, in the measure in which it was not.

    Args:
        seeded: the splats as they started.
        interior: [N, 3] colours of what is inside the mouth (see `interior_colors`), NaN elsewhere.
    """
    with torch.enable_grad():
        shown, pixels = visibility(model, poses, camera, rows)
    bust = head.bust_faces()[seeded.triangle]
    enough = np.where(bust, _TRUSTED_BUST, _TRUSTED)
    trust = ((shown - HIDDEN) / (enough - HIDDEN)).clip(0, 1).astype(np.float32)
    sure = trust >= 1
    p, device = model.parameters, model.device
    shades = p["color"].detach()
    low, high = torch.zeros_like(shades), torch.ones_like(shades)
    if sure.all() or sure.sum() < _ENOUGH:
        return Calmed(torch.zeros(len(trust), dtype=torch.bool, device=device), low, high)
    doubtful = np.flatnonzero(~sure)
    free = np.linalg.norm(seeded.mean * seeded.extent[:, None], axis=1) > CLOSE
    near = lookalikes(head, seeded.triangle, model.rest_means().cpu().numpy(), seeded.color, sure, _LOOKALIKES, free)
    alike = shades[torch.from_numpy(near).to(device)]
    # As the film shows them: many trained splats make up a strand or a fold, and one alone may be any shade of it.
    filmed = torch.from_numpy(seeded.color[near]).to(device)
    paint = _usual(filmed, torch.from_numpy(pixels[near]).to(device))
    paint = torch.from_numpy(_hollowed(head, seeded, doubtful, near, paint.cpu().numpy())).to(device)
    inside = np.isfinite(interior[doubtful, 0])
    interior = _enamelled(head, seeded, interior, shades.cpu().numpy(), pixels * sure)
    paint[torch.from_numpy(inside).to(device)] = torch.from_numpy(interior[doubtful[inside]].astype(np.float32)).to(
        device
    )
    target, hidden = torch.from_numpy(doubtful).to(device), torch.from_numpy(trust <= 0).to(device)
    own = torch.from_numpy(trust[doubtful])[:, None].to(device)
    p["color"][target] = own * p["color"][target] + (1 - own) * paint
    model.bases[target] *= own[:, :, None]
    low[target] = torch.minimum(alike.amin(1), paint) - _LENIENCE
    high[target] = torch.maximum(alike.amax(1), paint) + _LENIENCE
    limit = torch.from_numpy(seeded.log_scale).to(device) + _GROWTH
    limit = torch.minimum(limit, np.log(_FLAT) - along_normal(p["quaternion"]).log())
    p["log_scale"][hidden] = torch.minimum(p["log_scale"], limit)[hidden]
    inner = torch.from_numpy(head.faces_of("mouth_interior")[seeded.triangle])
    walls = hidden & inner.to(device)
    p["mean"][walls] = 0
    p["mean"][walls, 2] = torch.from_numpy(_CHEEK / seeded.extent).to(device)[walls]
    held = inner.nonzero()[:, 0]
    p["log_scale"][held] = torch.minimum(p["log_scale"][held], largest(model, held.numpy()))
    seated = hidden & torch.from_numpy((seeded.mean == 0).all(1) & np.isnan(interior[:, 0])).to(device)
    p["mean"][seated, 2] = p["mean"][seated, 2].clamp_max(0)
    lost = seated & torch.from_numpy(_alone(model, hidden.cpu().numpy())).to(device)
    lost &= ~torch.from_numpy(head.faces_of("scalp")[seeded.triangle]).to(device)
    thickness = (p["log_scale"].exp() * along_normal(p["quaternion"])).square().sum(1).sqrt()
    strayed = p["mean"].detach().clone()
    p["mean"][lost] = 0
    p["mean"][lost, 2] = -_SUNK * thickness[lost]
    with torch.enable_grad():
        back = torch.from_numpy(visibility(model, poses, camera, rows)[0] > HIDDEN).to(device)
    p["mean"][lost & back] = strayed[lost & back]  # seats behind an ear's rim, say, are in sight
    gone = (p["logit_opacity"] < _GONE + 1).cpu().numpy() | hovering(model, poses, camera, rows)
    p["logit_opacity"][hidden] = p["logit_opacity"][hidden].clamp_min(_SOLID)
    p["logit_opacity"][torch.from_numpy(gone | bust & (shown < _NEVER)).to(device)] = _GONE
    return Calmed(hidden, low, high)


def _hollowed(head: Head, seeded: Splats, doubtful: np.ndarray, near: np.ndarray, paint: np.ndarray) -> np.ndarray:
    """Colours [n, 3] of the doubtful splats [n], those on skin as dark as the mesh's hollows are beside where their
    lookalikes [n, k] lie: without shade an ear that nobody saw is no ear.
    """
    corners = openness(head.template, head.faces)[head.faces[seeded.triangle]]
    sky = (corners * seeded.barycentric).sum(1)
    skin = np.isin(kinds(head)[seeded.triangle[doubtful]], SKIN) & (seeded.mean[doubtful] == 0).all(1)
    out = paint.copy()
    out[skin] = shaded(paint[skin], sky[doubtful[skin]], np.median(sky[near[skin]], axis=1))
    return out


def _enamelled(head: Head, seeded: Splats, interior: np.ndarray, shades: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The mouth's colours [N, 3], with teeth as bright as those that were seen, by weights [N]."""
    teeth = head.faces_of(*TEETH)[seeded.triangle]
    if (weight[teeth] > 0).sum() < _FEW:
        return interior
    seen, guessed = ((colors[teeth] * weight[teeth, None]).sum(0) for colors in (shades, interior))
    out = interior.copy()
    out[teeth] = (out[teeth] * (seen / guessed).clip(*_SHADE)).clip(0, 1)
    return out


def _alone(model: AvatarModel, hidden: np.ndarray) -> np.ndarray:
    """[N] hidden splats with nothing near that was ever seen: nobody knows better than the mesh where they are."""
    rest = model.rest_means().numpy()
    out = hidden.copy()
    out[hidden] = KDTree(rest[~hidden]).query(rest[hidden])[0] > _NEAR
    return out


def _usual(colors: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """[n, 3] weighted median over k of colours [n, k, 3] with weights [n, k]: slivers along a silhouette count little,
    they have taken some of the background's colour.
    """
    ranked, order = colors.sort(1)
    reached = weights[:, :, None].expand_as(colors).gather(1, order).cumsum(1)
    middle = (reached < reached[:, -1:] / 2).sum(1, keepdim=True).clamp_max(colors.shape[1] - 1)
    return ranked.gather(1, middle)[:, 0]
