"""Bit-equal results for any number of threads, and for callers in several threads at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from avatars.raster import ops

from . import scenes


def everything() -> list[Tensor]:
    """Every native operation once, forward and backward, on scenes of many tiles and chunks."""
    out: list[Tensor] = []
    x = scenes.leaves([t * 1 for t in scenes.free(1, 2, 3000)])
    drawn = ops.rasterize(*x, 173, 131)
    out += [drawn.color, drawn.depth, *torch.autograd.grad(scenes.probe(drawn, 1), x)]
    binding, tensors = scenes.bound(2, 2, 3000)
    y = scenes.leaves(tensors)
    drawn = ops.render_bound(y[0], binding, *y[1:9], 173, 131)
    out += [drawn.color, *torch.autograd.grad(scenes.probe(drawn, 1), y)]
    g = torch.Generator().manual_seed(3)
    z = scenes.leaves([torch.randn(1500, 9, 20, generator=g), torch.randn(2, 20, generator=g)])
    delta = ops.combine_bases(*z)
    out += [delta, *torch.autograd.grad((delta * delta).sum(), z)]
    image, target, weight = (torch.rand(2, c, 150, 91, generator=g) for c in (3, 3, 1))
    image.requires_grad_()
    loss = ops.photometric_loss(image, target, weight, 0.2)
    out += [loss, *torch.autograd.grad(loss, image)]
    bases, m, v = (torch.randn(1500, 9, 20, generator=g).abs() for _ in range(3))
    ops.adam_outer_(bases, m, v, torch.randn(1500, 9, generator=g), torch.randn(20, generator=g), torch.ones(9), 2)
    return [*out, bases, m, v]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_same_bits_with_one_two_and_three_threads(variant: str, restore_threads: None):
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(everything())
    assert equal(results[0], results[1])
    assert equal(results[0], results[2])


def test_same_bits_from_several_callers_at_once():
    expected = everything()
    with ThreadPoolExecutor(3) as pool:
        for result in pool.map(lambda _: everything(), range(6)):
            assert equal(result, expected)
