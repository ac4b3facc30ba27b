"""Binding: tangent operators at rest and under motion, frames, and the flat case."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars import geometry
from avatars.errors import InputError
from avatars.splats.binding import (
    Binding,
    bind_reference,
    drawn_out,
    ellipsoids,
    frames,
    local_frames,
    rest_tangents,
    vertex_normals,
)


def grid(n: int = 7, bump: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A square patch facing +z, with an optional bump."""
    y, x = np.mgrid[:n, :n] / (n - 1) - 0.5
    vertices = np.stack([x, y, bump * np.cos(3 * x) * np.cos(3 * y)], -1).reshape(-1, 3) * 0.2
    a = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).reshape(-1)
    faces = np.concatenate([np.stack([a, a + 1, a + n + 1], 1), np.stack([a, a + n + 1, a + n], 1)])
    return vertices, faces


def random_binding(vertices: np.ndarray, faces: np.ndarray, count: int = 50) -> Binding:
    rng = np.random.default_rng(0)
    triangle = rng.integers(0, len(faces), count)
    return Binding.build(vertices, faces, triangle, rng.dirichlet([1, 1, 1], count), rng.uniform(0.01, 0.02, count))


def tangents(binding: Binding, vertices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    t, s = binding.operator.tangents(torch.from_numpy(vertices)[None])
    return t[0], s[0]


@pytest.mark.parametrize("bump", [0.0, 0.5, 1.0])
def test_at_rest_tangents_are_orthonormal_and_point_outward(bump: float):
    vertices, faces = grid(9, bump)
    t, s = tangents(random_binding(vertices, faces), vertices)
    # coefficients are float32
    np.testing.assert_allclose(t.norm(dim=1), 1, atol=1e-5)
    np.testing.assert_allclose(s.norm(dim=1), 1, atol=1e-5)
    np.testing.assert_allclose((t * s).sum(1), 0, atol=1e-5)
    outward = torch.linalg.cross(t, s).numpy()
    assert ((outward * vertex_normals(vertices, faces)).sum(1) > 0.9).all()


def test_tangents_ignore_translation_and_follow_linear_maps():
    vertices, faces = grid(9, 0.4)
    binding = random_binding(vertices, faces)
    t, s = tangents(binding, vertices)
    rng = np.random.default_rng(1)
    matrix = np.eye(3) + 0.4 * rng.normal(size=(3, 3))
    moved_t, moved_s = tangents(binding, vertices @ matrix.T + [3.0, -2.0, 1.0])
    np.testing.assert_allclose(moved_t, t.numpy() @ matrix.T, atol=2e-4)  # float32 rows that sum to zero, 3 m away
    np.testing.assert_allclose(moved_s, s.numpy() @ matrix.T, atol=2e-4)


def test_tangent_field_is_smooth_over_a_face():
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(4000, 3)) + np.array([0, 0, 1.5])  # mostly facing the front
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    near = normal + 1e-3 * rng.normal(size=normal.shape)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    front = (normal[:, 2] > 0.3) & (near[:, 2] > 0.3)
    t, s = rest_tangents(normal)
    np.testing.assert_allclose(np.cross(t, s), normal, atol=1e-12)
    assert np.linalg.norm(t - rest_tangents(near)[0], axis=1)[front].max() < 0.02


def test_bound_splats_move_rigidly_with_a_rigid_head_and_grow_with_it():
    vertices, faces = grid(9, 0.4)
    binding = random_binding(vertices, faces)
    g = torch.Generator().manual_seed(0)
    params = [torch.randn(50, *shape, generator=g, dtype=torch.float64) for shape in ((3,), (4,), (3,), (), (3,))]
    rest = torch.from_numpy(vertices)[None]
    means, shapes, axes, opacities, colors = bind_reference(rest, binding, *params, None)
    turn = geometry.matrix_from_rotvec(torch.tensor([0.3, -0.8, 0.4], dtype=torch.float64))
    shift, grow = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), 1.5
    moved = bind_reference(grow * rest @ turn.T + shift, binding, *params, None)
    np.testing.assert_allclose(moved[0], grow * means @ turn.T + shift, atol=1e-6)
    np.testing.assert_allclose(moved[1], grow * turn @ shapes, atol=1e-6)
    np.testing.assert_allclose(moved[2], turn @ axes, atol=1e-5)
    assert torch.equal(moved[3], opacities)
    assert torch.equal(moved[4], colors)


@pytest.mark.parametrize("wide", [1.0, 1.7, 3.0])
@pytest.mark.parametrize("tall", [0.5, 1.0, 2.2])
def test_splats_are_drawn_out_as_the_surface_is(wide: float, tall: float) -> None:
    """A plane stretched along x and y, then sheared and turned: what lies in it is carried by the same matrix."""
    vertices, faces = grid(9)
    vertices[:, 2] = 0
    binding = random_binding(vertices, faces)
    g = torch.Generator().manual_seed(0)
    params = [torch.randn(50, *shape, generator=g, dtype=torch.float64) for shape in ((3,), (4,), (3,), (), (3,))]
    rest = torch.from_numpy(vertices)[None]
    shapes = bind_reference(rest, binding, *params, None)[1]
    normal = (wide * tall) ** 0.5
    carry = torch.tensor([[wide, 0.6, 0], [0, tall, 0], [0, 0, normal]], dtype=torch.float64)
    turn = geometry.matrix_from_rotvec(torch.tensor([0.3, -0.8, 0.4], dtype=torch.float64))
    moved = bind_reference(rest @ (turn @ carry).T, binding, *params, None)[1]
    want = turn @ carry @ shapes
    np.testing.assert_allclose(moved @ moved.mT, want @ want.mT, atol=1e-5 * float(want.abs().max()) ** 2)
    rotations, scales = ellipsoids(moved)
    np.testing.assert_allclose(torch.linalg.det(rotations), 1.0, atol=1e-9)
    rebuilt = rotations * scales[..., None, :]
    np.testing.assert_allclose(rebuilt @ rebuilt.mT, moved @ moved.mT, atol=1e-12)


def test_a_fold_draws_nothing_out_beyond_its_limits() -> None:
    t = torch.tensor([[9.0, 0, 0], [0.01, 0, 0], [1.0, 0, 0], [1, 0, 0]], dtype=torch.float64, requires_grad=True)
    s = torch.tensor([[0, 0.01, 0], [0, 9.0, 0], [50.0, 1, 0], [2, 0, 0]], dtype=torch.float64, requires_grad=True)
    out = drawn_out(t, s)
    np.testing.assert_allclose(
        torch.diagonal(out.detach(), dim1=1, dim2=2)[:, :2], [[4, 0.25], [0.25, 4], [1, 1], [0.25, 0.25]]
    )
    np.testing.assert_allclose(out[:, 0, 1].detach(), [0, 0, 4, 0])
    out.sum().backward()
    assert t.grad is not None
    assert s.grad is not None
    assert t.grad.isfinite().all()
    assert float(t.grad[3].abs().sum() + s.grad[3].abs().sum()) == 0


def test_delta_moves_turns_and_tints():
    vertices, faces = grid()
    binding = random_binding(vertices, faces)
    rest = torch.from_numpy(vertices)[None]
    zero = torch.zeros(50, 3, dtype=torch.float64)
    quaternion = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).repeat(50, 1)
    plain = bind_reference(rest, binding, zero, quaternion, zero, zero[:, 0], zero, None)
    delta = torch.zeros(1, 50, 9, dtype=torch.float64)
    delta[..., 2], delta[..., 5], delta[..., 8] = 0.5, 0.01, 0.25
    moved = bind_reference(rest, binding, zero, quaternion, zero, zero[:, 0], zero, delta)
    normal = plain[2][..., 2]
    step = moved[0] - plain[0]
    np.testing.assert_allclose(step, 0.5 * torch.from_numpy(binding.extent)[:, None] * normal, atol=1e-6)
    angle = geometry.rotvec_from_matrix(plain[2].transpose(-1, -2) @ moved[2])
    np.testing.assert_allclose(angle, torch.tensor([0, 0, 0.01]).expand(1, 50, 3), atol=1e-6)
    assert torch.equal(moved[4], delta[..., 6:])


def test_flat_surface_keeps_the_identity_and_gives_no_frame_gradient():
    t = torch.tensor([[1.0, 0, 0], [0, 0, 0], [1, 2, 3]], dtype=torch.float64, requires_grad=True)
    s = torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 1, 0]], dtype=torch.float64, requires_grad=True)
    frame, stretch = frames(t, s)
    assert torch.equal(frame[0], torch.eye(3, dtype=torch.float64))
    assert torch.equal(frame[1], torch.eye(3, dtype=torch.float64))
    assert stretch[0] == stretch[1] == 0.25
    (frame.sum() + stretch.sum()).backward()
    assert float(t.grad[:2].abs().sum() + s.grad[:2].abs().sum()) == 0
    assert t.grad.isfinite().all()


def test_local_frames_invert_the_binding():
    vertices, faces = grid(9, 0.4)
    binding = random_binding(vertices, faces, 20)
    rng = np.random.default_rng(0)
    triangle = rng.integers(0, len(faces), 20)
    weights = rng.dirichlet([1, 1, 1], 20)
    posed = vertices * 1.2 + 0.1
    origin, frame, stretch = local_frames(vertices, faces, posed, triangle, weights)
    local = rng.normal(size=(20, 3))
    extent = rng.uniform(0.01, 0.02, 20)
    binding = Binding.build(vertices, faces, triangle, weights, extent)
    zero = torch.zeros(20, 4, dtype=torch.float64)
    means = bind_reference(
        torch.from_numpy(posed)[None],
        binding,
        torch.from_numpy(local),
        zero + 1,
        zero[:, :3],
        zero[:, 0],
        zero[:, :3],
        None,
    )[0]
    world = origin + np.einsum("nij,nj->ni", frame, local * (extent * stretch)[:, None])
    np.testing.assert_allclose(world, means[0], atol=1e-7)


def test_meshes_with_lone_and_doubled_vertices_are_survived():
    vertices, faces = grid(4)
    vertices = np.concatenate([vertices, [[9.0, 9, 9]], vertices[:1]])
    faces = np.concatenate([faces, [[0, 0, 1], [2, 2, 2]]])
    binding = random_binding(vertices, faces)
    position, t, s = binding.surface(torch.from_numpy(vertices)[None])
    assert all(x.isfinite().all() for x in (position, t, s))


def test_wrong_indices_are_refused():
    vertices, faces = grid(4)
    one = np.ones((1, 3)) / 3
    with pytest.raises(InputError):
        Binding.build(vertices, faces, np.array([len(faces)]), one, np.ones(1))
    with pytest.raises(InputError):
        Binding.build(vertices[:-1], faces, np.array([0]), one, np.ones(1))
    with pytest.raises(InputError):
        Binding.build(vertices, faces, np.array([0]), one[:, :2], np.ones(1))
