"""The GPU's rasterizer, emulated, against the float64 reference and the CPU backend."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from avatars.raster import ops, reference
from tests.raster import scenes

from .emulator.run import BOUND, FREE, Drawn, Emulator

SIZE = (scenes.WIDTH, scenes.HEIGHT)
PICTURES = ("color", "alpha", "depth")
CAMERA = ("g_intrinsics", "g_camera")


def draw_bound(device: Emulator, binding: Any, tensors: list[Any], **more: Any) -> Drawn:
    splats = dict(zip(BOUND, tensors[:7], strict=True))
    wanted = tuple(n for n, t in splats.items() if t is not None) + CAMERA
    return device.forward(splats, *tensors[7:9], more.pop("size", SIZE), binding=binding, wanted=wanted, **more)


def draw_free(device: Emulator, tensors: list[Any], size: tuple[int, int] = SIZE, **more: Any) -> Drawn:
    return device.forward(dict(zip(FREE, tensors[:5], strict=True)), *tensors[5:7], size, wanted=FREE + CAMERA, **more)


def probes(seed: int, like: Any, parts: tuple[str, ...] = PICTURES) -> list[Tensor | None]:
    """Random gradients of the pictures."""
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(getattr(like, n).shape, generator=g) if n in parts else None for n in PICTURES]


def gradients(drawn: Any, leaves: list[Tensor], given: list[Tensor | None]) -> list[Tensor]:
    total = sum((getattr(drawn, n) * g).sum() for n, g in zip(PICTURES, given, strict=True) if g is not None)
    return list(torch.autograd.grad(total, leaves, allow_unused=True))


def shapes(names: tuple[str, ...], tensors: list[Any]) -> dict[str, tuple[int, ...]]:
    return {n: tuple(t.shape) for n, t in zip(names, tensors, strict=True) if t is not None}


def assert_close(ours: dict[str, np.ndarray], expected: dict[str, Tensor], limit: float) -> None:
    for name, b in expected.items():
        a, b = ours[name], b.numpy()
        assert np.abs(a - b).max() <= limit * np.abs(b).max(), name


@pytest.mark.parametrize(("seed", "batch", "delta", "parts"), [
    (0, 1, True, PICTURES), (1, 3, True, PICTURES), (2, 2, False, ("color",)), (6, 9, True, ("color", "alpha")),
])  # fmt: skip
def test_bound_splats_match_the_reference(seed: int, batch: int, delta: bool, parts: tuple[str, ...], device: Emulator):
    binding, tensors = scenes.bound(seed, batch, 300 if batch == 1 else 90)
    if not delta:
        tensors[6] = None
    background = torch.rand(batch, 3, scenes.HEIGHT, scenes.WIDTH, generator=torch.Generator().manual_seed(1))
    y = scenes.leaves(tensors, torch.float64)
    theirs = scenes.reference_bound(binding, y, background.double())
    ours = draw_bound(device, binding, tensors, background=background)
    for name in PICTURES:
        assert np.abs(getattr(ours, name) - getattr(theirs, name).detach().numpy()).max() < 1e-5, name
    given, names = probes(4, theirs, parts), BOUND + CAMERA
    kept = [n for n, t in zip(names, tensors, strict=True) if t is not None]
    expected = dict(zip(kept, gradients(theirs, [t for t in y if t is not None], given), strict=True))
    grads = device.backward(ours, *given, shapes(names, tensors))
    assert_close(grads, expected, 1e-4)  # measured 2e-5
    assert not ours.status.any()


@pytest.mark.parametrize(("seed", "size"), [(0, SIZE), (1, (17, 3)), (2, (1, 1)), (3, (33, 70))])
@pytest.mark.parametrize("background", [None, "one", "picture"])
def test_free_splats_match_the_reference(seed: int, size: tuple[int, int], background: str | None, device: Emulator):
    batch = 2 if seed == 0 else 1
    tensors = scenes.free(seed, batch)
    behind = {"one": torch.rand(3), "picture": torch.rand(batch, 3, size[1], size[0])}.get(background or "")
    y = scenes.leaves(tensors, torch.float64)
    theirs = ops.Rendered(*reference.rasterize(*y, *size, None if behind is None else behind.double()))
    ours = draw_free(device, tensors, size, background=behind)
    for name in PICTURES:
        assert np.abs(getattr(ours, name) - getattr(theirs, name).detach().numpy()).max() < 1e-5, name
    given = probes(5, theirs)
    expected = dict(zip(FREE + CAMERA, gradients(theirs, y, given), strict=True))
    assert_close(device.backward(ours, *given, shapes(FREE + CAMERA, tensors)), expected, 1e-4)  # measured 2e-5


@pytest.mark.parametrize("batch", [1, 3])
def test_normals_match_the_reference(batch: int, device: Emulator):
    binding, bound = scenes.bound(5, batch, 200 if batch == 1 else 80)
    free = scenes.free(5, batch, 80)
    free[2][..., 1] = 0  # a disc without thickness
    free[4][0, 7] = float("nan")
    y, z = scenes.leaves(bound, torch.float64), scenes.leaves(free, torch.float64)
    cases = (
        (scenes.reference_bound(binding, y), y, bound, BOUND, draw_bound(device, binding, bound, normals=True)),
        (
            ops.rasterize(*z, *SIZE, normals=True, backend="reference"),
            z,
            free,
            FREE,
            draw_free(device, free, normals=True),
        ),
    )
    for theirs, leaves, tensors, names, ours in cases:
        assert np.abs(ours.color - theirs.normal.detach().numpy()).max() < 1e-5
        given = torch.randn(theirs.normal.shape, generator=torch.Generator().manual_seed(6))
        made = torch.autograd.grad((theirs.normal * given).sum(), leaves, allow_unused=True)
        zero = (torch.zeros_like(t) if g is None else g.nan_to_num() for g, t in zip(made, leaves, strict=True))
        grads = device.backward(ours, given, None, None, shapes(names + CAMERA, tensors))
        assert not grads["color" if names == BOUND else "colors"].any()
        assert_close(grads, dict(zip(names + CAMERA, zero, strict=True)), 1e-4)  # measured 2e-5
    assert ours.pruned[0] == 1


def everything(emulated: ctypes.CDLL, order: int, capacity: int) -> list[bytes]:
    """Pictures and gradients as bytes."""
    binding, tensors = scenes.bound(7, 3, 300)
    tensors[1][100:200] = tensors[1][100]  # equal depths: the splats' order decides
    device = Emulator(emulated, order)
    drawn = draw_bound(device, binding, tensors, capacity=capacity)
    grads = device.backward(drawn, *probes(6, drawn), shapes(BOUND + CAMERA, tensors))
    return [getattr(drawn, n).tobytes() for n in PICTURES] + [g.tobytes() for g in grads.values()]


def test_no_bit_depends_on_the_order_of_threads_or_on_the_room(emulated: ctypes.CDLL):
    first = everything(emulated, 0, 20000)
    for order, capacity in ((0, 20000), (1, 20000), (5, 5000), (6, 5000)):
        assert everything(emulated, order, capacity) == first


def test_an_overflow_is_told_and_draws_nothing(device: Emulator):
    tensors, background = scenes.free(8, 2), torch.rand(3)
    given = probes(1, draw_free(device, tensors, capacity=2000))
    small = draw_free(device, tensors, capacity=50, background=background)
    assert small.status[0] == 1
    needed = int(small.status[1])
    assert np.array_equal(small.color, np.broadcast_to(background.numpy()[None, :, None, None], small.color.shape))
    grads = device.backward(small, *given, shapes(FREE + CAMERA, tensors))
    assert all(not g.any() for g in grads.values())
    exact = draw_free(device, tensors, capacity=needed)
    assert exact.status.tolist() == [0, 0]
    assert np.array_equal(exact.color, draw_free(device, tensors, capacity=20 * needed).color)
    assert draw_free(device, tensors, capacity=needed - 1).status[0] == 1


def test_lists_longer_than_shared_memory(device: Emulator):
    # One tile, 5000 splats: three pieces are sorted and merged in two passes.
    g = torch.Generator().manual_seed(9)
    tensors = scenes.free(9, 1, 5000)
    tensors[0][..., :2] *= 0.1
    tensors[3] = torch.rand(1, 5000, generator=g) * 0.02 + 0.004
    size = (16, 16)
    tensors[5] = torch.tensor([[80.0, 80.0, 8.0, 8.0]])
    x = scenes.leaves(tensors)
    theirs = ops.rasterize(*x, *size, backend="cpu")
    ours = draw_free(device, tensors, size)
    assert draw_free(device, tensors, size, capacity=4096).status.tolist()[0] == 1  # all of them are in its list
    for name in PICTURES:
        assert np.abs(getattr(ours, name) - getattr(theirs, name).detach().numpy()).max() < 2e-5, name
    given = probes(2, theirs)
    expected = dict(zip(FREE + CAMERA, gradients(theirs, x, given), strict=True))
    # both are float32 sums of thousands of terms
    assert_close(device.backward(ours, *given, shapes(FREE + CAMERA, tensors)), expected, 5e-4)


def test_splats_over_many_tiles(device: Emulator):
    size = (150, 130)  # 10 x 9 tiles: a warp shares the large ones, some of them long and thin
    tensors = scenes.free(10, 1, 40)
    tensors[2][:, :12] = torch.tensor([0.5, 0.003, 0.1])
    tensors[2][:, 12:20] = 0.4
    tensors[5] = torch.tensor([[150.0, 150.0, 75.0, 65.0]])
    y = scenes.leaves(tensors, torch.float64)
    theirs = ops.Rendered(*reference.rasterize(*y, *size, None))
    ours = draw_free(device, tensors, size)
    for name in PICTURES:
        assert np.abs(getattr(ours, name) - getattr(theirs, name).detach().numpy()).max() < 1e-5, name
    given = probes(3, theirs)
    expected = dict(zip(FREE + CAMERA, gradients(theirs, y, given), strict=True))
    assert_close(device.backward(ours, *given, shapes(FREE + CAMERA, tensors)), expected, 1e-4)


def test_more_tiles_than_are_placed_in_one_pass(device: Emulator):
    size = (752, 720)  # 2115 tiles: the running totals take a second round, and scratch memory is used again
    tensors = scenes.free(14, 1, 60)
    tensors[0][..., :2] *= 4
    tensors[5] = torch.tensor([[760.0, 760.0, 376.0, 360.0]])
    theirs = ops.rasterize(*tensors, *size, backend="cpu")
    ours = draw_free(device, tensors, size)
    assert theirs.alpha[..., 600:, :].max() > 0.1  # in tiles of the second round too
    for name in PICTURES:
        # places of some 700 px are known to 6e-5 px
        assert np.abs(getattr(ours, name) - getattr(theirs, name).numpy()).max() < 1e-4, name


def test_no_splats_leave_the_background(device: Emulator):
    background = torch.rand(2, 3, scenes.HEIGHT, scenes.WIDTH)
    free = scenes.free(11, 2, 0)
    drawn = draw_free(device, free, background=background)
    assert np.array_equal(drawn.color, background.numpy())
    assert not drawn.alpha.any()
    assert not drawn.depth.any()
    grads = device.backward(drawn, *probes(1, drawn), shapes(FREE + CAMERA, free))
    assert not grads["g_camera"].any()
    binding, bound = scenes.bound(11, 2, 0)
    grads = device.backward(draw_bound(device, binding, bound), *probes(1, drawn), shapes(BOUND + CAMERA, bound))
    assert not grads["vertices"].any()


def broken() -> list[Tensor]:
    """Splats with every kind of useless parameter among good ones."""
    tensors = scenes.free(12, 1, 64)
    means, quats, scales, opacities, colors = tensors[:5]
    means[0, 0], means[0, 1], means[0, 2] = float("nan"), float("inf"), torch.tensor([0, 0, -2.0])
    means[0, 3], means[0, 4] = torch.tensor([0, 0, 2e6]), torch.tensor([50.0, 0, 1])
    quats[0, 5], quats[0, 6, 0], quats[0, 7] = 0, float("nan"), 1e-35
    quats[0, 8], quats[0, 9] = quats[0, 8] * 1e30, quats[0, 9] * 1e-20
    scales[0, 10], scales[0, 11], scales[0, 12, 1] = 1e30, 1e-30, float("nan")
    scales[0, 13], scales[0, 14] = 0, -scales[0, 14]
    opacities[0, 15], opacities[0, 16], opacities[0, 17], opacities[0, 18] = 0, 1, float("nan"), -1
    colors[0, 19], colors[0, 20], colors[0, 21] = float("inf"), 1e7, -3
    return tensors


def test_useless_parameters_are_pruned_as_on_the_cpu(device: Emulator):
    tensors = broken()
    x = scenes.leaves(tensors)
    theirs = ops.rasterize(*x, *SIZE, backend="cpu")
    ours = draw_free(device, tensors)
    assert int(ours.pruned[0]) == theirs.pruned > 5
    for name in PICTURES:
        # An alpha of 1/255, as 1 minus what is let through, has a rounding of 1e-5 in both, and depth is divided by it.
        limit = 3e-5 if name == "depth" else 1e-5
        assert np.abs(getattr(ours, name) - getattr(theirs, name).detach().numpy()).max() < limit, name
    given = probes(7, theirs)
    expected = dict(zip(FREE + CAMERA, gradients(theirs, x, given), strict=True))
    grads = device.backward(ours, *given, shapes(FREE + CAMERA, tensors))
    assert all(np.isfinite(g).all() for g in grads.values())
    assert_close(grads, expected, 1e-4)


def test_a_collapsed_surface_draws_with_a_fallback_frame(device: Emulator):
    binding, tensors = scenes.bound(5, 1)
    tensors[0] = tensors[0].clone()
    tensors[0][:, : tensors[0].shape[1] // 2] = tensors[0][:, :1]  # half of the mesh in one point
    x = scenes.leaves(tensors)
    theirs = ops.render_bound(x[0], binding, *x[1:9], *SIZE)
    ours = draw_bound(device, binding, tensors)
    assert np.abs(ours.color - theirs.color.detach().numpy()).max() < 1e-5
    given = probes(8, theirs)
    grads = device.backward(ours, *given, shapes(BOUND + CAMERA, tensors))
    assert all(np.isfinite(g).all() for g in grads.values())
    # nearly flat frames lose digits in float32
    assert_close(grads, dict(zip(BOUND + CAMERA, gradients(theirs, x, given), strict=True)), 1e-3)


@pytest.mark.parametrize("fault", ["focal", "pose"])
def test_a_bad_camera_is_told_and_sees_the_background(fault: str, device: Emulator):
    tensors = scenes.free(13, 2)
    if fault == "focal":
        tensors[5][1, 0] = 0
    else:
        tensors[6][1, 0, 3] = float("nan")
    background = torch.rand(3)
    drawn = draw_free(device, tensors, background=background)
    assert drawn.status[0] == 2
    assert np.array_equal(drawn.color[1], np.broadcast_to(background.numpy()[:, None, None], drawn.color[1].shape))
    assert drawn.alpha[0].any()
    grads = device.backward(drawn, *probes(1, drawn), shapes(FREE + CAMERA, tensors))
    assert all(np.isfinite(g).all() for g in grads.values())


@pytest.mark.parametrize("seed", range(20))
def test_wild_parameters_give_finite_pictures(seed: int, device: Emulator):
    g = torch.Generator().manual_seed(seed)
    tensors = scenes.free(seed, 1, 50)
    for t in tensors[:5]:
        wild = torch.rand(t.shape, generator=g) < 0.1
        exponent = torch.rand(t.shape, generator=g) * 60 - 30
        t[wild] = (torch.randn(t.shape, generator=g) * 10**exponent)[wild]
    drawn = draw_free(device, tensors)
    grads = device.backward(drawn, *probes(seed, drawn), shapes(FREE + CAMERA, tensors))
    assert all(np.isfinite(getattr(drawn, n)).all() for n in PICTURES)
    assert drawn.alpha.min() >= 0
    assert drawn.alpha.max() <= 1
    assert drawn.pruned[0] == ops.rasterize(*tensors, *SIZE, backend="cpu").pruned
    del grads  # huge parameters may have huge gradients; that they come back at all is what is tested
