"""From one splat and one pixel to many of both."""

from __future__ import annotations

import pytest
import torch

from avatars.raster import ops

from . import scenes


def test_one_splat_on_one_pixel():
    tensors = scenes.free(0, 1, 1)
    tensors[5] = torch.tensor([[80.0, 80.0, 0.5, 0.5]]) - 80 * torch.cat([torch.zeros(2), tensors[0][0, 0, :2]])
    drawn = ops.rasterize(*tensors, 1, 1)
    theirs = ops.rasterize(*[t.double() for t in tensors], 1, 1, backend="reference")
    assert drawn.alpha.shape == (1, 1, 1, 1)
    assert (drawn.color - theirs.color).abs().max() < 1e-5


@pytest.mark.parametrize(("width", "height"), [(4096, 33), (31, 4095), (2047, 1025)])
def test_a_window_of_a_large_picture_is_a_small_picture(width: int, height: int):
    left, top = (int(0.7 * width) if width > 99 else 0), (int(0.7 * height) if height > 99 else 0)
    small = min(width, 97), min(height, 83)
    tensors = scenes.free(1, 1, 60)
    # Everything near the window's middle: the projection is linearised alike in both.
    tensors[0][..., :2] = tensors[0][..., :2].clamp(-0.2, 0.2) * 0.02
    tensors[2] = tensors[2] * 0.1
    centre = torch.tensor([4000.0, 4000.0, small[0] / 2, small[1] / 2])
    tensors[6] = torch.eye(4)[None]
    tensors[5] = centre[None]
    window = ops.rasterize(*tensors, *small)
    tensors[5] = (centre + torch.tensor([0.0, 0.0, left, top]))[None]
    large = ops.rasterize(*tensors, width, height)
    cut = large.color[..., top : top + small[1], left : left + small[0]]
    assert window.alpha.max() > 0.5
    assert (cut - window.color).abs().max() < 1e-3  # places of some 4000 px are known to 2e-4 px
    large.alpha[..., max(0, top - 100) : top + 200, max(0, left - 100) : left + 200] = 0
    assert not large.alpha.any()


def test_a_million_splats_of_which_few_are_seen():
    count, every = 1_000_000, 10_000
    g = torch.Generator().manual_seed(0)
    means = torch.randn(1, count, 3, generator=g) * 0.1 + torch.tensor([0, 0, 1.0])
    quats, colors = torch.randn(1, count, 4, generator=g), torch.rand(1, count, 3, generator=g)
    scales, opacities = torch.full((1, count, 3), 0.01), torch.zeros(1, count)
    opacities[0, ::every] = 0.7
    cameras = torch.tensor([[80.0, 80.0, 25.0, 20.0]]), torch.eye(4)[None]
    tensors = [means, quats, scales, opacities, colors]
    drawn = ops.rasterize(*tensors, *cameras, 50, 41)
    few = ops.rasterize(*[t[:, ::every].contiguous() for t in tensors], *cameras, 50, 41)
    assert drawn.alpha.max() > 0.5
    assert torch.equal(drawn.color, few.color)
    assert torch.equal(drawn.depth, few.depth)
