"""The CPU's operations on tensors that ops.py has checked: calls of the native library, forward and backward.

avatars/raster/cuda.py has the same functions for CUDA tensors.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from . import native
from .native import Frame, pointer
from .threads import thread_count

if TYPE_CHECKING:
    from .ops import BindingLike

__all__ = [
    "Frame", "adam_", "adam_outer_", "bound_backward", "bound_forward", "combine", "combine_backward", "free_backward",
    "free_forward", "loss",
]  # fmt: skip

Gradients = list[Tensor | None]


def pictures(like: Tensor, batch: int, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
    """Room for colour, alpha and depth."""
    return (
        like.new_empty(batch, 3, height, width),
        like.new_empty(batch, 1, height, width),
        like.new_empty(batch, 1, height, width),
    )


def room(tensors: Sequence[Tensor | None], wants: Sequence[bool]) -> Gradients:
    """Room for the gradient of each tensor that wants one."""
    return [torch.empty_like(t) if want and t is not None else None for t, want in zip(tensors, wants, strict=True)]


def _pointers(tensors: Sequence[Tensor | None]) -> list[int | None]:
    return [pointer(t) for t in tensors]


def free_forward(
    frame: Frame, inputs: Sequence[Tensor], cameras: Sequence[Tensor], background: Tensor | None, kind: int,
    width: int, height: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Draw splats in the world; `frame` keeps what the backward pass needs.

    Args:
        inputs: means, quats, scales, opacities, colors; cameras: intrinsics and camera_from_world, as `ops.rasterize`.
    """
    batch, count = inputs[0].shape[:2]
    out = pictures(inputs[0], batch, width, height)
    native.check(
        native.library().av_rasterize_forward(
            frame.handle, thread_count(), batch, count, width, height, frame.normals, *_pointers(inputs),
            *_pointers(cameras), pointer(background), kind, *_pointers(out),
        )
    )  # fmt: skip
    return out


def free_backward(
    frame: Frame, inputs: Sequence[Tensor], cameras: Sequence[Tensor], out: Sequence[Tensor],
    grads: Sequence[Tensor | None], wants: Sequence[bool], want_cameras: bool,
) -> Gradients:  # fmt: skip
    """Gradients of the inputs that want one, and of both cameras or neither.

    Args:
        out, grads: colour, alpha, depth of the forward pass, and what flows back to each.
    """
    made, cameras_made = room(inputs, wants), room(cameras, [want_cameras] * 2)
    native.check(
        native.library().av_rasterize_backward(
            frame.handle, thread_count(), len(inputs[0]), *_pointers(inputs), *_pointers(out), *_pointers(grads),
            *_pointers(made), *_pointers(cameras_made),
        )
    )  # fmt: skip
    return made + cameras_made


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


def bound_forward(
    frame: Frame, binding: BindingLike, inputs: Sequence[Tensor | None], cameras: Sequence[Tensor],
    background: Tensor | None, kind: int, width: int, height: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Bind splats to posed meshes and draw them.

    Args:
        inputs: vertices, mean, quaternion, log_scale, logit_opacity, color, delta, as `ops.render_bound`.
    """
    vertices, *params = inputs
    assert vertices is not None
    batch, count = len(vertices), len(binding.corner)
    out = pictures(vertices, batch, width, height)
    native.check(
        native.library().av_bound_forward(
            frame.handle, thread_count(), batch, count, vertices.shape[1], width, height, frame.normals,
            _mesh(binding), native.Params(*_pointers(params)), pointer(vertices), *_pointers(cameras),
            pointer(background), kind, *_pointers(out),
        )
    )  # fmt: skip
    return out


def bound_backward(
    frame: Frame, binding: BindingLike, inputs: Sequence[Tensor | None], cameras: Sequence[Tensor],
    out: Sequence[Tensor], grads: Sequence[Tensor | None], wants: Sequence[bool], want_cameras: bool,
) -> Gradients:  # fmt: skip
    """As `free_backward`, for `bound_forward`."""
    vertices, *params = inputs
    assert vertices is not None
    made = room(inputs, wants) + room(cameras, [want_cameras] * 2)
    native.check(
        native.library().av_bound_backward(
            frame.handle, thread_count(), len(vertices), len(binding.corner), _mesh(binding),
            native.Params(*_pointers(params)), *_pointers(out), *_pointers(grads), native.Grads(*_pointers(made)),
        )
    )  # fmt: skip
    return made


def combine(bases: Tensor, weights: Tensor) -> Tensor:
    """delta [B, N, 9] of bases [N, 9, K] and weights [B, K]."""
    count, _, k = bases.shape
    delta = bases.new_empty(len(weights), count, 9)
    tensors = (bases, weights, delta)
    native.check(native.library().av_combine(thread_count(), len(weights), 9 * count, k, *_pointers(tensors)))
    return delta


def combine_backward(bases: Tensor, weights: Tensor, g_delta: Tensor, want_bases: bool) -> tuple[Tensor | None, Tensor]:
    """Gradients of the bases, where wanted, and of the weights."""
    g_weights = torch.empty_like(weights)
    g_bases = torch.empty_like(bases) if want_bases else None
    tensors = (bases, weights, g_delta, g_weights, g_bases)
    rows, k = 9 * len(bases), bases.shape[2]
    native.check(native.library().av_combine_backward(thread_count(), len(weights), rows, k, *_pointers(tensors)))
    return g_bases, g_weights


def loss(
    image: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float, want_grad: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """(1 - l) L1 + l (1 - SSIM) as a scalar tensor, mean 1 - SSIM likewise, and the loss's gradient to the image."""
    batch, _, height, width = image.shape
    grad = torch.empty_like(image) if want_grad else None
    out = (ctypes.c_double * 2)()
    native.check(
        native.library().av_loss(
            thread_count(), batch, height, width, pointer(image), pointer(target), pointer(weight), ssim_weight,
            pointer(grad), out,
        )
    )  # fmt: skip
    l1, dissimilarity = out
    total = (1 - ssim_weight) * l1 + ssim_weight * dissimilarity
    return image.new_tensor(total), image.new_tensor(dissimilarity), grad


def adam_(
    param: Tensor, grad: Tensor, m: Tensor, v: Tensor, lr: Tensor, step: int, beta1: float, beta2: float, eps: float
) -> None:
    """One step in place; arguments as `ops.adam_`."""
    n, c = param.shape
    pointers = _pointers((param, grad, m, v, lr))
    native.check(native.library().av_adam(thread_count(), n, c, *pointers, step, beta1, beta2, eps))


def adam_outer_(
    bases: Tensor, m: Tensor, v: Tensor, grad_delta: Tensor, weights: Tensor, lr: Tensor, step: int,
    beta1: float, beta2: float, eps: float,
) -> None:  # fmt: skip
    """One step in place; arguments as `ops.adam_outer_`."""
    n, _, k = bases.shape
    pointers = _pointers((bases, m, v, grad_delta, weights, lr))
    native.check(native.library().av_adam_outer(thread_count(), 9 * n, k, *pointers, step, beta1, beta2, eps))
