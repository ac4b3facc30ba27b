"""Comparisons of scripts/gpu_check.py: with the CPU backend, with gsplat, and of two runs with each other."""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import Tensor

IMAGE_STEP = 1e-5
LARGE = 10_000
BOUNDS = {
    "pixels": 5e-3, "pixels_off": 5e-3, "free_pixels": 5e-3, "free_pixels_off": 5e-3, "gradients": 1e-3,
    "free_gradients": 1e-3, "large_pixels": 1e-4, "large_pixels_off": 5e-3, "large_free_pixels": 1e-4,
    "large_free_pixels_off": 5e-3, "large_gradients": 1e-3, "large_free_gradients": 1e-3, "loss": 1e-4, "bases": 1e-4,
}  # fmt: skip
"""Difference from the CPU backend: of pixels, and of gradients relative to the largest; `_off` is the share of pixel
values further off than IMAGE_STEP. In scenes of LARGE splats and more two of nearly equal depth may be drawn in the
other order, or an alpha lie on the other side of 1/255, so there `large_` is the 99.9th percentile and the worst is
told, not judged. Under the emulator an avatar of 12,000 splats has 0.07 % of its values off, the worst by 5e-4."""
GSPLAT_IMAGE_BOUND, GSPLAT_COSINE = 5e-3, 0.999


def _apart(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    ours, theirs = ours.double().cpu(), theirs.double().cpu()
    if not ours.isfinite().all():
        return float("inf")
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-12))


def _most(apart: Tensor, size: str) -> float:
    """The largest of small scenes; in large ones what all but one in a thousand stay under."""
    if not apart.isfinite().all():
        return float("inf")
    return float(np.percentile(apart.numpy(), 99.9)) if size else float(apart.max())


def against_cpu(device: torch.device, scenes: tuple[tuple[int, int, int], ...]) -> dict[str, float]:
    """Largest differences from the CPU backend over (splats, px, batch) scenes: pictures, gradients, loss, bases."""
    from gpu_cases import Case

    from avatars.raster import ops

    rasterize: Any = ops.rasterize
    found = dict.fromkeys((*BOUNDS, "worst_pixel", "worst_gradient"), 0.0)

    def note(name: str, value: float) -> None:
        found[name] = value if value != value else max(found[name], value)  # NaN stays

    def note_picture(name: str, a: Tensor, b: Tensor) -> None:
        apart = (a.detach().cpu() - b.detach()).abs()
        note("worst_pixel", float(apart.max()))
        note(f"{size}{name}", _most(apart, size))
        note(f"{size}{name}_off", float((apart > IMAGE_STEP).float().mean()))

    def note_gradient(name: str, a: Tensor, b: Tensor) -> None:
        a, b = a.double().cpu(), b.double().cpu()
        apart = (a - b).abs() / b.abs().max().clamp_min(1e-12)
        note("worst_gradient", float(apart.max()))
        note(f"{size}{name}", _most(apart, size))

    for scene in scenes:
        size = "large_" if scene[0] >= LARGE else ""
        here, there = Case(*scene, device), Case(*scene, torch.device("cpu"))
        drawn, grads = [], []
        for case in (here, there):
            x = case.leaves()
            out = case.draw(x)
            value = (out.color * case.gradient).sum() + (out.alpha + out.depth).square().mean()
            drawn.append((out.color, out.alpha, out.depth))
            grads.append(torch.autograd.grad(value, x))
        for a, b in zip(*drawn, strict=True):
            note_picture("pixels", a, b)
        for a, b in zip(*grads, strict=True):
            note_gradient("gradients", a, b)
        free = [[t.requires_grad_() for t in case.free()] for case in (here, there)]
        pictures = [
            rasterize(*x, *case.cameras, case.size, case.size).color
            for x, case in zip(free, (here, there), strict=True)
        ]
        note_picture("free_pixels", *pictures)
        pulls = [torch.autograd.grad(p, x, c.gradient) for p, x, c in zip(pictures, free, (here, there), strict=True)]
        for a, b in zip(*pulls, strict=True):
            note_gradient("free_gradients", a, b)
        losses = []
        for case in (here, there):  # on one picture: an absolute difference turns its sign at the smallest difference
            image = drawn[1][0].detach().to(case.device).requires_grad_()
            loss = ops.photometric_loss(image, case.target, case.mask, 0.2)
            losses.append((loss.detach(), torch.autograd.grad(loss, image)[0]))
        for a, b in zip(*losses, strict=True):
            note("loss", _apart(a, b))
        sums = []
        for case in (here, there):
            x = [case.bases.clone().requires_grad_(), case.weights.clone().requires_grad_()]
            delta = ops.combine_bases(x[0], x[1])
            sums.append((delta.detach(), *torch.autograd.grad((delta * delta).sum(), x)))
        for a, b in zip(*sums, strict=True):
            note("bases", _apart(a, b))
    return found


def differences(found: dict[str, float]) -> list[str]:
    """What of `against_cpu` is over its bound."""
    return [
        f"{k}: {found[k]:.1e} from the CPU backend, at most {bound:.0e}"
        for k, bound in BOUNDS.items()
        if k in found and not found[k] <= bound
    ]


@cache
def gsplat() -> tuple[Any, str]:
    """gsplat's rasterization, or None and why; its first call compiles it."""
    if importlib.util.find_spec("gsplat") is None:
        return None, "gsplat is not installed"
    try:
        rendering = importlib.import_module("gsplat.rendering")
        one = torch.ones(1, 1, 3, device="cuda")
        pose, k = torch.eye(4, device="cuda"), torch.eye(3, device="cuda")
        rendering.rasterization(
            one, torch.ones(1, 1, 4, device="cuda"), one, one[..., 0], one, pose[None, None], k[None, None], 16, 16
        )
    except Exception as error:  # whatever its compiler or its kernels say, our own check goes on
        return None, f"gsplat does not run here: {type(error).__name__}: {str(error)[:300]}"
    return rendering.rasterization, "gsplat " + metadata.version("gsplat")


def gsplat_draw(rasterization: Any, case: Any, x: list[Tensor]) -> Tensor:
    """The same picture [B, 3, H, W] by gsplat: B scenes with one camera each, in one call."""
    fx, fy, cx, cy = case.cameras[0].unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    k = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one], -1).reshape(-1, 1, 3, 3)
    picture = rasterization(
        *x, case.cameras[1][:, None], k, case.size, case.size, near_plane=0.01, eps2d=0.3,
        rasterize_mode="antialiased", packed=False,
    )[0]  # fmt: skip
    return picture[:, 0].permute(0, 3, 1, 2)


def against_gsplat(device: torch.device, scene: tuple[int, int, int] = (20_000, 512, 1)) -> dict[str, float]:
    """Largest pixel difference and least cosine between gradients, on the same Gaussians."""
    from gpu_cases import Case

    from avatars.raster import ops

    rasterize: Any = ops.rasterize
    rasterization, _ = gsplat()
    if rasterization is None:
        return {}
    case = Case(*scene, device)
    ours, theirs = ([t.clone().requires_grad_() for t in case.free()] for _ in range(2))
    a, b = rasterize(*ours, *case.cameras, case.size, case.size).color, gsplat_draw(rasterization, case, theirs)
    grads = torch.autograd.grad(a, ours, case.gradient), torch.autograd.grad(b, theirs, case.gradient)
    pairs = [(p.flatten().double(), q.flatten().double()) for p, q in zip(*grads, strict=True)]
    cosine = [float(torch.cosine_similarity(p, q, 0)) for p, q in pairs]
    return {"pixels": float((a - b).abs().max()), "mean_pixels": float((a - b).abs().mean()), "cosine": min(cosine)}


def same_picture(found: dict[str, float]) -> bool:
    """Whether `against_gsplat` is within its bounds."""
    return found["pixels"] <= GSPLAT_IMAGE_BOUND and found["cosine"] >= GSPLAT_COSINE


def determinism(device: torch.device, scene: tuple[int, int, int] = (20_000, 512, 2)) -> list[str]:
    """What differs between two runs, or between a graph and eager calls; bit for bit."""
    from gpu_cases import Case

    from avatars.raster.cuda_graph import Captured

    case = Case(*scene, device)
    wrong = []

    def everything() -> list[Tensor]:
        x = case.leaves()
        out = case.draw(x)
        return [out.color, out.alpha, out.depth, *torch.autograd.grad(out.color, x, case.gradient)]

    first = everything()
    for _ in range(3):
        if not all(torch.equal(a, b) for a, b in zip(first, everything(), strict=True)):
            wrong.append("two eager runs differ")
            break
    if device.type != "cuda":
        return wrong
    captured = Captured(lambda inputs: everything(), {"vertices": case.vertices})
    for _ in range(2):
        captured.step()
        if not all(torch.equal(a, b) for a, b in zip(first, captured.settle(), strict=True)):
            wrong.append("a graph and an eager run differ")
            break

    def losses() -> list[float]:
        run = case.step()
        return [float(run()) for _ in range(5)]

    if losses() != losses():
        wrong.append("two trainings of five steps differ")
    return wrong


def small_scenes(device: torch.device) -> None:
    """Every kernel once, small and odd: what runs under compute-sanitizer."""
    from gpu_cases import Case

    found = against_cpu(device, ((300, 48, 2), (150, 37, 9)))
    problems = differences(found)
    if device.type == "cuda":
        run = Case(200, 40, 3, device).step()
        found["step"] = max(float(run()) for _ in range(2))
    if problems:
        raise SystemExit("\n".join(problems))
