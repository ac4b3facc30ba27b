"""The picture of normals: known by hand, against the float64 reference, and beside the other pictures."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from avatars.raster import ops, reference

from . import scenes
from .test_reference import gradient_error

SIZE = (scenes.WIDTH, scenes.HEIGHT)


def disc(turn: float, behind: bool = False) -> list[Tensor]:
    """A disc in the plane of the picture, turned about x; `behind` puts the camera on its other side."""
    pose = torch.eye(4)[None]
    if behind:
        pose = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))[None]
        pose[0, 2, 3] = 2.0
    quats = torch.tensor([[[math.cos(turn / 2), math.sin(turn / 2), 0, 0]]]) * 3
    scales, colors = torch.tensor([[[0.2, 0.3, 0.001]]]), torch.rand(1, 1, 3)
    means, intrinsics = torch.tensor([[[0.0, 0.0, 1.0]]]), torch.tensor([[30.0, 30.0, 8.0, 6.0]])
    return [means, quats, scales, torch.tensor([[0.7]]), colors, intrinsics, pose]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("turn", [0.0, 0.5, -1.0, 2.9])
@pytest.mark.parametrize("behind", [False, True])
def test_a_disc_has_the_normal_of_its_plane(turn: float, behind: bool, backend: str):
    drawn = ops.rasterize(*disc(turn, behind), 16, 12, normals=True, backend=backend)
    assert drawn.normal is not None
    normal = torch.tensor([0.0, -math.sin(turn), math.cos(turn)])
    # Before the camera it faces -z, from behind +z; which side that is depends on the turn.
    normal = normal * -torch.sign(normal[2]) * (-1 if behind else 1)
    assert drawn.alpha.max() > 0.5
    assert (drawn.normal - normal[None, :, None, None] * drawn.alpha).abs().max() < 1e-6


def run(tensors: list[Tensor], backend: str):
    x = scenes.leaves(tensors, torch.float64 if backend == "reference" else torch.float32)
    drawn = ops.rasterize(*x, *SIZE, normals=True, backend=backend)
    return drawn, torch.autograd.grad(scenes.probe(drawn, 3, ("color", "normal")), x)


def assert_close(ours, theirs, names: tuple[str, ...]) -> None:
    # measured 5e-7 and 2e-5
    assert (ours[0].normal - theirs[0].normal).abs().max() < 1e-5
    for name, a, b in zip(names, ours[1], theirs[1], strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max(), name


FREE = ("means", "quats", "scales", "opacities", "colors", "intrinsics", "camera_from_world")
BOUND = ("vertices", "mean", "quaternion", "log_scale", "logit_opacity", "color", "delta", "intrinsics", "camera")


@pytest.mark.parametrize("flat", [False, True])
def test_free_splats_match_the_reference(flat: bool, variant: str):
    tensors = scenes.free(1, 2, 90)
    if flat:  # without any thickness the direction is as good as before, and so is its gradient
        tensors[2][..., 1] = 0
    ours, theirs = run(tensors, "cpu"), run(tensors, "reference")
    assert ours[0].normal.abs().max() > 0.3
    assert_close(ours, theirs, FREE)


@pytest.mark.parametrize(("seed", "batch", "delta"), [(0, 1, True), (1, 3, True), (2, 2, False)])
def test_bound_splats_match_the_reference(seed: int, batch: int, delta: bool, variant: str):
    binding, tensors = scenes.bound(seed, batch)
    if not delta:
        tensors[6] = None
    results = []
    for dtype in (torch.float32, torch.float64):
        x = scenes.leaves(tensors, dtype)
        if dtype == torch.float32:
            drawn = ops.render_bound(x[0], binding, *x[1:9], *SIZE, normals=True)
        else:
            drawn = scenes.reference_bound(binding, x)
        kept = [t for t in x if t is not None]
        results.append(
            (drawn, torch.autograd.grad(scenes.probe(drawn, 2, ("alpha", "normal")), kept, allow_unused=True))
        )
    names = [n for n in BOUND if delta or n != "delta"]
    grads = [[torch.zeros(1) if g is None else g for g in made] for _, made in results]
    assert not grads[0][names.index("color")].any()  # colours have no part in it
    assert_close((results[0][0], grads[0]), (results[1][0], grads[1]), tuple(names))


def test_normals_leave_the_other_pictures_as_they_are_and_are_no_longer_than_alpha():
    tensors = scenes.free(4, 2, 200)
    tensors[4][0, 3] = float("nan")  # pruned here and there
    tensors[4][1, 4] = 1e7
    background = torch.rand(3)
    plain = ops.rasterize(*tensors, *SIZE, background=background)
    drawn = ops.rasterize(*tensors, *SIZE, background=background, normals=True)
    assert plain.normal is None
    assert drawn.pruned == plain.pruned == 2
    for name in ("color", "alpha", "depth"):
        assert torch.equal(getattr(drawn, name), getattr(plain, name))
    assert drawn.normal is not None
    assert (drawn.normal.norm(dim=1, keepdim=True) <= drawn.alpha + 1e-6).all()
    without = [t.clone() for t in tensors]
    without[3][0, 3] = without[3][1, 4] = 0
    without[4] = torch.rand_like(tensors[4])
    assert torch.equal(drawn.normal, ops.rasterize(*without, *SIZE, normals=True).normal)


def test_an_empty_scene_has_no_normals():
    drawn = ops.rasterize(*scenes.free(1, 2, 0), *SIZE, background=torch.rand(3), normals=True)
    assert drawn.normal is not None
    assert drawn.normal.shape == (2, 3, scenes.HEIGHT, scenes.WIDTH)
    assert not drawn.normal.any()


def test_gradients_of_the_specification():
    def free(x: list[Tensor]) -> Tensor:
        return scenes.probe(ops.rasterize(*x, 30, 24, normals=True, backend="reference"), 1, ("normal",))

    tensors = scenes.free(0, 2, 12)
    colors = tensors.pop(4)
    # measured 3e-9, as for the other pictures
    assert gradient_error(lambda x: free([*x[:4], colors.double(), *x[4:]]), tensors) < 1e-6


def test_the_reference_takes_the_first_of_equal_axes():
    means, turn, colors = torch.zeros(1, 1, 3), torch.eye(3)[None, None], torch.zeros(1, 1, 3)
    pose = torch.eye(4)[None]
    pose[0, :3, 3] = torch.tensor([0.1, 0.1, 2.0])
    for scales, axis in (([2.0, 2.0, 2.0], 0), ([3.0, 1.0, 1.0], 1), ([3.0, 1.0, -0.5], 2)):
        found = reference.normals_from(means, turn, torch.tensor([[scales]]), colors, pose)
        assert torch.equal(found[0, 0], -torch.eye(3)[axis])
        one = [means, torch.tensor([[[1.0, 0, 0, 0]]]), torch.tensor([[scales]]), torch.ones(1, 1), colors]
        drawn = ops.rasterize(*one, torch.tensor([[20.0, 20.0, 4.0, 4.0]]), pose, 8, 8, normals=True)
        assert drawn.normal[0, :, 4, 4].argmin() == axis
