"""The custom ops that `torch.compile` traces: same bits as eager calls, no break in the graph, no mixed-up bindings."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from avatars.raster import compiled, ops

from . import scenes


@pytest.fixture(autouse=True)
def fresh_dynamo():
    """Forget what other tests have compiled."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def whole(function):
    """`function` compiled in one piece, without a code generator: seconds matter, not speed."""
    return torch.compile(function, fullgraph=True, backend="aot_eager")


def test_free_splats():
    background, probes = torch.rand(3), [torch.randn(2, c, 30, 40) for c in (3, 1, 1)]

    def function(background: Tensor, *x: Tensor) -> tuple[Tensor, Tensor | int]:
        drawn = ops.rasterize(*[t * 1.0 for t in x], 40, 30, background=background)
        pictures = (drawn.color, drawn.alpha, drawn.depth)
        return torch.stack([(a * b).sum() for a, b in zip(pictures, probes, strict=True)]).sum(), drawn.pruned

    x = scenes.leaves([background, *scenes.free(0, 2, 50)])
    x[1].data[0, 0, 0] = float("nan")
    eager, traced = function(*x), whole(function)(*x)
    assert int(traced[1]) == eager[1] == 1
    assert torch.equal(eager[0], traced[0])
    for a, b in zip(torch.autograd.grad(eager[0], x), torch.autograd.grad(traced[0], x), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("delta", [True, False])
def test_a_training_step(delta: bool):
    binding, tensors = scenes.bound(1, 2, 80)
    g = torch.Generator().manual_seed(0)
    bases, weights = torch.randn(80, 9, 5, generator=g) * 0.01, torch.randn(2, 5, generator=g)
    target, weight = (torch.rand(2, c, scenes.HEIGHT, scenes.WIDTH, generator=g) for c in (3, 1))

    def function(bases: Tensor, weights: Tensor, *x: Tensor) -> Tensor:
        moved = ops.combine_bases(bases, weights) if delta else None
        drawn = ops.render_bound(x[0], binding, *x[1:6], moved, *x[7:9], scenes.WIDTH, scenes.HEIGHT)
        return ops.photometric_loss(drawn.color, target, weight, 0.2) + (drawn.alpha - 0.5).abs().mean()

    leaves = scenes.leaves([bases, weights, *tensors])
    eager, traced = function(*leaves), whole(function)(*leaves)
    assert torch.equal(eager, traced)
    grads = [torch.autograd.grad(value, leaves, allow_unused=True) for value in (eager, traced)]
    for a, b in zip(*grads, strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


def test_normals():
    binding, tensors = scenes.bound(1, 1, 60)

    def free(*x: Tensor) -> Tensor:
        return ops.rasterize(*x, 40, 30, normals=True).normal.square().sum()

    def bound(*x: Tensor) -> Tensor:
        return ops.render_bound(x[0], binding, *x[1:9], 40, 30, normals=True).normal.square().sum()

    for function, leaves in ((free, scenes.leaves(scenes.free(0, 2, 50))), (bound, scenes.leaves(tensors))):
        eager, traced = function(*leaves), whole(function)(*leaves)
        assert torch.equal(eager, traced)
        assert eager > 1
        grads = [torch.autograd.grad(value, leaves, allow_unused=True) for value in (eager, traced)]
        for a, b in zip(*grads, strict=True):
            assert (a is None and not b.any()) or torch.equal(a, b)


def test_each_binding_has_its_own_program():
    def function(binding: object, *x: Tensor) -> Tensor:
        return ops.render_bound(x[0], binding, *x[1:9], scenes.WIDTH, scenes.HEIGHT).color

    traced = whole(function)
    with torch.no_grad():
        for seed in (1, 2, 1):
            binding, tensors = scenes.bound(seed, 1, 60)
            assert torch.equal(traced(binding, *tensors), function(binding, *tensors))


def test_metrics_compile_too():
    image, target = torch.rand(1, 3, 20, 20), torch.rand(1, 3, 20, 20)
    assert torch.equal(whole(ops.ssim)(image, target), ops.ssim(image, target))


def test_ops_keep_torchs_rules():
    """Schemas, fakes and gradients, by torch's own checker."""
    tensors = scenes.leaves(scenes.free(3, 1, 20))
    torch.library.opcheck(compiled._rasterize, (None, 0, 20, 16, False, *tensors))
    binding, bound = scenes.bound(3, 1, 20)
    key = compiled._remember(binding)
    torch.library.opcheck(compiled._render_bound, (None, key, 0, 20, 16, True, *scenes.leaves(bound)))
    bases, weights = scenes.leaves([torch.rand(7, 9, 4), torch.rand(2, 4)])
    torch.library.opcheck(compiled.combine, (bases, weights))
    image, target = torch.rand(1, 3, 9, 8, requires_grad=True), torch.rand(1, 3, 9, 8)
    torch.library.opcheck(compiled._photometric_loss, (image, target, None, 0.2, True))


def test_a_pass_that_nobody_needs_is_freed():
    x = scenes.free(0, 1, 20)
    color, _, _, ticket = compiled._rasterize(None, 0, 20, 16, False, *x)
    assert ticket.data_ptr() in compiled._passes
    del color, ticket
    assert not compiled._passes


@pytest.mark.parametrize("normals", [False, True])
def test_a_copied_ticket_makes_the_backward_pass_draw_again(normals: bool):
    x = scenes.free(0, 1, 20)
    *out, ticket = compiled._rasterize(None, 0, 20, 16, normals, *x)
    grads = [torch.randn_like(p) for p in out]
    rest = (None, 0, normals, x, out, *grads, [True] * 7)
    first = compiled._rasterize_backward(ticket, *rest)
    again = compiled._rasterize_backward(ticket.clone(), *rest)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[4].any() != normals  # colours have no part in normals


def test_eager_users_do_not_pay_for_the_tracer():
    code = (
        "import sys, avatars.raster.ops; print([n for n in ('torch._dynamo', 'torch._inductor') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
