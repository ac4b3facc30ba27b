"""The CUDA backend's Python and launcher, with emulated kernels behind a fake driver, against the reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avatars.errors import BackendError, InputError
from avatars.raster import cuda, cuda_driver, ops, reference

from ..raster import scenes
from .fake import Fake

SIZE = (scenes.WIDTH, scenes.HEIGHT)
FORWARD = ["av_prepare", "av_project_bound", "av_allocate", "av_scatter", "av_blend"]


def close(ours: ops.Rendered, theirs: ops.Rendered, grads: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    # The project's bounds; what the kernels themselves reach is measured in test_kernels.py.
    for name in ("color", "alpha", "depth"):
        assert (getattr(ours, name) - getattr(theirs, name)).abs().max() < 1e-5, name
    for i, (a, b) in enumerate(zip(grads, expected, strict=True)):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max(), i


@pytest.mark.parametrize("kind", ["none", "colour", "picture"])
def test_free_splats_match_the_reference(on_cuda: Fake, kind: str):
    tensors = scenes.free(1, 2, 60)
    if kind != "none":
        tensors.append(torch.rand(3) if kind == "colour" else torch.rand(2, 3, scenes.HEIGHT, scenes.WIDTH))
    results = []
    for backend, dtype in (("auto", torch.float32), ("reference", torch.float64)):
        x = scenes.leaves(tensors, dtype)
        drawn = ops.rasterize(*x[:7], *SIZE, background=x[7] if len(x) > 7 else None, backend=backend)
        results.append((drawn, torch.autograd.grad(scenes.probe(drawn, 3), x)))
    close(results[0][0], results[1][0], results[0][1], results[1][1])
    assert results[0][0].pruned == 0


@pytest.mark.parametrize(("batch", "delta"), [(1, True), (3, True), (2, False)])
def test_bound_splats_match_the_reference(on_cuda: Fake, batch: int, delta: bool):
    binding, tensors = scenes.bound(2, batch, 80)
    if not delta:
        tensors[6] = None
    background = torch.rand(batch, 3, scenes.HEIGHT, scenes.WIDTH)
    x, y = scenes.leaves(tensors), scenes.leaves(tensors, torch.float64)
    ours = ops.render_bound(x[0], binding, *x[1:9], *SIZE, background)
    assert on_cuda.calls() == FORWARD
    grads = torch.autograd.grad(scenes.probe(ours, 2), [t for t in x if t is not None])
    backward = ["av_blend_backward_depth", "av_project_bound_backward", "av_camera_finish"]
    assert on_cuda.calls() == [*backward, "av_vertex_gather", "av_vertex_finish"]
    theirs = scenes.reference_bound(binding, y, background.double())
    close(ours, theirs, grads, torch.autograd.grad(scenes.probe(theirs, 2), [t for t in y if t is not None]))


def test_normals_are_a_second_drawing(on_cuda: Fake):
    binding, tensors = scenes.bound(2, 2, 80)
    free = scenes.free(3, 1, 60)
    x, y = scenes.leaves(tensors), scenes.leaves(tensors, torch.float64)
    ours, theirs = ops.render_bound(x[0], binding, *x[1:9], *SIZE, normals=True), scenes.reference_bound(binding, y)
    assert on_cuda.calls() == FORWARD * 2
    assert (ours.normal - theirs.normal).abs().max() < 1e-5
    parts = ("color", "normal")
    grads = torch.autograd.grad(scenes.probe(ours, 2, parts), x)
    calls = on_cuda.calls()
    assert calls.count("av_project_bound_backward") == calls.count("av_project_bound_backward_normals") == 1
    close(ours, theirs, grads, torch.autograd.grad(scenes.probe(theirs, 2, parts), y))
    drawn = ops.rasterize(*free, *SIZE, normals=True)
    expected = ops.rasterize(*[t.double() for t in free], *SIZE, normals=True, backend="reference")
    assert (drawn.normal - expected.normal).abs().max() < 1e-5


def test_only_wanted_gradients_are_made(on_cuda: Fake):
    binding, tensors = scenes.bound(4, 1, 60)
    every = scenes.leaves(tensors)
    scenes.probe(ops.render_bound(every[0], binding, *every[1:9], *SIZE), 2, ("color",)).backward()
    for i in (0, 1, 6, 8):
        x = [t.clone() for t in tensors]
        x[i].requires_grad_()
        on_cuda.calls()
        scenes.probe(ops.render_bound(x[0], binding, *x[1:9], *SIZE), 2, ("color",)).backward()
        calls = on_cuda.calls()
        assert "av_blend_backward" in calls  # no gradient of the depth, so the cheaper kernel
        assert ("av_vertex_finish" in calls) == (i == 0)
        assert ("av_camera_finish" in calls) == (i == 8)
        assert torch.equal(x[i].grad, every[i].grad)


def test_a_list_that_is_too_long_is_drawn_again_with_room(on_cuda: Fake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cuda, "_LEAST_ROOM", 16)
    monkeypatch.setattr(cuda, "_ROOM_PER_SPLAT", 0)
    monkeypatch.setattr(cuda, "more_room", lambda needed: needed)
    binding, tensors = scenes.bound(5, 2, 80)
    x, y = scenes.leaves(tensors), scenes.leaves(tensors, torch.float64)
    ours, theirs = ops.render_bound(x[0], binding, *x[1:9], *SIZE), scenes.reference_bound(binding, y)
    assert on_cuda.calls() == FORWARD * 2
    grads = torch.autograd.grad(scenes.probe(ours, 2), x)
    close(ours, theirs, grads, torch.autograd.grad(scenes.probe(theirs, 2), y))
    on_cuda.calls()
    ops.render_bound(x[0], binding, *x[1:9], *SIZE)
    assert on_cuda.calls() == FORWARD  # the room is remembered


def test_a_deferred_overflow_waits_for_nobody_and_stops_adam(on_cuda: Fake, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cuda, "_LEAST_ROOM", 16)
    monkeypatch.setattr(cuda, "_ROOM_PER_SPLAT", 0)
    binding, tensors = scenes.bound(5, 1, 80)
    later = cuda.Later(torch.zeros(2, dtype=torch.int32))
    param, moments, lr = torch.ones(4, 3), [torch.zeros(4, 3) for _ in range(2)], torch.full((3,), 0.1)
    bases, b_moments = torch.ones(4, 9, 2), [torch.zeros(4, 9, 2) for _ in range(2)]
    adam = cuda.CountingAdam(torch.device("cpu"))

    def step() -> ops.Rendered:
        with cuda.deferred(later):
            drawn = ops.render_bound(tensors[0], binding, *tensors[1:9], *SIZE)
            adam.step([(param, torch.ones(4, 3), *moments, lr)])
            pulled = adam.bases(bases, *b_moments, torch.ones(1, 4, 9), torch.ones(1, 2), torch.full((9,), 0.1))
            assert torch.equal(pulled, torch.full((1, 2), 36.0))  # of the bases before they move
        return drawn

    step()
    flags, needed = later.status.tolist()
    assert flags == cuda_driver.OVERFLOW
    assert needed > 16
    assert float(param.min()) == float(bases.min()) == 1  # nothing moved, and nothing counted
    assert int(adam.counter) == 0
    later.status.zero_()
    later.room = needed
    drawn = step()
    assert later.status.tolist()[0] == 0
    assert torch.allclose(param, torch.full((4, 3), 0.9), atol=1e-5)
    assert torch.allclose(bases, torch.full((4, 9, 2), 0.9), atol=1e-5)
    assert int(adam.counter) == 1
    assert isinstance(drawn.pruned, Tensor)
    theirs = scenes.reference_bound(binding, [t.double() for t in tensors])
    assert (drawn.color - theirs.color).abs().max() < 1e-5


def test_bases_match_a_matrix_product(on_cuda: Fake):
    g = torch.Generator().manual_seed(0)
    tensors = [torch.randn(77, 9, 20, generator=g), torch.randn(3, 20, generator=g)]
    probe = torch.randn(3, 77, 9, generator=g)
    x, y = scenes.leaves(tensors), scenes.leaves(tensors, torch.float64)
    ours, theirs = ops.combine_bases(*x), torch.einsum("njk,bk->bnj", *y)
    assert (ours - theirs).abs().max() < 1e-5
    grads = torch.autograd.grad((ours * probe).sum(), x), torch.autograd.grad((theirs * probe).sum(), y)
    for a, b in zip(*grads, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.parametrize("weighted", [True, False])
def test_loss_matches_the_reference(on_cuda: Fake, weighted: bool):
    g = torch.Generator().manual_seed(1)
    image, target = (torch.rand(2, 3, 37, 45, generator=g) for _ in range(2))
    weight = torch.rand(2, 1, 37, 45, generator=g) if weighted else None
    x, y = image.clone().requires_grad_(), image.double().requires_grad_()
    ours = ops.photometric_loss(x, target, weight, 0.2)
    theirs = reference.photometric_loss(y, target.double(), None if weight is None else weight.double(), 0.2)
    assert abs(float(ours.detach()) - float(theirs.detach())) < 1e-6
    a, b = torch.autograd.grad(3 * ours, x)[0], torch.autograd.grad(3 * theirs, y)[0]
    assert (a - b).abs().max() <= 1e-4 * b.abs().max()
    with torch.no_grad():
        ours, theirs = ops.ssim(image, target), reference.ssim_map(image.double(), target.double()).mean()
    assert abs(float(ours) - float(theirs)) < 1e-6


def test_adam_matches_the_cpu(fake_driver: Fake, monkeypatch: pytest.MonkeyPatch):
    def steps() -> list[Tensor]:
        g = torch.Generator().manual_seed(2)
        param, bases = torch.randn(50, 3, generator=g), torch.randn(20, 9, 20, generator=g)
        state = [torch.zeros_like(param) for _ in range(2)] + [torch.zeros_like(bases) for _ in range(2)]
        for step in (1, 2, 3):
            grad = torch.randn(50, 3, generator=g)
            ops.adam_(param, grad, *state[:2], torch.tensor([0.1, 0.2, 0.3]), step, 0.9, 0.99, 1e-7)
            outer = torch.randn(20, 9, generator=g), torch.randn(20, generator=g)
            ops.adam_outer_(bases, *state[2:], *outer, torch.linspace(0.1, 0.2, 9), step, 0.9, 0.99, 1e-7)
        return [param, bases, *state]

    expected = steps()
    fake_driver.use(monkeypatch)
    for a, b in zip(steps(), expected, strict=True):
        assert (a - b).abs().max() < 1e-5


def test_counting_adam_takes_batches(on_cuda: Fake):
    g = torch.Generator().manual_seed(5)
    bases, g_delta, weights = (torch.randn(*s, generator=g) for s in ((30, 9, 20), (3, 30, 9), (3, 20)))
    wanted, lr = torch.einsum("bnj,njk->bk", g_delta.double(), bases.double()), torch.linspace(0.1, 0.2, 9)
    expected = bases.clone().requires_grad_()
    oracle = torch.optim.Adam([expected], lr=1.0)
    adam, m, v = cuda.CountingAdam(torch.device("cpu")), torch.zeros_like(bases), torch.zeros_like(bases)
    before = bases.clone()
    adam.step([])
    pulled = adam.bases(bases, m, v, g_delta, weights, lr)
    assert (pulled - wanted).abs().max() < 1e-4
    expected.grad = torch.einsum("bnj,bk->njk", g_delta, weights)
    oracle.step()
    assert torch.allclose(bases - before, (expected.detach() - before) * lr[:, None], atol=1e-5)


def test_a_bad_camera_is_refused_as_on_the_cpu(on_cuda: Fake):
    tensors = scenes.free(0, 1, 10)
    tensors[5] = torch.tensor([[float("nan"), 1, 1, 1]])
    with pytest.raises(InputError, match="camera"):
        ops.rasterize(*tensors, 8, 8)


def test_empty_batches_and_scenes(on_cuda: Fake):
    background = torch.rand(1, 3, 17, 19)
    drawn = ops.rasterize(*scenes.free(1, 1, 0), 19, 17, background=background)
    assert torch.equal(drawn.color, background)
    binding, tensors = scenes.bound(1, 1, 0)
    y = scenes.leaves(tensors)
    drawn = ops.render_bound(y[0], binding, *y[1:9], 19, 17, background)
    assert torch.equal(drawn.color, background)
    assert all(not g.any() for g in torch.autograd.grad(drawn.color.sum(), y))
    x = scenes.leaves([t[:0] for t in scenes.free(1, 1, 5)])
    drawn = ops.rasterize(*x, 19, 17)
    assert drawn.color.shape == (0, 3, 17, 19)
    assert all(g.shape == t.shape for g, t in zip(torch.autograd.grad(drawn.color.sum(), x), x, strict=True))


def test_what_the_driver_refuses_is_told_in_its_words(on_cuda: Fake):
    on_cuda.library.fake_refuse(700)
    try:
        with pytest.raises(BackendError, match=r"a planted error \(CUDA_ERROR_TEST\)"):
            ops.rasterize(*scenes.free(0, 1, 10), 8, 8)
    finally:
        on_cuda.library.fake_refuse(0)
    with pytest.raises(BackendError, match="do not load"):
        cuda_driver.load(b"something else", 0)


def test_the_context_of_the_device_is_pushed_where_another_is_current(on_cuda: Fake):
    on_cuda.library.fake_current(0)
    try:
        ops.combine_bases(torch.ones(2, 9, 3), torch.ones(1, 3))
        assert on_cuda.calls() == ["push", "av_combine", "pop"]
    finally:
        on_cuda.library.fake_current(1)
