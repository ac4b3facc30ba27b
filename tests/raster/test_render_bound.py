"""Fused binding, projection and blending against the float64 reference."""

from __future__ import annotations

import pytest
import torch

from avatars.errors import InputError
from avatars.raster import ops

from . import scenes

NAMES = ("vertices", "mean", "quaternion", "log_scale", "logit_opacity", "color", "delta", "intrinsics", "camera")


def both(seed: int, batch: int, delta: bool):
    binding, tensors = scenes.bound(seed, batch)
    if not delta:
        tensors[6] = None
    background = torch.rand(batch, 3, scenes.HEIGHT, scenes.WIDTH, generator=torch.Generator().manual_seed(1))
    x, y = scenes.leaves(tensors), scenes.leaves(tensors, torch.float64)
    ours = ops.render_bound(x[0], binding, *x[1:9], scenes.WIDTH, scenes.HEIGHT, background)
    theirs = scenes.reference_bound(binding, y, background.double())
    grads = []
    for drawn, inputs in ((ours, x), (theirs, y)):
        kept = [t for t in inputs if t is not None]
        grads.append(torch.autograd.grad(scenes.probe(drawn, 2), kept))
    return ours, theirs, grads


@pytest.mark.parametrize(("seed", "batch", "delta"), [(0, 1, True), (1, 3, True), (2, 2, False)])
def test_matches_the_reference(seed: int, batch: int, delta: bool, variant: str):
    ours, theirs, grads = both(seed, batch, delta)
    for name in ("color", "alpha", "depth"):
        assert (getattr(ours, name) - getattr(theirs, name)).abs().max() < 1e-5, name
    names = [n for n in NAMES if delta or n != "delta"]
    for name, a, b in zip(names, *grads, strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max(), name  # measured 2e-5


def test_only_wanted_gradients_are_made():
    binding, tensors = scenes.bound(4, 1)
    for i in range(9):
        x = [t.clone() for t in tensors]
        x[i].requires_grad_()
        drawn = ops.render_bound(x[0], binding, *x[1:9], scenes.WIDTH, scenes.HEIGHT)
        scenes.probe(drawn, 2).backward()
        every = scenes.leaves(tensors)
        scenes.probe(ops.render_bound(every[0], binding, *every[1:9], scenes.WIDTH, scenes.HEIGHT), 2).backward()
        assert torch.equal(x[i].grad, every[i].grad)
        assert all(t.grad is None for j, t in enumerate(x) if j != i)


def test_collapsed_surface_draws_with_a_fallback_frame_and_finite_gradients(variant: str):
    binding, tensors = scenes.bound(5, 1)
    tensors[0] = tensors[0].clone()
    tensors[0][:, : tensors[0].shape[1] // 2] = tensors[0][:, :1]  # half of the mesh in one point
    x, y = scenes.leaves(tensors), scenes.leaves(tensors, torch.float64)
    ours = ops.render_bound(x[0], binding, *x[1:9], scenes.WIDTH, scenes.HEIGHT)
    theirs = scenes.reference_bound(binding, y)
    assert (ours.color - theirs.color).abs().max() < 1e-5
    grads = torch.autograd.grad(scenes.probe(ours, 2), x)
    expected = torch.autograd.grad(scenes.probe(theirs, 2), y)
    assert all(g.isfinite().all() for g in grads)
    for name, a, b in zip(NAMES, grads, expected, strict=True):
        assert (a - b).abs().max() <= 1e-3 * b.abs().max(), name  # nearly flat frames lose digits in float32


def test_no_splats_leave_the_background():
    binding, tensors = scenes.bound(6, 2, 0)
    background = torch.rand(2, 3, scenes.HEIGHT, scenes.WIDTH)
    x = scenes.leaves(tensors)
    drawn = ops.render_bound(x[0], binding, *x[1:9], scenes.WIDTH, scenes.HEIGHT, background)
    assert torch.equal(drawn.color, background)
    assert drawn.alpha.abs().max().item() == 0
    grads = torch.autograd.grad(drawn.color.sum(), x)
    assert all(g.abs().sum().item() == 0 for g in grads)


def test_wrong_shapes_are_refused():
    binding, tensors = scenes.bound(7, 1)
    for i in range(9):
        x = list(tensors)
        x[i] = x[i][..., :-1]
        with pytest.raises(InputError):
            ops.render_bound(x[0], binding, *x[1:9], scenes.WIDTH, scenes.HEIGHT)
