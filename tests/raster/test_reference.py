"""The specification itself: its gradients against finite differences in float64, and pictures known by hand."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from avatars.raster import ops, reference

from . import scenes


def gradient_error(function, tensors: list[Tensor], step: float = 1e-6) -> float:
    """Largest difference between analytic and central-difference directional derivatives, over the largest."""
    inputs = scenes.leaves(tensors, torch.float64)
    grads = torch.autograd.grad(function(inputs), inputs)
    g = torch.Generator().manual_seed(5)
    analytic, numeric = [], []
    with torch.no_grad():
        for i, grad in enumerate(grads):
            for _ in range(3):
                way = torch.randn(grad.shape, generator=g, dtype=torch.float64)
                way = way * inputs[i].abs().mean() / way.norm()
                ends = [function([*inputs[:i], inputs[i] + s * step * way, *inputs[i + 1 :]]) for s in (1, -1)]
                numeric.append(float(ends[0] - ends[1]) / (2 * step))
                analytic.append(float((grad * way).sum()))
    largest = max(abs(x) for x in analytic)
    return max(abs(a - n) for a, n in zip(analytic, numeric, strict=True)) / largest


def test_gradients_of_free_splats():
    background = torch.rand(2, 3, 24, 30)

    def run(x: list[Tensor]) -> Tensor:
        return scenes.probe(ops.Rendered(*reference.rasterize(*x[:7], 30, 24, x[7])), 1)

    # measured 3e-9; a step of 1e-6 leaves rounding of about 1e-9
    assert gradient_error(run, [*scenes.free(0, 2, 12), background]) < 1e-6


def test_gradients_of_bound_splats():
    binding, tensors = scenes.bound(1, 1, 20)
    assert gradient_error(lambda x: scenes.probe(scenes.reference_bound(binding, x, None, (30, 24)), 1), tensors) < 1e-6


def test_gradients_of_the_loss():
    target, weight = torch.rand(2, 3, 20, 17).double(), torch.rand(2, 1, 20, 17).double()

    def run(x: list[Tensor]) -> Tensor:
        return reference.photometric_loss(x[0], target, weight, 0.3)

    assert gradient_error(run, [torch.rand(2, 3, 20, 17)]) < 1e-6


def one_splat(sigma: float, opacity: float, z: float = 2.0) -> tuple[Tensor, ...]:
    means = torch.tensor([[[0.0, 0.0, z]]], dtype=torch.float64)
    quats = torch.tensor([[[2.0, 0, 0, 0]]], dtype=torch.float64)
    scales = torch.full((1, 1, 3), sigma, dtype=torch.float64)
    colors = torch.tensor([[[0.2, 0.5, 0.9]]], dtype=torch.float64)
    intrinsics = torch.tensor([[100.0, 100.0, 10.5, 8.5]], dtype=torch.float64)
    pose = torch.eye(4, dtype=torch.float64)[None]
    return means, quats, scales, torch.tensor([[opacity]], dtype=torch.float64), colors, intrinsics, pose


def test_one_round_splat_is_the_blurred_gaussian():
    sigma, opacity, z = 0.05, 0.8, 2.0
    color, alpha, depth = reference.rasterize(*one_splat(sigma, opacity, z), 21, 17)
    sharp = (100 * sigma / z) ** 2
    blurred = sharp + 0.3
    peak = opacity * sharp / blurred
    for dx, dy in ((0, 0), (2, 0), (-1, 3)):
        expected = peak * math.exp(-(dx * dx + dy * dy) / (2 * blurred))
        assert abs(float(alpha[0, 0, 8 + dy, 10 + dx]) - expected) < 1e-12
        assert abs(float(color[0, 2, 8 + dy, 10 + dx]) - 0.9 * expected) < 1e-12
        assert abs(float(depth[0, 0, 8 + dy, 10 + dx]) - z) < 1e-12


def test_nearer_splats_hide_farther_ones():
    near, far = one_splat(3.0, 1.0, 1.0), one_splat(3.0, 1.0, 2.0)
    both = [torch.cat([b, a], 1) if i < 5 else a for i, (a, b) in enumerate(zip(near, far, strict=True))]
    both[4] = torch.tensor([[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]], dtype=torch.float64)  # far one green, near one red
    color, alpha, depth = reference.rasterize(*both, 21, 17)
    red, green, _ = color[0, :, 8, 10].tolist()
    assert red == reference.ALPHA_MAX  # capped
    assert abs(green - (1 - reference.ALPHA_MAX) * reference.ALPHA_MAX) < 1e-12
    assert abs(float(alpha[0, 0, 8, 10]) - (red + green)) < 1e-12
    assert abs(float(depth[0, 0, 8, 10]) - (red + 2 * green) / (red + green)) < 1e-12
