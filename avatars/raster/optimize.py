"""Fused optimizer steps, in place; no gradients pass through them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from . import checks, dispatch


def _in_place(name: str, value: Tensor, shape: tuple[int, ...], device: torch.device) -> Tensor:
    if not value.is_contiguous():
        raise InputError(f"{name} is changed in place and must be contiguous")
    return checks.float32(name, value.detach(), shape, device)


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
    device = checks.device_of("param", param, 2, "[N, C]")
    n, c = param.shape
    param, m, v = (_in_place(k, x, (n, c), device) for k, x in (("param", param), ("m", m), ("v", v)))
    grad, lr = checks.float32("grad", grad, (n, c), device), checks.float32("lr", lr, (c,), device)
    if step < 1:
        raise InputError("Adam's first step is number 1")
    if n:
        dispatch.backend_of(device).adam_(param, grad, m, v, lr, step, beta1, beta2, eps)


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
    device = checks.device_of("bases", bases, 3, "[N, 9, K]")
    n, _, k = bases.shape
    bases, m, v = (_in_place(name, x, (n, 9, k), device) for name, x in (("bases", bases), ("m", m), ("v", v)))
    grad_delta = checks.float32("grad_delta", grad_delta, (n, 9), device)
    weights, lr = checks.float32("weights", weights, (k,), device), checks.float32("lr", lr, (9,), device)
    if step < 1:
        raise InputError("Adam's first step is number 1")
    if n:
        dispatch.backend_of(device).adam_outer_(bases, m, v, grad_delta, weights, lr, step, beta1, beta2, eps)
