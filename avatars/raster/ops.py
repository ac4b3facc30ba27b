"""The one autograd boundary: every differentiable native operation, and the fused optimizer steps.

Tensors on the CPU go to cpu.py, tensors on a CUDA device to cuda.py; all tensors of a call share one device.

Eager calls are `torch.autograd.Function`s: measured with ten arguments, a `torch.library` custom op costs 86 us more
for a forward and a backward call (190 against 104), and what a forward pass leaves for its backward pass belongs to
the graph node, so that it is freed with it. `torch.compile` traces the custom ops of compiled.py instead, which call
the same functions, and does not break its graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import InputError
from . import checks, dispatch, reference
from .optimize import adam_, adam_outer_
from .threads import native_threads

__all__ = [
    "Rendered", "adam_", "adam_outer_", "combine_bases", "native_threads", "photometric_loss", "rasterize",
    "render_bound", "ssim",
]  # fmt: skip


@dataclass(frozen=True)
class Rendered:
    """Pictures of B views."""

    color: Tensor
    """[B, 3, H, W]; not clamped."""
    alpha: Tensor
    """[B, 1, H, W] in [0, 1]."""
    depth: Tensor
    """[B, 1, H, W] m: expected depth of what is seen, 0 where alpha is 0."""
    pruned: int | Tensor = 0
    """Splats dropped because they were not finite or degenerate (not those merely out of sight); a tensor [] where the
    host does not wait for the number: in captured and compiled steps."""
    normal: Tensor | None = None
    """[B, 3, H, W] where it was asked for: sum over the splats of weight times normal, in the world; no longer than
    alpha. A splat's normal is the unit vector along its shortest axis that faces the camera."""


class OperatorLike(Protocol):
    """Sparse rows with two coefficients per entry."""

    @property
    def start(self) -> np.ndarray: ...
    @property
    def index(self) -> np.ndarray: ...
    @property
    def t(self) -> np.ndarray: ...
    @property
    def s(self) -> np.ndarray: ...


class BindingLike(Protocol):
    """What `render_bound` reads of `avatars.splats.binding.Binding`."""

    @property
    def operator(self) -> Any: ...
    @property
    def transposed(self) -> Any: ...
    @property
    def corner(self) -> np.ndarray: ...
    @property
    def barycentric(self) -> np.ndarray: ...
    @property
    def extent(self) -> np.ndarray: ...
    @property
    def use_start(self) -> np.ndarray: ...
    @property
    def use(self) -> np.ndarray: ...


def _compiled() -> ModuleType:
    """compiled.py, which takes a second to import and is for traced programs only."""
    from . import compiled

    return compiled


def _contiguous(*grads: Tensor | None) -> list[Tensor | None]:
    return [None if g is None else g.contiguous() for g in grads]


def background_gradient(wanted: bool, kind: int, g_color: Tensor | None, alpha: Tensor) -> Tensor | None:
    """What flows back to a background of this kind (see `checks.background`)."""
    if not wanted or g_color is None:
        return None
    seen = g_color * (1 - alpha)
    return seen.sum((0, 2, 3)) if kind == 1 else seen


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, frame, width, height, kind, background, *inputs_and_cameras):
        ctx.set_materialize_grads(False)
        inputs, cameras = inputs_and_cameras[:5], inputs_and_cameras[5:]
        backend = dispatch.backend_of(inputs[0].device)
        out = backend.free_forward(frame, inputs, cameras, background, kind, width, height)
        ctx.save_for_backward(*inputs, *cameras, *out)
        ctx.frame, ctx.kind = frame, kind
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        saved = ctx.saved_tensors
        inputs, cameras, out = saved[:5], saved[5:7], saved[7:]
        grads, wants = _contiguous(*grads), ctx.needs_input_grad
        backend = dispatch.backend_of(inputs[0].device)
        made = backend.free_backward(ctx.frame, inputs, cameras, out, grads, wants[5:10], any(wants[10:12]))
        behind = background_gradient(wants[4], ctx.kind, grads[0], out[1])
        return None, None, None, None, behind, *made


def rasterize(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    intrinsics: Tensor,
    camera_from_world: Tensor,
    width: int,
    height: int,
    *,
    background: Tensor | None = None,
    normals: bool = False,
    backend: str = "auto",
) -> Rendered:
    """Draw B sets of N Gaussians, differentiably in every tensor.

    Args:
        means: [B, N, 3] m, world.
        quats: [B, N, 4] wxyz, any length but zero.
        scales: [B, N, 3] m, standard deviations.
        opacities: [B, N] in [0, 1].
        colors: [B, N, 3].
        intrinsics: [B, 4] fx, fy, cx, cy in px; pixel centres lie at half-integers.
        camera_from_world: [B, 4, 4], camera looking along +z, y down.
        width, height: px.
        background: None (black), [3], or [B, 3, H, W].
        normals: also draw `Rendered.normal`, which costs as much again; differentiable like the rest.
        backend: `cpu`, `cuda`, `reference` (torch, any float dtype), or `auto`: the one of the tensors' device.

    Raises:
        InputError: wrong shape or dtype, an empty picture, or a camera that is not finite.
        BackendError: the backend is not there, or a tensor is on another device.
    """
    checks.picture(width, height)
    if checks.backend(backend) == "reference":
        tensors = (means, quats, scales, opacities, colors, intrinsics, camera_from_world)
        pictures = reference.rasterize(*tensors, width, height, background)
        normal = reference.rasterize_normals(*tensors, width, height) if normals else None
        return Rendered(*pictures, normal=normal)
    device = checks.device_of("means", means, 3, "[B, N, 3]")
    checks.backend(backend, device)
    b, n = means.shape[:2]
    behind, kind = checks.background(background, b, width, height, device)
    tensors = (
        checks.float32("means", means, (b, n, 3), device),
        checks.float32("quats", quats, (b, n, 4), device),
        checks.float32("scales", scales, (b, n, 3), device),
        checks.float32("opacities", opacities, (b, n), device),
        checks.float32("colors", colors, (b, n, 3), device),
        checks.float32("intrinsics", intrinsics, (b, 4), device),
        checks.float32("camera_from_world", camera_from_world, (b, 4, 4), device),
    )
    if torch.compiler.is_compiling():
        draw = _compiled().rasterize
        color, alpha, depth, pruned = draw(behind, kind, width, height, False, *tensors)
        normal = draw(None, 0, width, height, True, *tensors)[0] if normals else None
        return Rendered(color, alpha, depth, pruned, normal)
    frames = dispatch.backend_of(device).Frame
    frame = frames()
    color, alpha, depth = _Rasterize.apply(frame, width, height, kind, behind, *tensors)
    normal = _Rasterize.apply(frames(normals=True), width, height, 0, None, *tensors)[0] if normals else None
    return Rendered(color, alpha, depth, frame.pruned(b), normal)


def _sizes(binding: BindingLike) -> tuple[int, int]:
    """V and N."""
    if torch.compiler.is_compiling():
        return _compiled().sizes(binding)
    return len(binding.use_start) - 1, len(binding.corner)


class _RenderBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx, frame, binding, width, height, kind, background, *inputs_and_cameras):
        ctx.set_materialize_grads(False)
        inputs, cameras = inputs_and_cameras[:7], inputs_and_cameras[7:]
        backend = dispatch.backend_of(inputs[0].device)
        out = backend.bound_forward(frame, binding, inputs, cameras, background, kind, width, height)
        ctx.save_for_backward(*inputs, *cameras, *out)
        ctx.frame, ctx.binding, ctx.kind = frame, binding, kind
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        saved = ctx.saved_tensors
        inputs, cameras, out = saved[:7], saved[7:9], saved[9:]
        grads, wants = _contiguous(*grads), ctx.needs_input_grad
        backend = dispatch.backend_of(inputs[0].device)
        made = backend.bound_backward(
            ctx.frame, ctx.binding, inputs, cameras, out, grads, wants[6:13], any(wants[13:15])
        )
        behind = background_gradient(wants[5], ctx.kind, grads[0], out[1])
        return None, None, None, None, None, behind, *made


def render_bound(
    vertices: Tensor,
    binding: BindingLike,
    mean: Tensor,
    quaternion: Tensor,
    log_scale: Tensor,
    logit_opacity: Tensor,
    color: Tensor,
    delta: Tensor | None,
    intrinsics: Tensor,
    camera_from_world: Tensor,
    width: int,
    height: int,
    background: Tensor | None = None,
    normals: bool = False,
) -> Rendered:
    """Bind N splats to B posed meshes and draw them: one native call forward and one backward.

    Differentiable in every tensor. The maths of the binding is `avatars.splats.binding.bind_reference`.

    Args:
        vertices: [B, V, 3] m.
        binding: a `Binding` of N splats to a mesh with V vertices.
        mean, quaternion, log_scale, logit_opacity, color: [N, 3], [N, 4] wxyz, [N, 3], [N], [N, 3]; see `data.Splats`.
        delta: [B, N, 9] added to mean (3), rotation vector (3) and colour (3), or None.
        intrinsics, camera_from_world, width, height, background, normals: as in `rasterize`.

    Raises:
        InputError: wrong shape or dtype, an empty picture, or a camera that is not finite.
        BackendError: a tensor is on another device.
    """
    checks.picture(width, height)
    device = checks.device_of("vertices", vertices, 3, "[B, V, 3]")
    b, (v, n) = len(vertices), _sizes(binding)
    behind, kind = checks.background(background, b, width, height, device)
    tensors = (
        checks.float32("vertices", vertices, (b, v, 3), device),
        checks.float32("mean", mean, (n, 3), device),
        checks.float32("quaternion", quaternion, (n, 4), device),
        checks.float32("log_scale", log_scale, (n, 3), device),
        checks.float32("logit_opacity", logit_opacity, (n,), device),
        checks.float32("color", color, (n, 3), device),
        None if delta is None else checks.float32("delta", delta, (b, n, 9), device),
        checks.float32("intrinsics", intrinsics, (b, 4), device),
        checks.float32("camera_from_world", camera_from_world, (b, 4, 4), device),
    )
    if torch.compiler.is_compiling():
        draw = _compiled().render_bound
        image, alpha, depth, pruned = draw(binding, behind, kind, width, height, False, *tensors)
        normal = draw(binding, None, 0, width, height, True, *tensors)[0] if normals else None
        return Rendered(image, alpha, depth, pruned, normal)
    frames = dispatch.backend_of(device).Frame
    frame = frames()
    image, alpha, depth = _RenderBound.apply(frame, binding, width, height, kind, behind, *tensors)
    normal = None
    if normals:
        normal = _RenderBound.apply(frames(normals=True), binding, width, height, 0, None, *tensors)[0]
    return Rendered(image, alpha, depth, frame.pruned(b), normal)


class _Combine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, bases, weights):
        ctx.save_for_backward(bases, weights)
        return dispatch.backend_of(bases.device).combine(bases, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx, g_delta):
        bases, weights = ctx.saved_tensors
        backend = dispatch.backend_of(bases.device)
        return backend.combine_backward(bases, weights, g_delta.contiguous(), ctx.needs_input_grad[0])


def combine_bases(bases: Tensor, weights: Tensor) -> Tensor:
    """delta [B, N, 9] = bases [N, 9, K] times weights [B, K]; gradients to both."""
    device = checks.device_of("bases", bases, 3, "[N, 9, K]")
    if weights.ndim != 2:
        raise InputError("weights must be [B, K]")
    n, k, b = len(bases), bases.shape[2], len(weights)
    bases = checks.float32("bases", bases, (n, 9, k), device)
    weights = checks.float32("weights", weights, (b, k), device)
    if torch.compiler.is_compiling():
        return _compiled().combine(bases, weights)
    return _Combine.apply(bases, weights)


class _PhotometricLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, target, weight, ssim_weight):
        backend = dispatch.backend_of(image.device)
        value, _, grad = backend.loss(image, target, weight, ssim_weight, ctx.needs_input_grad[0])
        if grad is not None:
            ctx.save_for_backward(grad)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (grad,) = ctx.saved_tensors
        # On a GPU looking at g would mean to wait for it.
        whole = grad.device.type == "cpu" and float(g) == 1.0
        return (grad if whole else grad * g), None, None, None


def _images(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    device = checks.device_of("image", image, 4, "[B, 3, H, W]")
    shape = (len(image), 3, *image.shape[2:])
    checks.picture(shape[3], shape[2])
    return checks.float32("image", image, shape, device), checks.float32("target", target, shape, device)


def photometric_loss(image: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float) -> Tensor:
    """Weighted mean over pixels and channels of (1 - l) |image - target| + l (1 - SSIM); gradient to the image only.

    SSIM (Wang et al. 2004) with an 11-tap Gaussian window of sigma 1.5 and zero padding, as 3D Gaussian splatting uses
    it. The weight multiplies both maps; the sum is divided by 3 times the sum of weights (0 if that is 0).

    Args:
        image, target: [B, 3, H, W], range [0, 1].
        weight: [B, 1, H, W] >= 0, or None for 1.
        ssim_weight: l.

    Raises:
        InputError: wrong shape or dtype.
        BackendError: a tensor is on another device.
    """
    image, target = _images(image, target)
    if weight is not None:
        weight = checks.float32("weight", weight, (len(image), 1, *image.shape[2:]), image.device)
    if torch.compiler.is_compiling():
        return _compiled().photometric_loss(image, target, weight, float(ssim_weight))
    return _PhotometricLoss.apply(image, target, weight, float(ssim_weight))


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Mean SSIM of images [B, 3, H, W] in [0, 1], as in `photometric_loss`; a metric, without gradients."""
    image, target = _images(image.detach(), target.detach())
    if torch.compiler.is_compiling():
        return 1 - _compiled().photometric_loss(image, target, None, 1.0)
    return 1 - dispatch.backend_of(image.device).loss(image, target, None, 1.0, False)[1]
