"""How much an exported form loses: it is read back, drawn, and compared with the native render.

Figures are means over held-out poses, inside the native alpha mask (alpha > 0.5), over mid-grey. A static file is
measured twice: drawn with this project's low-pass compensation, and as most viewers draw it, with the plain low-pass
of 0.3 px^2, which fattens splats thinner than a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..geometry import matrix_from_quaternion
from ..raster import ops, reference
from ..splats.avatar import Avatar
from ..splats.model import Pose, camera_tensors
from .displayable import displayable
from .posed import PosedSplats, canonical_camera, posed

GRAY = 0.5
LIMIT = 0.5
"""dB: a form that loses more against the footage says why."""
POSES = 8
_CEILING = 99.0


@dataclass(frozen=True)
class Fidelity:
    """One exported form against the native render."""

    psnr: float
    """dB inside the alpha mask."""
    ssim: float
    size: int
    """bytes."""
    plain_psnr: float | None = None
    """dB as a viewer without low-pass compensation shows it."""
    note: str = ""
    """Why it loses more than it should, if it does."""

    def line(self, name: str) -> str:
        """For the terminal."""
        plain = "" if self.plain_psnr is None else f", {self.plain_psnr:.1f} dB in viewers without compensation"
        note = f" ({self.note})" if self.note else ""
        return f"{name}: {self.size / 1e6:.2f} MB, PSNR {self.psnr:.1f} dB, SSIM {self.ssim:.4f}{plain}{note}"


def held_out(avatar: Avatar, count: int = POSES) -> np.ndarray:
    """Rows of the track that the figures are over: spread over the part that training held out, else over all."""
    from ..training.frames import split

    test = str(avatar.manifest.get("test", "tail"))
    rows = split(avatar.track.times, test)[1]
    rows = rows if len(rows) else np.arange(len(avatar.track.frame))
    return np.unique(rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)])


@torch.no_grad()
def draw(splats: PosedSplats, camera: Camera, *, compensated: bool = True) -> Tensor:
    """[1, 3, H, W] of posed splats in canonical space, over mid-grey; `camera` is canonical too."""
    means, wxyz, scales, opacities, colors = (
        torch.from_numpy(np.ascontiguousarray(x))[None]
        for x in (splats.means, splats.wxyz, splats.scales, splats.opacities, splats.colors)
    )
    intrinsics, view = camera_tensors(camera)
    if not compensated:
        shapes = matrix_from_quaternion(wxyz[0].double()) * scales[0].double()[:, None, :]
        args = (means[0].double(), shapes, intrinsics[0].double(), view[0].double(), camera.width, camera.height)
        factor = reference.project(*args)[2].float()
        # The rasterizer multiplies by this factor; a splat that it cannot draw (NaN) stays as it is.
        opacities = torch.where(torch.isfinite(factor), opacities / factor.clamp_min(1e-6), opacities)
    back = torch.full((3,), GRAY)
    return ops.rasterize(
        means, wxyz, scales, opacities, colors, intrinsics, view, camera.width, camera.height, background=back
    ).color.clamp(0, 1)


@torch.no_grad()
def native(avatar: Avatar, pose: Pose, camera: Camera | None = None) -> tuple[Tensor, Tensor]:
    """([1, 3, H, W] over mid-grey, mask [1, 1, H, W]) of one pose by the avatar itself."""
    drawn = avatar.model().render(pose, camera or avatar.camera, torch.full((3,), GRAY))
    return drawn.color.clamp(0, 1), drawn.alpha > 0.5


def masked_psnr(image: Tensor, target: Tensor, mask: Tensor) -> float:
    """dB over the pixels [1, 1, H, W] of images [1, 3, H, W]."""
    inside = mask.expand_as(image)
    error = float((image - target).double().square()[inside].mean()) if bool(inside.any()) else 0.0
    return float(min(-10 * np.log10(max(error, 1e-12)), _CEILING))


def measure_static(
    avatar: Avatar, again: Callable[[PosedSplats], tuple[PosedSplats, int]], rows: np.ndarray
) -> Fidelity:
    """Figures of a static form.

    Args:
        again: writes splats, reads them back, and says how many bytes the file has.
        rows: of the track.
    """
    camera = canonical_camera(avatar)
    figures, sizes = [], []
    for row in rows:
        pose = Pose.of_track(avatar.track, [int(row)])
        target, mask = native(avatar, pose)
        shown = displayable(posed(avatar, pose), camera)
        splats, size = again(shown)
        image, plain, before = draw(splats, camera), draw(splats, camera, compensated=False), draw(shown, camera)
        psnr = [masked_psnr(picture, target, mask) for picture in (image, plain, before)]
        figures.append((*psnr, float(ops.ssim(image, target))))
        sizes.append(size)
    psnr, flat, shown_psnr, ssim = (float(x) for x in np.mean(figures, 0))
    loss = loss_against_footage(avatar, psnr)
    why = ""
    if loss > LIMIT:
        clipped = loss_against_footage(avatar, shown_psnr) > loss / 2
        cause = (
            "splats darker than black or brighter than white, which viewers clip" if clipped else "the format's steps"
        )
        why = f"loses {loss:.1f} dB against the footage: {cause}"
    return Fidelity(psnr, ssim, int(np.mean(sizes)), flat, why)


def loss_against_footage(avatar: Avatar, psnr: float) -> float:
    """dB that the avatar's own figure would fall by if `psnr` is the form's distance to the native render.

    Errors against the footage and errors of the form are taken as independent, so their squares add. An avatar
    without figures is taken to reach 30 dB.
    """
    own = float(avatar.manifest.get("figures", {}).get("psnr", 30.0))
    return own + 10 * float(np.log10(10 ** (-own / 10) + 10 ** (-psnr / 10)))
