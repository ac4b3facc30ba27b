"""How skin, cloth and hair answer to a lamp and to light from all around; everything linear, colours [3, n].

Skin: diffuse light wraps around the terminator, red the farthest, as light does that scatters under the surface; a
normalised Blinn-Phong highlight (Blinn 1977). Hair: Kajiya and Kay 1989.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .look import Look

_WRAP = torch.tensor([[0.30], [0.12], [0.08]])
_SHADOW_EDGE = (0.7, 1.0, 1.1)
"""Powers by which shadows bleed red at their edge."""


@dataclass(frozen=True)
class Lights:
    """Lamp and surroundings in world coordinates (y down)."""

    toward: Tensor
    """[3] unit, towards the lamp."""
    lamp: Tensor
    """[3, 1] linear colour."""
    ambient: Tensor
    """[3, 1] linear colour."""

    @staticmethod
    def of(look: Look) -> Lights:
        """The lights of a look."""
        return Lights(torch.tensor(look.light), torch.tensor(look.lamp)[:, None], torch.tensor(look.ambient)[:, None])

    def cosine(self, normal: Tensor) -> Tensor:
        """[1, n] of the angle between normals [3, n] and the lamp."""
        return self.toward[None] @ normal

    def surround(self, normal: Tensor) -> Tensor:
        """Ambient light [3, n] on surfaces with normals [3, n]: brighter from above."""
        return self.ambient * (0.78 - 0.28 * normal[1:2])


def unit(v: Tensor) -> Tensor:
    """[3, n] scaled to unit length."""
    return v * torch.rsqrt((v * v).sum(0, keepdim=True).clamp_min(1e-18))


def skin(
    lights: Lights,
    normal: Tensor,
    smooth: Tensor,
    half: Tensor,
    open_sky: Tensor,
    lit: Tensor,
    albedo: Tensor,
    gloss: Tensor,
) -> Tensor:
    """Light [3, n] towards the viewer.

    Args:
        normal: [3, n] unit, with the fine relief.
        smooth: [3, n] unit, without it.
        half: [3, n] unit, between the lamp and the viewer.
        open_sky, lit: [1, n] shares of the surroundings and of the lamp that are seen.
        albedo: [3, n].
        gloss: [2, n] (see skin.Paint).
    """
    cosine = 0.5 * (lights.cosine(normal) + lights.cosine(smooth))
    diffuse = ((cosine + _WRAP) / (1 + _WRAP)).clamp_min(0)
    shadow = torch.cat([lit**power for power in _SHADOW_EDGE])
    out = albedo * (diffuse * shadow * lights.lamp + open_sky * lights.surround(normal))
    exponent = 8.0 * torch.exp2(6.0 * gloss[1:])
    along = (normal * half).sum(0, keepdim=True).clamp(1e-4, 1)
    peak = (0.035 / 8) * gloss[:1] * (exponent + 8) * torch.exp(exponent * torch.log(along))
    return out + peak.clamp_max(4.0) * lit * (cosine > 0) * lights.lamp


def cloth(lights: Lights, normal: Tensor, open_sky: Tensor, lit: Tensor, albedo: Tensor) -> Tensor:
    """Light [3, n]; matt."""
    cosine = (lights.cosine(normal) * 0.95 + 0.05).clamp(0, 1)
    return albedo * (cosine * lit * lights.lamp + open_sky * lights.surround(normal))


def hair(
    lights: Lights, normal: Tensor, tangent: Tensor, view: Tensor, open_sky: Tensor, lit: Tensor, albedo: Tensor
) -> Tensor:
    """Light [3, n]; `view` [3, n] unit, towards the camera."""
    toward, away = lights.cosine(tangent), (tangent * view).sum(0, keepdim=True)
    sine, view_sine = (1 - toward**2).clamp_min(0).sqrt(), (1 - away**2).clamp_min(0).sqrt()
    wrap = ((lights.cosine(normal) + 0.45) / 1.45).clamp(0, 1)
    mirror = torch.log((sine * view_sine - toward * away).clamp(1e-4, 1))
    # One highlight at the surface, one coloured by the hair and broader.
    sheen = 0.09 * torch.exp(60 * mirror) + 1.1 * albedo * torch.exp(14 * mirror)
    return lit * wrap * lights.lamp * (albedo * sine + sheen) + albedo * open_sky * lights.surround(normal)
