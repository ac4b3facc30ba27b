"""Learned bases and fused Adam against torch."""

from __future__ import annotations

import pytest
import torch

from avatars.errors import InputError
from avatars.raster import ops

from . import scenes


@pytest.mark.parametrize("k", [1, 4, 8, 20, 27])
@pytest.mark.parametrize("batch", [1, 3])
def test_combination_matches_a_matrix_product(k: int, batch: int, variant: str):
    g = torch.Generator().manual_seed(k)
    tensors = [torch.randn(301, 9, k, generator=g), torch.randn(batch, k, generator=g)]
    probe = torch.randn(batch, 301, 9, generator=g)
    x, y = scenes.leaves(tensors), scenes.leaves(tensors, torch.float64)
    ours, theirs = ops.combine_bases(*x), torch.einsum("njk,bk->bnj", *y)
    assert (ours - theirs).abs().max() < 1e-5
    for a, b in zip(
        torch.autograd.grad((ours * probe).sum(), x), torch.autograd.grad((theirs * probe).sum(), y), strict=True
    ):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


def test_adam_matches_torch(variant: str):
    g = torch.Generator().manual_seed(0)
    rates = [0.01, 0.002, 0.03]
    param = torch.randn(257, 3, generator=g)
    columns = [param[:, i].clone().requires_grad_() for i in range(3)]
    oracle = torch.optim.Adam(
        [{"params": [c], "lr": r} for c, r in zip(columns, rates, strict=True)], betas=(0.9, 0.99)
    )
    m, v = torch.zeros(257, 3), torch.zeros(257, 3)
    for step in range(1, 6):
        grad = torch.randn(257, 3, generator=g)
        for i, c in enumerate(columns):
            c.grad = grad[:, i].clone()
        oracle.step()
        ops.adam_(param, grad, m, v, torch.tensor(rates), step, 0.9, 0.99, 1e-8)
    assert (param - torch.stack([c.detach() for c in columns], 1)).abs().max() < 1e-6


@pytest.mark.parametrize("k", [1, 8, 20])
def test_adam_of_the_outer_product_matches_torch(k: int, variant: str):
    g = torch.Generator().manual_seed(1)
    bases = torch.randn(129, 9, k, generator=g)
    rates = torch.linspace(1e-3, 1e-2, 9)
    rows = [bases[:, j].clone().requires_grad_() for j in range(9)]
    oracle = torch.optim.Adam([{"params": [r], "lr": float(lr)} for r, lr in zip(rows, rates, strict=True)])
    m, v = torch.zeros_like(bases), torch.zeros_like(bases)
    for step in range(1, 5):
        grad, weights = torch.randn(129, 9, generator=g), torch.randn(k, generator=g)
        for j, r in enumerate(rows):
            r.grad = grad[:, j, None] * weights
        oracle.step()
        ops.adam_outer_(bases, m, v, grad, weights, rates, step)
    assert (bases - torch.stack([r.detach() for r in rows], 1)).abs().max() < 1e-6


def test_wrong_arguments_are_refused():
    x = torch.zeros(4, 3)
    with pytest.raises(InputError):
        ops.adam_(x, x[:3], x.clone(), x.clone(), torch.ones(3), 1)
    with pytest.raises(InputError):
        ops.adam_(x, x, x.clone(), x.clone(), torch.ones(3), 0)
    with pytest.raises(InputError, match="contiguous"):
        ops.adam_(torch.zeros(3, 4).T, x, x.clone(), x.clone(), torch.ones(3), 1)
    with pytest.raises(InputError):
        ops.combine_bases(torch.zeros(5, 9, 4), torch.zeros(1, 3))
