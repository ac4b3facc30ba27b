"""The GPU's loss, bases and Adam, emulated, against the float64 reference and the CPU backend."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import torch

from avatars.raster import ops, reference
from tests.raster import scenes
from tests.raster.test_loss import pictures

from .emulator.run import Emulator


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (3, 70), (67, 37)])
@pytest.mark.parametrize("ssim_weight", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_gradient_match_the_reference(
    size: tuple[int, int], ssim_weight: float, weighted: bool, device: Emulator
):
    image, target, weight = pictures(1, 2, *size)
    mask = weight if weighted else None
    y = image.double().requires_grad_()
    theirs = reference.photometric_loss(y, target.double(), None if mask is None else mask.double(), ssim_weight)
    out, grad = device.loss(image, target, mask, ssim_weight)
    assert abs(out[2] - theirs.item()) < 1e-5
    (expected,) = torch.autograd.grad(theirs, y)
    assert np.abs(grad - expected.numpy()).max() <= 1e-4 * expected.abs().max()  # measured 2e-5, as on the CPU


def test_a_mask_without_weight_gives_zero(device: Emulator):
    image, target, weight = pictures(3, 1, 20, 20)
    image[0, 0, 3, 4] = 1e30  # may be anything where nobody looks
    out, grad = device.loss(image, target, weight * 0, 0.2)
    assert out.tolist() == [0, 0, 0, 0]
    assert not grad.any()


def test_the_loss_does_not_depend_on_the_order_of_threads(emulated: ctypes.CDLL):
    image, target, weight = pictures(2, 2, 45, 70)
    first = [a.tobytes() for a in Emulator(emulated).loss(image, target, weight, 0.3)]
    for order in (1, 5):
        assert [a.tobytes() for a in Emulator(emulated, order).loss(image, target, weight, 0.3)] == first


@pytest.mark.parametrize("k", [1, 16, 20, 33])
@pytest.mark.parametrize("batch", [1, 3, 11])
def test_bases_match_a_matrix_product(k: int, batch: int, emulated: ctypes.CDLL):
    g = torch.Generator().manual_seed(k)
    tensors = [torch.randn(61, 9, k, generator=g), torch.randn(batch, k, generator=g)]
    probe = torch.randn(batch, 61, 9, generator=g)
    y = scenes.leaves(tensors, torch.float64)
    theirs = torch.einsum("njk,bk->bnj", *y)
    expected = torch.autograd.grad((theirs * probe).sum(), y)
    results = []
    for order in (0, 1, 5):
        device = Emulator(emulated, order)
        delta = device.combine(*tensors)
        g_weights, g_bases = device.combine_backward(tensors[0].numpy(), tensors[1], probe)
        results.append([delta.tobytes(), g_weights.tobytes(), g_bases.tobytes()])
        assert np.abs(delta - theirs.detach().numpy()).max() < 1e-5
        for a, b in ((g_bases, expected[0]), (g_weights, expected[1])):
            assert np.abs(a - b.numpy()).max() <= 1e-5 * b.abs().max()
    assert results[0] == results[1] == results[2]


def test_adam_matches_the_cpu_backend(device: Emulator):
    g = torch.Generator().manual_seed(0)
    sizes, counter = [(257, 3), (31, 1), (1, 4)], np.zeros(1, np.int32)
    cpu = [[torch.randn(s, generator=g), torch.zeros(s), torch.zeros(s), torch.rand(s[1]) * 0.01] for s in sizes]
    gpu = [[t.clone().numpy() for t in group] for group in cpu]
    for step in range(1, 5):
        grads = [torch.randn(s, generator=g) for s in sizes]
        for (param, m, v, lr), grad in zip(cpu, grads, strict=True):
            ops.adam_(param, grad, m, v, lr, step)
        tensors = [(p, grad.numpy(), m, v, lr) for (p, m, v, lr), grad in zip(gpu, grads, strict=True)]
        device.adam(tensors, step, counter if step > 2 else None, None)
        if step == 2:
            counter[0] = 2  # a captured step counts on the device
    assert counter[0] == 4
    for a, b in zip(gpu, cpu, strict=True):
        assert np.abs(a[0] - b[0].numpy()).max() < 1e-6


@pytest.mark.parametrize("k", [1, 20])
def test_adam_on_bases_matches_the_cpu_backend(k: int, device: Emulator):
    g = torch.Generator().manual_seed(1)
    bases, rates = torch.randn(65, 9, k, generator=g), torch.linspace(1e-3, 1e-2, 9)
    cpu = [bases.clone(), torch.zeros_like(bases), torch.zeros_like(bases)]
    gpu = [t.clone().numpy() for t in cpu]
    for step in range(1, 4):
        g_delta, weights = torch.randn(65, 9, generator=g), torch.randn(k, generator=g)
        expected = torch.einsum("nj,njk->k", g_delta.double(), cpu[0].double())  # of the bases before the step
        ops.adam_outer_(cpu[0], cpu[1], cpu[2], g_delta, weights, rates, step)
        corrections = device.adam([], step, None, None)
        adam = {"m": gpu[1], "v": gpu[2], "lr": rates.numpy(), "corrections": corrections, "betas": (0.9, 0.999, 1e-8)}
        g_weights, _ = device.combine_backward(gpu[0], weights[None], g_delta[None], wants_bases=False, adam=adam)
        assert np.abs(g_weights[0] - expected.numpy()).max() < 1e-4
    for a, b in zip(gpu, cpu, strict=True):
        assert np.abs(a - b.numpy()).max() < 1e-6


def test_nothing_changes_while_an_overflow_stands(device: Emulator):
    arrays = [np.full((5, 2), i + 1.0, np.float32) for i in range(4)]
    rates, flags, counter = np.ones(2, np.float32), np.ones(1, np.uint32), np.full(1, 7, np.int32)
    device.adam([(*arrays, rates)], 1, counter, flags)
    assert counter[0] == 7
    bases, m, v = (np.full((3, 9, 4), x, np.float32) for x in (1, 2, 3))
    ones = np.ones(9, np.float32)
    adam = {"m": m, "v": v, "lr": ones, "corrections": ones, "skip": flags, "betas": (0.9, 0.999, 1e-8)}
    device.combine_backward(bases, np.ones((1, 4)), np.ones((1, 3, 9)), wants_bases=False, adam=adam)
    assert all((a == x).all() for a, x in [*zip(arrays, (1, 2, 3, 4), strict=True), (bases, 1), (m, 2), (v, 3)])
