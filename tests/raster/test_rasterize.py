"""Native rasterization against the float64 reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avatars.errors import BackendError, InputError
from avatars.raster import native, ops

from . import scenes

NAMES = ("means", "quats", "scales", "opacities", "colors", "intrinsics", "camera_from_world", "background")


def run(tensors: list[Tensor], backend: str, parts: tuple[str, ...] = ("color", "alpha", "depth")):
    dtype = torch.float64 if backend == "reference" else torch.float32
    x = scenes.leaves(tensors, dtype)
    drawn = ops.rasterize(*x[:7], scenes.WIDTH, scenes.HEIGHT, background=x[7], backend=backend)
    return drawn, torch.autograd.grad(scenes.probe(drawn, 3, parts), x, allow_unused=True)


def background(kind: str, batch: int) -> Tensor:
    g = torch.Generator().manual_seed(9)
    return torch.rand(*((3,) if kind == "colour" else (batch, 3, scenes.HEIGHT, scenes.WIDTH)), generator=g)


def assert_close(ours, theirs) -> None:
    # float32 against float64: colours agree to 5e-7, gradients to 2e-5 of the largest; the bounds are the project's.
    for name in ("color", "alpha", "depth"):
        assert (getattr(ours[0], name) - getattr(theirs[0], name)).abs().max() < 1e-5, name
    for name, a, b in zip(NAMES, ours[1], theirs[1], strict=False):
        a, b = (torch.zeros(1) if g is None else g for g in (a, b))
        assert (a - b).abs().max() <= 1e-4 * b.abs().max(), name


@pytest.mark.parametrize(("seed", "kind"), [(0, "colour"), (1, "picture"), (2, "picture")])
def test_matches_the_reference(seed: int, kind: str, variant: str):
    tensors = [*scenes.free(seed, 2, 90), background(kind, 2)]
    assert_close(run(tensors, "cpu"), run(tensors, "reference"))


@pytest.mark.parametrize("parts", [("color",), ("alpha",), ("depth",), ("color", "depth")])
def test_each_output_has_its_own_gradient(parts: tuple[str, ...], variant: str):
    tensors = [*scenes.free(7, 1, 60), background("picture", 1)]
    assert_close(run(tensors, "cpu", parts), run(tensors, "reference", parts))


def test_opaque_scene_stops_where_the_reference_stops(variant: str):
    tensors = [*scenes.free(11, 1, 300), background("picture", 1)]
    tensors[3] = torch.full_like(tensors[3], 0.97)
    tensors[2] = tensors[2] * 2
    ours, theirs = run(tensors, "cpu"), run(tensors, "reference")
    assert 1 - ours[0].alpha.max().item() < 1e-4  # some pixels are full
    assert_close(ours, theirs)


def test_needle_splats(variant: str):
    tensors = [*scenes.free(12, 1, 40), background("picture", 1)]
    tensors[2] = tensors[2] * torch.tensor([6.0, 0.05, 0.05])
    assert_close(run(tensors, "cpu"), run(tensors, "reference"))


def test_splats_on_the_rim_of_the_view(variant: str):
    tensors = [*scenes.free(13, 1, 60), background("picture", 1)]
    tensors[0] = tensors[0] * torch.tensor([6.0, 6.0, 0.5]) - torch.tensor([0.0, 0.0, 0.2])
    tensors[2] = tensors[2] * 4
    # The Jacobian is held beyond the rim with limits that count as constants, in both.
    assert_close(run(tensors, "cpu"), run(tensors, "reference"))


def test_strided_inputs_are_read_right():
    tensors = scenes.free(3, 2, 40)
    strided = [torch.stack([t, t + 1], -1)[..., 0] for t in tensors]
    assert not strided[0].is_contiguous()
    a = ops.rasterize(*tensors, scenes.WIDTH, scenes.HEIGHT)
    b = ops.rasterize(*strided, scenes.WIDTH, scenes.HEIGHT)
    assert torch.equal(a.color, b.color)


def test_calls_may_interleave_and_backward_may_repeat():
    x, y = scenes.leaves(scenes.free(1, 1, 80)), scenes.leaves(scenes.free(2, 1, 80))
    alone = []
    for tensors in (x, y):
        drawn = ops.rasterize(*tensors, scenes.WIDTH, scenes.HEIGHT)
        alone.append(torch.autograd.grad(scenes.probe(drawn, 3), tensors))
    first = ops.rasterize(*x, scenes.WIDTH, scenes.HEIGHT)
    second = ops.rasterize(*y, scenes.WIDTH, scenes.HEIGHT)
    with torch.no_grad():
        ops.rasterize(*y, 33, 70)
    for drawn, tensors, expected in ((first, x, alone[0]), (second, y, alone[1])):
        for _ in range(2):
            grads = torch.autograd.grad(scenes.probe(drawn, 3), tensors, retain_graph=True)
            assert all(torch.equal(a, b) for a, b in zip(grads, expected, strict=True))


def test_larger_scenes_do_not_depend_on_the_batch():
    tensors = scenes.free(5, 3, 500)
    together = ops.rasterize(*tensors, 130, 77)
    for b in range(3):
        alone = ops.rasterize(*[t[b : b + 1] for t in tensors], 130, 77)
        assert torch.equal(alone.color[0], together.color[b])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({0: torch.zeros(1, 10, 2)}, InputError),
        ({0: torch.zeros(10, 3)}, InputError),
        ({1: torch.zeros(1, 9, 4)}, InputError),
        ({2: torch.ones(1, 10, 3).double()}, InputError),
        ({3: torch.ones(1, 10, dtype=torch.float16)}, InputError),
        ({4: torch.ones(1, 10, 3, device="meta")}, BackendError),
        ({4: [1.0]}, InputError),
        ({5: torch.tensor([[float("nan"), 1, 1, 1]])}, InputError),
        ({5: torch.tensor([[0.0, 1, 1, 1]])}, InputError),
        ({6: torch.full((1, 4, 4), float("inf"))}, InputError),
    ],
)
def test_wrong_inputs_give_one_clear_error(change: dict, error: type[Exception]):
    tensors = [change.get(i, t) for i, t in enumerate(scenes.free(0, 1, 10))]
    with pytest.raises(error):
        ops.rasterize(*tensors, 8, 8)


def test_wrong_options_give_one_clear_error(monkeypatch: pytest.MonkeyPatch):
    tensors = scenes.free(0, 1, 10)
    for size in ((0, 8), (8, 0), (-1, 4), (1 << 20, 4)):
        with pytest.raises(InputError):
            ops.rasterize(*tensors, *size)
    with pytest.raises(InputError):
        ops.rasterize(*tensors, 8, 8, background=torch.zeros(1, 3, 8, 9))
    with pytest.raises(InputError, match="Unknown backend"):
        ops.rasterize(*tensors, 8, 8, backend="opengl")
    with pytest.raises(BackendError):
        ops.rasterize(*tensors, 8, 8, backend="cuda")
    monkeypatch.setattr(native, "variant", lambda: "absent")
    with pytest.raises(BackendError, match="pip install"):
        ops.rasterize(*tensors, 8, 8)
