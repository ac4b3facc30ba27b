"""How much an exported form loses: it is read back, drawn, and compared with the native render.

Figures are means over held-out poses, inside the native alpha mask (alpha > 0.5), over mid-grey. A static file is
measured twice: drawn with this project's low-pass compensation, and as most viewers draw it, with the plain low-pass
of 0.3 px^2, which fattens splats thinner than a pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..geometry import matrix_from_quaternion
from ..raster import ops, reference
from ..splats.avatar import Avatar
from ..splats.model import camera_tensors
from .posed import PosedSplats
from .scene import GRAY, Scene, native

LIMIT = 0.5
"""dB: a form that loses more against the footage says why."""
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


@torch.no_grad()
def draw(splats: PosedSplats, camera: Camera, *, compensated: bool = True) -> Tensor:
    """[1, 3, H, W] of posed splats in canonical space, over mid-grey; `camera` is canonical too."""
    means, wxyz, scales, opacities, colors = (
        torch.from_numpy(np.array(x, order="C"))[None]
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


def masked_psnr(image: Tensor, target: Tensor, mask: Tensor) -> float:
    """dB over the pixels [1, 1, H, W] of images [1, 3, H, W]."""
    inside = mask.expand_as(image)
    error = float((image - target).double().square()[inside].mean()) if bool(inside.any()) else 0.0
    return float(min(-10 * np.log10(max(error, 1e-12)), _CEILING))


def measure_static(scene: Scene, again: Callable[[PosedSplats], tuple[PosedSplats, int]], count: int) -> Fidelity:
    """Figures of a static form.

    Args:
        again: writes splats, reads them back, and says how many bytes the file has.
        count: of held-out poses.
    """
    figures, sizes = [], []
    for row in scene.held_out(count):
        held, camera = scene.row(row), scene.camera
        splats, size = again(scene.shown_row(row))
        image, plain = draw(splats, camera), draw(splats, camera, compensated=False)
        psnr = [masked_psnr(picture, held.target, held.mask) for picture in (image, plain)]
        figures.append((*psnr, float(ops.ssim(image, held.target))))
        sizes.append(size)
    psnr, flat, ssim = (float(x) for x in np.mean(figures, 0))
    loss, why = loss_against_footage(scene.avatar, psnr), ""
    if loss > LIMIT:
        clipped = loss_against_footage(scene.avatar, _before_writing(scene, count)) > loss / 2
        cause = (
            "splats darker than black or brighter than white, which viewers clip" if clipped else "the format's steps"
        )
        why = f"loses {loss:.1f} dB against the footage: {cause}"
    return Fidelity(psnr, ssim, int(np.mean(sizes)), flat, why)


def _before_writing(scene: Scene, count: int) -> float:
    """dB of displayable splats that no file has rounded."""

    def figure(row: int) -> float:
        held = scene.row(row)
        return masked_psnr(draw(scene.shown_row(row), scene.camera), held.target, held.mask)

    return float(np.mean([scene.once(("before", row), lambda row=row: figure(row)) for row in scene.held_out(count)]))


def measure_web(scene: Scene, again: Avatar, size: int) -> Fidelity:
    """What packing the web bundle of `size` bytes lost; the page draws it like the native renderer.

    Args:
        again: the avatar as the bundle describes it.
    """
    figures, model = [], again.model()
    for row in scene.held_out():
        held = scene.row(row)
        image, _ = native(again, held.pose, model=model)
        figures.append((masked_psnr(image, held.target, held.mask), float(ops.ssim(image, held.target))))
    psnr, ssim = (float(x) for x in np.mean(figures, 0))
    loss = loss_against_footage(scene.avatar, psnr)
    note = f"loses {loss:.1f} dB against the footage: rounded bases" if loss > LIMIT else ""
    return Fidelity(psnr, ssim, size, note=note)


def measure_film(path: Path, shown: Mapping[int, np.ndarray]) -> Fidelity:
    """Figures of a film: whole pictures [H, W, 3] uint8 by number, as they were drawn, against the decoded ones."""
    import av

    figures = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in shown:
                found, drawn = (_planar(x) for x in (frame.to_ndarray(format="rgb24"), shown[number]))
                height, width = (min(found.shape[i], drawn.shape[i]) for i in (2, 3))  # films have even sizes
                found, drawn = found[..., :height, :width], drawn[..., :height, :width]
                psnr = masked_psnr(found, drawn, torch.ones(1, 1, height, width, dtype=torch.bool))
                figures.append((psnr, float(ops.ssim(found, drawn))))
    psnr, ssim = (float(x) for x in np.mean(figures, 0))
    return Fidelity(psnr, ssim, path.stat().st_size)


def _planar(image: np.ndarray) -> Tensor:
    """[1, 3, H, W] in [0, 1] of [H, W, 3] uint8."""
    return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()


def loss_against_footage(avatar: Avatar, psnr: float) -> float:
    """dB that the avatar's own figure would fall by if `psnr` is the form's distance to the native render.

    Errors against the footage and errors of the form are taken as independent, so their squares add. An avatar
    without figures is taken to reach 30 dB.
    """
    own = float(avatar.manifest.get("figures", {}).get("psnr", 30.0))
    return own + 10 * float(np.log10(10 ** (-own / 10) + 10 ** (-psnr / 10)))
