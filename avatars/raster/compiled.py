"""The same operations as `torch.library` custom ops, with fakes and gradients, for `torch.compile` to trace.

Only traced programs come here; eager calls keep the cheaper `torch.autograd.Function`s of ops.py. Both call the same
functions of cpu.py and cuda.py, so that a compiled program gives the bits of an eager one.

What a forward pass leaves for its backward pass is no tensor. A drawing therefore also returns a ticket, a tensor
[1] int64 on the CPU with the number of pruned splats, whose memory keeps the pass alive and whose address finds it
again. Where a compiler has copied the ticket, the backward pass draws once more. On a CUDA device the ticket keeps
torch from putting the ops into a CUDA graph of its own, in which nobody would look for overflow: cuda_graph.py has
one that does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from . import cpu, dispatch

_FREE, _BOUND = 5, 7
"""Inputs of the two drawings besides the cameras."""


class _Memory(ctypes.c_int64 * 1):
    """A ticket's memory; torch holds on to it as long as the tensor lives."""

    frame: Any


_passes: WeakValueDictionary[int, Any] = WeakValueDictionary()


def _ticket(frame: Any, batch: int) -> Tensor:
    dropped = frame.pruned(batch)
    memory = _Memory(dropped if isinstance(dropped, int) else -1)
    memory.frame = frame
    ticket = torch.frombuffer(memory, dtype=torch.int64)
    _passes[ticket.data_ptr()] = frame
    return ticket


def _fake_pictures(like: Tensor, width: int, height: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    out = cpu.pictures(like, len(like), width, height)
    return *out, torch.empty(1, dtype=torch.int64, device="cpu")


def _wanted(made: Sequence[Tensor | None], wants: Sequence[bool]) -> list[Tensor]:
    return [g for g, want in zip(made, wants, strict=True) if want and g is not None]


def _spread(made: Sequence[Tensor], wants: Sequence[bool]) -> list[Tensor | None]:
    rest = iter(made)
    return [next(rest) if want else None for want in wants]


# -- splats in the world ------------------------------------------------------------------------------------------


@torch.library.custom_op("avatars::rasterize", mutates_args=())
def _rasterize(
    background: Tensor | None, kind: int, width: int, height: int, normals: bool, means: Tensor, quats: Tensor,
    scales: Tensor, opacities: Tensor, colors: Tensor, intrinsics: Tensor, camera: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    backend, inputs = dispatch.backend_of(means.device), (means, quats, scales, opacities, colors)
    frame = backend.Frame(normals)
    out = backend.free_forward(frame, inputs, (intrinsics, camera), background, kind, width, height)
    return *out, _ticket(frame, len(means))


@_rasterize.register_fake
def _(background, kind, width, height, normals, means, *rest):
    del background, kind, normals, rest
    return _fake_pictures(means, width, height)


@torch.library.custom_op("avatars::rasterize_backward", mutates_args=())
def _rasterize_backward(
    ticket: Tensor, background: Tensor | None, kind: int, normals: bool, inputs: Sequence[Tensor],
    out: Sequence[Tensor], g_color: Tensor, g_alpha: Tensor, g_depth: Tensor, wants: Sequence[bool],
) -> list[Tensor]:  # fmt: skip
    backend, height, width = dispatch.backend_of(out[0].device), *out[0].shape[2:]
    splats, cameras = inputs[:_FREE], inputs[_FREE:]
    frame = _passes.get(ticket.data_ptr())
    if frame is None:
        frame = backend.Frame(normals)
        backend.free_forward(frame, splats, cameras, background, kind, width, height)
    grads = (g_color.contiguous(), g_alpha.contiguous(), g_depth.contiguous())
    made = backend.free_backward(frame, splats, cameras, out, grads, wants[:_FREE], any(wants[_FREE:]))
    return _wanted(made, wants)


@_rasterize_backward.register_fake
def _(ticket, background, kind, normals, inputs, out, g_color, g_alpha, g_depth, wants):
    del ticket, background, kind, normals, out, g_color, g_alpha, g_depth
    return [torch.empty_like(t) for t, want in zip(inputs, wants, strict=True) if want]


def _rasterize_setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    background, kind, _, _, normals, *tensors = inputs
    ctx.save_for_backward(background, *tensors, *output)
    ctx.kind, ctx.normals = kind, normals


def _background_gradient(ctx: Any, g_color: Tensor, alpha: Tensor) -> Tensor | None:
    from .ops import background_gradient

    return background_gradient(ctx.needs_input_grad[0], ctx.kind, g_color, alpha)


def _rasterize_grad(ctx: Any, g_color: Tensor, g_alpha: Tensor, g_depth: Tensor, _: Tensor) -> tuple:
    background, *saved = ctx.saved_tensors
    inputs, out, ticket = saved[: _FREE + 2], saved[_FREE + 2 : _FREE + 5], saved[-1]
    wants = list(ctx.needs_input_grad[5:])
    made = _rasterize_backward(ticket, background, ctx.kind, ctx.normals, inputs, out, g_color, g_alpha, g_depth, wants)
    return _background_gradient(ctx, g_color, out[1]), None, None, None, None, *_spread(made, wants)


_rasterize.register_autograd(_rasterize_grad, setup_context=_rasterize_setup)


def rasterize(
    background: Tensor | None, kind: int, width: int, height: int, normals: bool, *tensors: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colour (or normals), alpha, depth and the number of pruned splats; arguments as `ops.rasterize` checked them."""
    color, alpha, depth, ticket = _rasterize(background, kind, width, height, normals, *tensors)
    return color, alpha, depth, ticket[0]


# -- splats bound to a mesh ---------------------------------------------------------------------------------------

_bindings: WeakValueDictionary[int, Any] = WeakValueDictionary()


@torch.compiler.assume_constant_result
def _remember(binding: Any) -> int:
    """A number by which the op finds the binding; the caller guards on its identity."""
    _bindings[id(binding)] = binding
    return id(binding)


@torch.compiler.assume_constant_result
def _sizes(binding: Any) -> tuple[int, int]:
    return len(binding.use_start) - 1, len(binding.corner)


def sizes(binding: Any) -> tuple[int, int]:
    """V and N of a binding, as constants of the traced program."""
    id(binding)  # the compiled program is for this binding alone: torch guards on what was asked for
    return _sizes(binding)


@torch.library.custom_op("avatars::render_bound", mutates_args=())
def _render_bound(
    background: Tensor | None, binding: int, kind: int, width: int, height: int, normals: bool, vertices: Tensor,
    mean: Tensor, quaternion: Tensor, log_scale: Tensor, logit_opacity: Tensor, color: Tensor, delta: Tensor | None,
    intrinsics: Tensor, camera: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    backend, cameras = dispatch.backend_of(vertices.device), (intrinsics, camera)
    inputs = (vertices, mean, quaternion, log_scale, logit_opacity, color, delta)
    frame = backend.Frame(normals)
    out = backend.bound_forward(frame, _bindings[binding], inputs, cameras, background, kind, width, height)
    return *out, _ticket(frame, len(vertices))


@_render_bound.register_fake
def _(background, binding, kind, width, height, normals, vertices, *rest):
    del background, binding, kind, normals, rest
    return _fake_pictures(vertices, width, height)


@torch.library.custom_op("avatars::render_bound_backward", mutates_args=())
def _render_bound_backward(
    ticket: Tensor, background: Tensor | None, binding: int, kind: int, normals: bool, inputs: Sequence[Tensor],
    with_delta: bool, out: Sequence[Tensor], g_color: Tensor, g_alpha: Tensor, g_depth: Tensor, wants: Sequence[bool],
) -> list[Tensor]:  # fmt: skip
    backend, height, width = dispatch.backend_of(out[0].device), *out[0].shape[2:]
    splats: list[Tensor | None] = list(inputs[:-2])
    if not with_delta:
        splats.append(None)
    cameras, mesh = inputs[-2:], _bindings[binding]
    frame = _passes.get(ticket.data_ptr())
    if frame is None:
        frame = backend.Frame(normals)
        backend.bound_forward(frame, mesh, splats, cameras, background, kind, width, height)
    grads = (g_color.contiguous(), g_alpha.contiguous(), g_depth.contiguous())
    made = backend.bound_backward(frame, mesh, splats, cameras, out, grads, wants[:_BOUND], any(wants[_BOUND:]))
    return _wanted(made, wants)


@_render_bound_backward.register_fake
def _(ticket, background, binding, kind, normals, inputs, with_delta, out, g_color, g_alpha, g_depth, wants):
    del ticket, background, binding, kind, normals, out, g_color, g_alpha, g_depth
    all_inputs = list(inputs) if with_delta else [*inputs[:-2], None, *inputs[-2:]]
    return [torch.empty_like(t) for t, want in zip(all_inputs, wants, strict=True) if want and t is not None]


def _render_bound_setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    background, binding, kind, _, _, normals, *tensors = inputs
    ctx.save_for_backward(background, *tensors, *output)
    ctx.binding, ctx.kind, ctx.normals = binding, kind, normals


def _render_bound_grad(ctx: Any, g_color: Tensor, g_alpha: Tensor, g_depth: Tensor, _: Tensor) -> tuple:
    background, *saved = ctx.saved_tensors
    inputs, out, ticket = saved[: _BOUND + 2], saved[_BOUND + 2 : _BOUND + 5], saved[-1]
    wants = list(ctx.needs_input_grad[6:])
    made = _render_bound_backward(
        ticket, background, ctx.binding, ctx.kind, ctx.normals, [t for t in inputs if t is not None],
        inputs[_BOUND - 1] is not None, out, g_color, g_alpha, g_depth, wants,
    )  # fmt: skip
    return _background_gradient(ctx, g_color, out[1]), None, None, None, None, None, *_spread(made, wants)


_render_bound.register_autograd(_render_bound_grad, setup_context=_render_bound_setup)


def render_bound(
    binding: Any, background: Tensor | None, kind: int, width: int, height: int, normals: bool, *tensors: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colour (or normals), alpha, depth and the number of pruned splats; as `ops.render_bound` checked them."""
    id(binding)
    draw: Any = _render_bound  # its arguments cannot be counted
    color, alpha, depth, ticket = draw(background, _remember(binding), kind, width, height, normals, *tensors)
    return color, alpha, depth, ticket[0]


# -- learned bases and the loss -----------------------------------------------------------------------------------


@torch.library.custom_op("avatars::combine", mutates_args=())
def combine(bases: Tensor, weights: Tensor) -> Tensor:
    """delta [B, N, 9] of bases [N, 9, K] and weights [B, K]."""
    return dispatch.backend_of(bases.device).combine(bases, weights)


@combine.register_fake
def _(bases, weights):
    return bases.new_empty(len(weights), len(bases), 9)


@torch.library.custom_op("avatars::combine_backward", mutates_args=())
def _combine_backward(bases: Tensor, weights: Tensor, g_delta: Tensor, want_bases: bool) -> list[Tensor]:
    made = dispatch.backend_of(bases.device).combine_backward(bases, weights, g_delta.contiguous(), want_bases)
    return [g for g in made if g is not None]


@_combine_backward.register_fake
def _(bases, weights, g_delta, want_bases):
    del g_delta
    return [torch.empty_like(bases), torch.empty_like(weights)] if want_bases else [torch.empty_like(weights)]


def _combine_setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    del output
    ctx.save_for_backward(*inputs)


def _combine_grad(ctx: Any, g_delta: Tensor) -> tuple:
    made = _combine_backward(*ctx.saved_tensors, g_delta, ctx.needs_input_grad[0])
    return made[0] if ctx.needs_input_grad[0] else None, made[-1]


combine.register_autograd(_combine_grad, setup_context=_combine_setup)


@torch.library.custom_op("avatars::photometric_loss", mutates_args=())
def _photometric_loss(
    image: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float, want_grad: bool
) -> tuple[Tensor, Tensor]:
    value, _, grad = dispatch.backend_of(image.device).loss(image, target, weight, ssim_weight, want_grad)
    # A value of its own: nothing that an op returns may share memory.
    return value.clone(), image.new_empty(0) if grad is None else grad


@_photometric_loss.register_fake
def _(image, target, weight, ssim_weight, want_grad):
    del target, weight, ssim_weight
    return image.new_empty(()), torch.empty_like(image) if want_grad else image.new_empty(0)


def _photometric_loss_setup(ctx: Any, inputs: tuple, output: tuple) -> None:
    del inputs
    ctx.save_for_backward(output[1])


def _photometric_loss_grad(ctx: Any, g: Tensor, _: Tensor) -> tuple:
    (grad,) = ctx.saved_tensors
    return (grad * g if len(grad) else None), None, None, None, None


_photometric_loss.register_autograd(_photometric_loss_grad, setup_context=_photometric_loss_setup)


def photometric_loss(image: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float) -> Tensor:
    """As `ops.photometric_loss` has checked its arguments."""
    return _photometric_loss(image, target, weight, ssim_weight, image.requires_grad)[0]
