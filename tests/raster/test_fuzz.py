"""Bad numbers: pruned and counted, never a NaN in a picture or a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars.raster import ops

from . import scenes

BAD = [float("nan"), float("inf"), float("-inf"), 0.0, 1e30, -1e30, 1e-30, 1e38, -1.0]


def scene(rng: np.random.Generator):
    """A tiny scene in which about a third of the numbers are spoilt, with a picture of odd size."""
    count = int(rng.integers(0, 12))
    tensors = scenes.free(int(rng.integers(1 << 30)), 1, count)
    for k in range(5):
        flat = tensors[k].view(-1)
        if rng.random() < 0.5 and len(flat):
            for i in rng.integers(0, len(flat), int(rng.integers(1, 4))):
                flat[i] = float(rng.choice(BAD))
    if rng.random() < 0.3:
        tensors[2] = tensors[2] * float(rng.choice([1e30, 1e-30, 1e8, 1e3]))
    if rng.random() < 0.2:
        tensors[3] = tensors[3].round()
    if rng.random() < 0.1:
        tensors[0][..., 2] -= 5
    width, height = int(rng.integers(1, 40)), int(rng.integers(1, 40))
    return tensors, width, height


@pytest.mark.parametrize("block", range(4))
def test_a_thousand_spoilt_scenes_stay_finite(block: int):
    rng = np.random.default_rng(block)
    pruned = 0
    for _ in range(300):
        tensors, width, height = scene(rng)
        background = torch.rand(1, 3, height, width)
        x = scenes.leaves(tensors)
        drawn = ops.rasterize(*x, width, height, background=background)
        pruned += drawn.pruned
        assert all(p.isfinite().all() for p in (drawn.color, drawn.alpha, drawn.depth))
        assert ((drawn.alpha >= 0) & (drawn.alpha <= 1)).all()
        empty = drawn.alpha == 0
        assert torch.equal(torch.where(empty, drawn.color, background), background)
        grads = torch.autograd.grad(scenes.probe(drawn, 0), x)
        assert all(g.isfinite().all() for g in grads)
    assert pruned > 50


def test_a_thousand_spoilt_bound_scenes_stay_finite():
    rng = np.random.default_rng(77)
    binding, tensors = scenes.bound(0, 1, 30)
    for _ in range(300):
        spoilt = [t.clone() for t in tensors]
        for k in range(7):
            flat = spoilt[k].view(-1)
            if rng.random() < 0.4:
                for i in rng.integers(0, len(flat), int(rng.integers(1, 4))):
                    flat[i] = float(rng.choice(BAD))
        width, height = int(rng.integers(1, 60)), int(rng.integers(1, 60))
        x = scenes.leaves(spoilt)
        drawn = ops.render_bound(x[0], binding, *x[1:9], width, height)
        assert all(p.isfinite().all() for p in (drawn.color, drawn.alpha, drawn.depth))
        grads = torch.autograd.grad(scenes.probe(drawn, 0), x)
        assert all(g.isfinite().all() for g in grads)


def test_alpha_of_one_splat_never_exceeds_its_opacity():
    rng = np.random.default_rng(3)
    for seed in range(200):
        tensors = scenes.free(seed, 1, 1)
        tensors[2] = tensors[2] * float(10 ** rng.uniform(-2, 2))
        alpha = ops.rasterize(*tensors, 31, 23).alpha
        # 1 - (1 - a) rounds to the nearest multiple of 2^-24
        assert float(alpha.max()) <= float(tensors[3]) + 2**-24


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
    spoilt = ops.rasterize(*joined, 50, 40)
    assert spoilt.pruned == 5
    assert torch.equal(spoilt.color, clean.color)


@pytest.mark.parametrize("case", ["none", "behind", "beside", "transparent"])
def test_empty_scenes_give_the_background_exactly(case: str):
    tensors = scenes.free(1, 2, 0 if case == "none" else 20)
    if case == "behind":
        tensors[0][..., 2] *= -1
    if case == "beside":
        tensors[0][..., 0] += 50
    if case == "transparent":
        tensors[3] *= 0
    background = torch.rand(2, 3, 17, 19)
    drawn = ops.rasterize(*tensors, 19, 17, background=background)
    assert torch.equal(drawn.color, background)
    assert float(drawn.alpha.abs().max()) == float(drawn.depth.abs().max()) == 0
    assert drawn.pruned == 0
    assert torch.equal(ops.rasterize(*tensors, 19, 17).color, torch.zeros(2, 3, 17, 19))
