"""The one autograd boundary: every differentiable native operation, and the fused optimizer steps.

These are `torch.autograd.Function`s and not `torch.library` custom ops: measured with ten arguments, a custom op costs
86 us more for a forward and a backward call (190 against 104), and what a forward pass leaves for its backward pass
(tile lists in the library's memory) belongs to the graph node, so that it is freed with it. `torch.compile` breaks
its graph at these calls and runs them as they are.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import InputError
from . import checks, native, reference
from .native import pointer
from .optimize import adam_, adam_outer_
from .threads import native_threads, thread_count

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
    pruned: int = 0
    """Splats dropped because they were not finite or degenerate (not those merely out of sight)."""


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


def _outputs(like: Tensor, batch: int, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
    return (
        like.new_empty(batch, 3, height, width),
        like.new_empty(batch, 1, height, width),
        like.new_empty(batch, 1, height, width),
    )


def _gradients(ctx: Any, first: int, tensors: tuple[Tensor | None, ...]) -> list[Tensor | None]:
    """Room for the gradient of each tensor that wants one; the first of them is input number `first`."""
    wants = ctx.needs_input_grad[first : first + len(tensors)]
    return [torch.empty_like(t) if want and t is not None else None for t, want in zip(tensors, wants, strict=True)]


def _camera_gradients(
    wants: tuple[bool, ...], intrinsics: Tensor, camera: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """The library computes both or neither."""
    return (torch.empty_like(intrinsics), torch.empty_like(camera)) if any(wants) else (None, None)


def _contiguous(*grads: Tensor | None) -> list[Tensor | None]:
    return [None if g is None else g.contiguous() for g in grads]


def _background_gradient(wanted: bool, kind: int, g_color: Tensor | None, alpha: Tensor) -> Tensor | None:
    if not wanted or g_color is None:
        return None
    seen = g_color * (1 - alpha)
    return seen.sum((0, 2, 3)) if kind == 1 else seen


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, frame, width, height, kind, background, means, quats, scales, opacities, colors, intrinsics, camera
    ):
        ctx.set_materialize_grads(False)
        batch, count = means.shape[:2]
        color, alpha, depth = _outputs(means, batch, width, height)
        inputs = (means, quats, scales, opacities, colors)
        native.check(
            native.library().av_rasterize_forward(
                frame.handle, thread_count(), batch, count, width, height, *map(pointer, inputs), pointer(intrinsics),
                pointer(camera), pointer(background), kind, pointer(color), pointer(alpha), pointer(depth),
            )
        )  # fmt: skip
        ctx.save_for_backward(*inputs, intrinsics, camera, color, alpha, depth)
        ctx.frame, ctx.kind = frame, kind
        return color, alpha, depth

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        *inputs, intrinsics, camera, color, alpha, depth = ctx.saved_tensors
        g_color, g_alpha, g_depth = _contiguous(*grads)
        out = _gradients(ctx, 5, tuple(inputs))
        cameras = _camera_gradients(ctx.needs_input_grad[10:12], intrinsics, camera)
        native.check(
            native.library().av_rasterize_backward(
                ctx.frame.handle, thread_count(), len(alpha), *map(pointer, inputs), pointer(color), pointer(alpha),
                pointer(depth), pointer(g_color), pointer(g_alpha), pointer(g_depth), *map(pointer, out),
                *map(pointer, cameras),
            )
        )  # fmt: skip
        behind = _background_gradient(ctx.needs_input_grad[4], ctx.kind, g_color, alpha)
        return None, None, None, None, behind, *out, *cameras


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
        backend: `cpu`, `reference` (torch, any float dtype), or `auto`, which is `cpu`.

    Raises:
        InputError: wrong shape or dtype, an empty picture, or a camera that is not finite.
        BackendError: the backend is not there, or a tensor is on another device.
    """
    chosen = checks.backend(backend)
    checks.picture(width, height)
    if chosen == "reference":
        tensors = (means, quats, scales, opacities, colors, intrinsics, camera_from_world)
        return Rendered(*reference.rasterize(*tensors, width, height, background))
    if not isinstance(means, Tensor) or means.ndim != 3:
        raise InputError("means must be a tensor [B, N, 3]")
    b, n = means.shape[:2]
    behind, kind = checks.background(background, b, width, height)
    frame = native.Frame()
    color, alpha, depth = _Rasterize.apply(
        frame, width, height, kind, behind,
        checks.float32_cpu("means", means, (b, n, 3)),
        checks.float32_cpu("quats", quats, (b, n, 4)),
        checks.float32_cpu("scales", scales, (b, n, 3)),
        checks.float32_cpu("opacities", opacities, (b, n)),
        checks.float32_cpu("colors", colors, (b, n, 3)),
        checks.float32_cpu("intrinsics", intrinsics, (b, 4)),
        checks.float32_cpu("camera_from_world", camera_from_world, (b, 4, 4)),
    )  # fmt: skip
    return Rendered(color, alpha, depth, frame.pruned(b))


_meshes: WeakKeyDictionary[Any, native.Mesh] = WeakKeyDictionary()


def _mesh(binding: BindingLike) -> native.Mesh:
    """The binding's arrays as the library takes them; it is immutable, so its addresses are looked up once."""
    mesh = _meshes.get(binding)
    if mesh is None:
        arrays = [getattr(o, k) for o in (binding.operator, binding.transposed) for k in ("start", "index", "t", "s")]
        arrays += [binding.corner, binding.barycentric, binding.extent, binding.use_start, binding.use]
        mesh = native.Mesh(len(binding.use_start) - 1, *(a.ctypes.data for a in arrays))
        _meshes[binding] = mesh
    return mesh


class _RenderBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx, frame, binding, width, height, kind, background, vertices, *params_and_camera):
        *params, intrinsics, camera = params_and_camera
        ctx.set_materialize_grads(False)
        batch, mesh = len(vertices), _mesh(binding)
        image, alpha, depth = _outputs(vertices, batch, width, height)
        native.check(
            native.library().av_bound_forward(
                frame.handle, thread_count(), batch, len(params[0]), vertices.shape[1], width, height, mesh,
                native.Params(*map(pointer, params)), pointer(vertices), pointer(intrinsics), pointer(camera),
                pointer(background), kind, pointer(image), pointer(alpha), pointer(depth),
            )
        )  # fmt: skip
        ctx.save_for_backward(vertices, *params, intrinsics, camera, image, alpha, depth)
        ctx.frame, ctx.binding, ctx.kind = frame, binding, kind
        return image, alpha, depth

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        vertices, *params, intrinsics, camera, image, alpha, depth = ctx.saved_tensors
        g_color, g_alpha, g_depth = _contiguous(*grads)
        out = _gradients(ctx, 6, (vertices, *params))
        cameras = _camera_gradients(ctx.needs_input_grad[13:15], intrinsics, camera)
        native.check(
            native.library().av_bound_backward(
                ctx.frame.handle, thread_count(), len(vertices), len(params[0]), _mesh(ctx.binding),
                native.Params(*map(pointer, params)), pointer(image), pointer(alpha), pointer(depth),
                pointer(g_color), pointer(g_alpha), pointer(g_depth), native.Grads(*map(pointer, (*out, *cameras))),
            )
        )  # fmt: skip
        behind = _background_gradient(ctx.needs_input_grad[5], ctx.kind, g_color, alpha)
        return None, None, None, None, None, behind, *out, *cameras


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
) -> Rendered:
    """Bind N splats to B posed meshes and draw them: one native call forward and one backward.

    Differentiable in every tensor. The maths of the binding is `avatars.splats.binding.bind_reference`.

    Args:
        vertices: [B, V, 3] m.
        binding: a `Binding` of N splats to a mesh with V vertices.
        mean, quaternion, log_scale, logit_opacity, color: [N, 3], [N, 4] wxyz, [N, 3], [N], [N, 3]; see `data.Splats`.
        delta: [B, N, 9] added to mean (3), rotation vector (3) and colour (3), or None.
        intrinsics, camera_from_world, width, height, background: as in `rasterize`.

    Raises:
        InputError: wrong shape or dtype, an empty picture, or a camera that is not finite.
        BackendError: a tensor is on another device.
    """
    checks.picture(width, height)
    if not isinstance(vertices, Tensor) or vertices.ndim != 3:
        raise InputError("vertices must be a tensor [B, V, 3]")
    b, v, n = len(vertices), len(binding.use_start) - 1, len(binding.corner)
    behind, kind = checks.background(background, b, width, height)
    frame = native.Frame()
    image, alpha, depth = _RenderBound.apply(
        frame, binding, width, height, kind, behind,
        checks.float32_cpu("vertices", vertices, (b, v, 3)),
        checks.float32_cpu("mean", mean, (n, 3)),
        checks.float32_cpu("quaternion", quaternion, (n, 4)),
        checks.float32_cpu("log_scale", log_scale, (n, 3)),
        checks.float32_cpu("logit_opacity", logit_opacity, (n,)),
        checks.float32_cpu("color", color, (n, 3)),
        None if delta is None else checks.float32_cpu("delta", delta, (b, n, 9)),
        checks.float32_cpu("intrinsics", intrinsics, (b, 4)),
        checks.float32_cpu("camera_from_world", camera_from_world, (b, 4, 4)),
    )  # fmt: skip
    return Rendered(image, alpha, depth, frame.pruned(b))


class _Combine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, bases, weights):
        count, _, k = bases.shape
        delta = bases.new_empty(len(weights), count, 9)
        native.library().av_combine(thread_count(), len(weights), 9 * count, k, *map(pointer, (bases, weights, delta)))
        ctx.save_for_backward(bases, weights)
        return delta

    @staticmethod
    @once_differentiable
    def backward(ctx, g_delta):
        bases, weights = ctx.saved_tensors
        g_weights = torch.empty_like(weights)
        g_bases = torch.empty_like(bases) if ctx.needs_input_grad[0] else None
        tensors = (bases, weights, g_delta.contiguous(), g_weights, g_bases)
        rows = 9 * len(bases)
        native.check(
            native.library().av_combine_backward(
                thread_count(), len(weights), rows, bases.shape[2], *map(pointer, tensors)
            )
        )
        return g_bases, g_weights


def combine_bases(bases: Tensor, weights: Tensor) -> Tensor:
    """delta [B, N, 9] = bases [N, 9, K] times weights [B, K]; gradients to both."""
    if bases.ndim != 3 or weights.ndim != 2:
        raise InputError("bases must be [N, 9, K] and weights [B, K]")
    n, k, b = len(bases), bases.shape[2], len(weights)
    return _Combine.apply(checks.float32_cpu("bases", bases, (n, 9, k)), checks.float32_cpu("weights", weights, (b, k)))


def _loss(
    image: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float, grad: Tensor | None
) -> tuple[float, float]:
    batch, _, height, width = image.shape
    out = (ctypes.c_double * 2)()
    native.check(
        native.library().av_loss(
            thread_count(),
            batch,
            height,
            width,
            pointer(image),
            pointer(target),
            pointer(weight),
            ssim_weight,
            pointer(grad),
            out,
        )
    )
    return out[0], out[1]


class _PhotometricLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, target, weight, ssim_weight):
        grad = torch.empty_like(image) if ctx.needs_input_grad[0] else None
        l1, dissimilarity = _loss(image, target, weight, ssim_weight, grad)
        if grad is not None:
            ctx.save_for_backward(grad)
        return image.new_tensor((1 - ssim_weight) * l1 + ssim_weight * dissimilarity)

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        (grad,) = ctx.saved_tensors
        return (grad if float(g) == 1.0 else grad * g), None, None, None


def _images(image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if not isinstance(image, Tensor) or image.ndim != 4:
        raise InputError("image must be a tensor [B, 3, H, W]")
    shape = (len(image), 3, *image.shape[2:])
    checks.picture(shape[3], shape[2])
    return checks.float32_cpu("image", image, shape), checks.float32_cpu("target", target, shape)


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
    """
    image, target = _images(image, target)
    if weight is not None:
        weight = checks.float32_cpu("weight", weight, (len(image), 1, *image.shape[2:]))
    return _PhotometricLoss.apply(image, target, weight, float(ssim_weight))


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Mean SSIM of images [B, 3, H, W] in [0, 1], as in `photometric_loss`; a metric, without gradients."""
    image, target = _images(image.detach(), target.detach())
    return image.new_tensor(1 - _loss(image, target, None, 1.0, None)[1])
