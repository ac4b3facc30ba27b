"""Fused optimizer steps, in place; no gradients pass through them."""

from __future__ import annotations

from torch import Tensor

from ..errors import InputError
from . import checks, native
from .native import pointer
from .threads import thread_count


def _in_place(name: str, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    if not value.is_contiguous():
        raise InputError(f"{name} is changed in place and must be contiguous")
    return checks.float32_cpu(name, value.detach(), shape)


def adam_(
    param: Tensor, grad: Tensor, m: Tensor, v: Tensor, lr: Tensor, step: int,
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
) -> None:  # fmt: skip
    """One step of Adam (Kingma & Ba 2015) in place, with a rate per column.

    Args:
        param, grad, m, v: [N, C].
        lr: [C].
        step: 1 for the first.
    """
    n, c = param.shape
    tensors = [_in_place(k, x, (n, c)) for k, x in (("param", param), ("m", m), ("v", v))]
    param, m, v = tensors
    grad, lr = checks.float32_cpu("grad", grad, (n, c)), checks.float32_cpu("lr", lr, (c,))
    if step < 1:
        raise InputError("Adam's first step is number 1")
    if n:
        pointers = map(pointer, (param, grad, m, v, lr))
        native.check(native.library().av_adam(thread_count(), n, c, *pointers, step, beta1, beta2, eps))


def adam_outer_(
    bases: Tensor, m: Tensor, v: Tensor, grad_delta: Tensor, weights: Tensor, lr: Tensor, step: int,
    beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8,
) -> None:  # fmt: skip
    """One step of Adam in place for the gradient grad_delta[n, j] * weights[k], which is never stored.

    Args:
        bases, m, v: [N, 9, K].
        grad_delta: [N, 9]; weights: [K]; lr: [9], a rate per row.
        step: 1 for the first.
    """
    n, _, k = bases.shape
    bases, m, v = (_in_place(name, x, (n, 9, k)) for name, x in (("bases", bases), ("m", m), ("v", v)))
    grad_delta, weights = (
        checks.float32_cpu("grad_delta", grad_delta, (n, 9)),
        checks.float32_cpu("weights", weights, (k,)),
    )
    lr = checks.float32_cpu("lr", lr, (9,))
    if step < 1:
        raise InputError("Adam's first step is number 1")
    pointers = map(pointer, (bases, m, v, grad_delta, weights, lr))
    native.check(native.library().av_adam_outer(thread_count(), 9 * n, k, *pointers, step, beta1, beta2, eps))
