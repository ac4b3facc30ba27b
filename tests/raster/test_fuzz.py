"""A thousand seeds of bad numbers: never a NaN in a picture or a gradient, and what is empty stays empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars.raster import ops

from . import scenes, spoilt

BLOCK = 125


@pytest.mark.parametrize("block", range(8))
def test_a_thousand_seeds(block: int):
    pruned = 0
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        tensors, (width, height) = spoilt.free(seed)
        background = torch.rand(1, 3, height, width)
        x = scenes.leaves(tensors)
        drawn = ops.rasterize(*x, width, height, background=background, normals=seed % 5 == 0)
        pruned += drawn.pruned
        pictures = [p for p in (drawn.color, drawn.alpha, drawn.depth, drawn.normal) if p is not None]
        assert all(p.isfinite().all() for p in pictures), seed
        assert ((drawn.alpha >= 0) & (drawn.alpha <= 1)).all(), seed
        assert torch.equal(torch.where(drawn.alpha == 0, drawn.color, background), background), seed
        total = sum((p * torch.randn_like(p)).sum() for p in pictures)
        assert all(g.isfinite().all() for g in torch.autograd.grad(total, x)), seed

        lone = spoilt.lone(seed)
        # 1 - (1 - a) rounds to the nearest multiple of 2^-24
        assert float(ops.rasterize(*lone, 31, 23).alpha.max()) <= float(lone[3]) + 2**-24, seed

        drawn = ops.rasterize(*spoilt.empty(seed), width, height, background=background)
        assert torch.equal(drawn.color, background), seed
        assert not drawn.alpha.any(), seed
        assert not drawn.depth.any(), seed
    assert pruned > 20


@pytest.mark.parametrize("block", range(2))
def test_bound_splats_of_a_thousand_numbers(block: int):
    binding, tensors = scenes.bound(0, 1, 30)
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        rng = np.random.default_rng(seed)
        x = [t.clone() for t in tensors]
        spoilt.scatter(rng, x[:7], 0.4)
        x = scenes.leaves(x)
        size = int(rng.integers(1, 60)), int(rng.integers(1, 60))
        drawn = ops.render_bound(x[0], binding, *x[1:9], *size, normals=seed % 5 == 0)
        pictures = [p for p in (drawn.color, drawn.alpha, drawn.depth, drawn.normal) if p is not None]
        assert all(p.isfinite().all() for p in pictures), seed
        total = sum((p * torch.randn_like(p)).sum() for p in pictures)
        assert all(g.isfinite().all() for g in torch.autograd.grad(total, x)), seed


def test_pruned_splats_are_counted_and_change_nothing():
    tensors = scenes.free(1, 1, 40)
    clean = ops.rasterize(*tensors, 50, 40)
    assert clean.pruned == 0
    bad = scenes.free(2, 1, 5)
    bad[0][0, 0, 0] = float("nan")
    bad[1][0, 1] = 0
    bad[2][0, 2, 1] = float("inf")
    bad[3][0, 3] = float("nan")
    bad[4][0, 4, 2] = float("-inf")
    joined = [torch.cat([a, b], 1) if i < 5 else a for i, (a, b) in enumerate(zip(tensors, bad, strict=True))]
    drawn = ops.rasterize(*joined, 50, 40)
    assert drawn.pruned == 5
    assert torch.equal(drawn.color, clean.color)


@pytest.mark.parametrize("why", spoilt.EMPTY)
def test_empty_scenes_give_the_background_exactly(why: str):
    tensors = spoilt.empty(spoilt.EMPTY.index(why), 2)
    background = torch.rand(2, 3, 17, 19)
    drawn = ops.rasterize(*tensors, 19, 17, background=background)
    assert torch.equal(drawn.color, background)
    assert float(drawn.alpha.abs().max()) == float(drawn.depth.abs().max()) == 0
    assert drawn.pruned == 0
    assert torch.equal(ops.rasterize(*tensors, 19, 17).color, torch.zeros(2, 3, 17, 19))
