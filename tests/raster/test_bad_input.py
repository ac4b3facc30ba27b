"""Each kind of bad input by name: drawn rightly, pruned and counted, or refused by one clear error."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from avatars.errors import BackendError, InputError
from avatars.raster import ops
from avatars.splats.binding import Binding

from . import scenes, spoilt

SIZE = (scenes.WIDTH, scenes.HEIGHT)


@pytest.mark.parametrize(("tensor", "value", "pruned"), spoilt.ONE)
def test_one_useless_splat(tensor: int, value: float, pruned: int):
    tensors = spoilt.one(tensor, value)
    x = scenes.leaves(tensors)
    drawn = ops.rasterize(*x, *SIZE)
    assert drawn.pruned == pruned
    theirs = ops.rasterize(*[t.double() for t in tensors], *SIZE, backend="reference")
    for name in ("color", "alpha", "depth"):
        assert (getattr(drawn, name) - getattr(theirs, name)).abs().max() < 1e-5, name
    assert all(g.isfinite().all() for g in torch.autograd.grad(scenes.probe(drawn, 1), x))
    if pruned:
        without = [torch.cat([t[:, :7], t[:, 8:]], 1) if i < 5 else t for i, t in enumerate(tensors)]
        assert torch.equal(drawn.color, ops.rasterize(*without, *SIZE).color)


def test_triangles_without_area():
    rest, faces = scenes.sphere()
    middle = np.concatenate([rest, [(rest[0] + rest[1]) / 2]])  # on an edge: three corners in a line
    faces = np.concatenate([faces, [[0, 0, 1], [2, 2, 2], [0, len(rest), 1]]])
    count = 60
    triangle = np.arange(count) % 3 + len(faces) - 3
    weights = np.random.default_rng(1).dirichlet([1, 1, 1], count)
    binding = Binding.build(middle, faces, triangle, weights, np.full(count, 0.02))
    _, tensors = scenes.bound(1, 1, count)
    tensors[0] = torch.from_numpy(middle).float()[None] + torch.tensor([0, 0, 1.0])
    x, y = scenes.leaves(tensors), scenes.leaves(tensors, torch.float64)
    ours, theirs = ops.render_bound(x[0], binding, *x[1:9], *SIZE), scenes.reference_bound(binding, y)
    assert ours.alpha.max() > 0.3
    assert ours.pruned == 0
    assert (ours.color - theirs.color).abs().max() < 1e-5
    assert all(g.isfinite().all() for g in torch.autograd.grad(scenes.probe(ours, 1), x))


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0), (-1, 4)])
def test_pictures_without_pixels(size: tuple[int, int]):
    binding, bound = scenes.bound(0, 1, 10)
    with pytest.raises(InputError, match="cannot be drawn"):
        ops.rasterize(*scenes.free(0, 1, 10), *size)
    with pytest.raises(InputError, match="cannot be drawn"):
        ops.render_bound(bound[0], binding, *bound[1:9], *size)
    if min(size) >= 0:
        with pytest.raises(InputError, match="cannot be drawn"):
            ops.photometric_loss(torch.rand(1, 3, *size), torch.rand(1, 3, *size), None, 0.2)


def test_a_batch_of_none():
    x = scenes.leaves([t[:0] for t in scenes.free(0, 1, 9)])
    drawn = ops.rasterize(*x, *SIZE)
    assert drawn.color.shape == (0, 3, scenes.HEIGHT, scenes.WIDTH)
    assert all(g.shape == t.shape for g, t in zip(torch.autograd.grad(drawn.color.sum(), x), x, strict=True))


def calls():
    """Every operation as a function of its tensors."""
    binding, bound = scenes.bound(0, 2, 20)
    image = [torch.rand(2, c, 9, 8) for c in (3, 3, 1)]
    return {
        "rasterize": (lambda *x: ops.rasterize(*x, *SIZE).color, scenes.free(0, 2, 20)),
        "render_bound": (lambda *x: ops.render_bound(x[0], binding, *x[1:9], *SIZE).color, bound),
        "combine_bases": (ops.combine_bases, [torch.rand(20, 9, 4), torch.rand(2, 4)]),
        "photometric_loss": (lambda *x: ops.photometric_loss(*x, 0.2), image),
    }


@pytest.mark.parametrize("name", calls())
def test_wrong_type_and_device_and_strides(name: str):
    function, tensors = calls()[name]
    expected = function(*tensors)

    def changed(i: int, value: Tensor) -> list[Tensor]:
        return [value if k == i else t for k, t in enumerate(tensors)]

    for i, tensor in enumerate(tensors):
        for dtype in (torch.float64, torch.float16, torch.int32):
            with pytest.raises(InputError, match="float32"):
                function(*changed(i, tensor.to(dtype)))
        with pytest.raises(BackendError, match="meta"):
            function(*changed(i, tensor.to("meta")))
        strided = torch.stack([tensor, tensor + 1], -1)[..., 0]
        assert not strided.is_contiguous()
        assert torch.equal(function(*changed(i, strided)), expected)


def test_lists_grow_with_the_scene():
    """A frame from the pool that served a small scene serves a large one."""
    large, small = scenes.free(1, 1, 4000), scenes.free(2, 1, 3)
    large[2] = large[2] * 5
    before = ops.rasterize(*large, 200, 150).color
    for _ in range(6):
        ops.rasterize(*small, 9, 7)
        assert torch.equal(ops.rasterize(*large, 200, 150).color, before)
