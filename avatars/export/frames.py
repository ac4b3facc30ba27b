"""A motion as pictures: drawn once, and shown over a colour, with transparency, or with the opacity beside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..splats.model import AvatarModel, Pose


@dataclass(frozen=True)
class Frame:
    """One picture as the rasterizer leaves it."""

    color: Tensor
    """[3, H, W] sRGB, already multiplied by alpha; may lie outside [0, 1]."""
    alpha: Tensor
    """[1, H, W] in [0, 1]."""

    @staticmethod
    @torch.no_grad()
    def draw(model: AvatarModel, pose: Pose, camera: Camera) -> Frame:
        """One pose from one camera."""
        drawn = model.render(pose, camera, torch.zeros(3))
        return Frame(drawn.color[0], drawn.alpha[0].clamp(0, 1))

    def over(self, background: tuple[float, float, float]) -> np.ndarray:
        """[H, W, 3] uint8 over an sRGB colour in [0, 1]."""
        behind = torch.tensor(background)[:, None, None]
        return _bytes(self.color + (1 - self.alpha) * behind)

    def transparent(self) -> np.ndarray:
        """[H, W, 4] uint8 with straight alpha."""
        straight = self.color.clamp(0, 1) / self.alpha.clamp_min(1e-6)
        return _bytes(torch.cat([straight, self.alpha]))

    def with_matte(self) -> np.ndarray:
        """[H, 2 W, 3] uint8: on the left over black, on the right the alpha in grey. For films, which hold no alpha."""
        return _bytes(torch.cat([self.color, self.alpha.expand(3, -1, -1)], 2))


def _bytes(image: Tensor) -> np.ndarray:
    """[H, W, C] uint8 of [C, H, W] in [0, 1]."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
