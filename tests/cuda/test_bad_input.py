"""Bad input on the CUDA backend, by emulated kernels: as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars.raster import ops

from ..raster import scenes, spoilt
from ..raster import test_bad_input as on_the_cpu
from .emulator.run import Emulator
from .fake import Fake
from .test_kernels import CAMERA, FREE, PICTURES, SIZE, draw_free, probes, shapes


@pytest.mark.parametrize(("tensor", "value", "pruned"), spoilt.ONE)
def test_one_useless_splat(tensor: int, value: float, pruned: int, device: Emulator):
    tensors = spoilt.one(tensor, value)
    drawn = draw_free(device, tensors)
    assert int(drawn.pruned[0]) == pruned
    theirs = ops.rasterize(*[t.double() for t in tensors], *SIZE, backend="reference")
    for name in PICTURES:
        assert np.abs(getattr(drawn, name) - getattr(theirs, name).numpy()).max() < 1e-5, name
    grads = device.backward(drawn, *probes(1, drawn), shapes(FREE + CAMERA, tensors))
    assert all(np.isfinite(g).all() for g in grads.values())


@pytest.mark.parametrize("seed", range(0, 1000, 25))
def test_a_subset_of_the_thousand_seeds(seed: int, device: Emulator):
    tensors, size = spoilt.free(seed)
    background = torch.rand(1, 3, size[1], size[0])
    drawn = draw_free(device, tensors, size, background=background)
    assert all(np.isfinite(getattr(drawn, n)).all() for n in PICTURES)
    assert drawn.alpha.min() >= 0
    assert drawn.alpha.max() <= 1
    assert np.array_equal(np.where(drawn.alpha == 0, drawn.color, background.numpy()), background.numpy())
    assert drawn.pruned[0] == ops.rasterize(*tensors, *size, backend="cpu").pruned
    grads = device.backward(drawn, *probes(seed, drawn), shapes(FREE + CAMERA, tensors))
    assert all(np.isfinite(g).all() for g in grads.values())
    lone = spoilt.lone(seed)
    assert draw_free(device, lone, (31, 23)).alpha.max() <= float(lone[3]) + 2**-24
    for why in range(len(spoilt.EMPTY)):
        drawn = draw_free(device, spoilt.empty(why), size, background=background)
        assert np.array_equal(drawn.color, background.numpy())
        assert not drawn.alpha.any()
        assert not drawn.depth.any()


@pytest.mark.parametrize("name", on_the_cpu.calls())
def test_wrong_type_and_device(name: str, on_cuda: Fake):
    on_the_cpu.test_wrong_type_and_device_and_strides(name)


def test_a_batch_of_none_and_no_pixels(on_cuda: Fake):
    drawn = ops.rasterize(*[t[:0] for t in scenes.free(0, 1, 9)], *SIZE)
    assert drawn.color.shape == (0, 3, scenes.HEIGHT, scenes.WIDTH)
    assert on_cuda.calls() == []
