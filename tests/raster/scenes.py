"""Small scenes for the rasterizer's tests, from seeds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatars.raster import ops, reference
from avatars.splats.binding import Binding, bind_reference

WIDTH, HEIGHT = 50, 41


def free(seed: int, batch: int = 1, count: int = 100) -> list[Tensor]:
    """means, quats, scales, opacities, colors, intrinsics, camera_from_world of float32 splats before a camera."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    means = normal(batch, count, 3) * 0.1 + torch.tensor([0, 0, 1.0])
    scales = torch.exp(normal(batch, count, 3) * 0.4 - 3.8)
    opacities, colors = torch.rand(batch, count, generator=g) * 0.9 + 0.05, torch.rand(batch, count, 3, generator=g)
    return [means, normal(batch, count, 4), scales, opacities, colors, *cameras(g, batch)]


def cameras(g: torch.Generator, batch: int) -> tuple[Tensor, Tensor]:
    """Slightly different cameras near the origin, looking along +z."""
    intrinsics = torch.tensor([80.0, 82.0, 24.3, 19.7]) + torch.rand(batch, 4, generator=g)
    turn = torch.randn(batch, 3, 3, generator=g) * 0.03
    pose = torch.eye(4).repeat(batch, 1, 1)
    pose[:, :3, :3] = torch.linalg.matrix_exp(turn - turn.transpose(1, 2))
    pose[:, :3, 3] = torch.randn(batch, 3, generator=g) * 0.02
    return intrinsics, pose


def sphere(subdivisions: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """An ellipsoid of latitude bands: vertices [V, 3] m and faces [F, 3], counter-clockwise from outside."""
    rows, columns = subdivisions, 2 * subdivisions
    theta = np.pi * (np.arange(1, rows) / rows)
    phi = 2 * np.pi * np.arange(columns) / columns
    ring = np.stack(
        [
            np.sin(theta)[:, None] * np.sin(phi),
            np.cos(theta)[:, None] * np.ones(columns),
            np.sin(theta)[:, None] * np.cos(phi),
        ],
        -1,
    ).reshape(-1, 3)
    vertices = np.concatenate([ring, [[0, 1, 0], [0, -1, 0]]]) * [0.12, 0.16, 0.13]
    north, south = len(ring), len(ring) + 1
    faces = []
    for c in range(columns):
        d = (c + 1) % columns
        faces.append([north, c, d])
        for r in range(rows - 2):
            a, b = r * columns, (r + 1) * columns
            faces += [[a + c, b + c, b + d], [a + c, b + d, a + d]]
        last = (rows - 2) * columns
        faces.append([last + c, south, last + d])
    return vertices, np.array(faces)


def bound(seed: int, batch: int = 1, count: int = 120) -> tuple[Binding, list[Tensor]]:
    """A binding to an ellipsoid, and vertices, mean, quaternion, log_scale, logit_opacity, color, delta, cameras."""
    rng, g = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    rest, faces = sphere()
    triangle = rng.integers(0, len(faces), count)
    binding = Binding.build(rest, faces, triangle, rng.dirichlet([1, 1, 1], count), rng.uniform(0.01, 0.03, count))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    vertices = torch.from_numpy(rest).float() + torch.tensor([0, 0, 1.0]) + normal(batch, len(rest), 3) * 0.004
    color = torch.rand(count, 3, generator=g)
    local = [normal(count, 3) * 0.3, normal(count, 4), normal(count, 3) * 0.3 - 0.7, normal(count), color]
    return binding, [vertices, *local, normal(batch, count, 9) * 0.1, *cameras(g, batch)]


def reference_bound(
    binding: Binding,
    tensors: list[Tensor | None],
    background: Tensor | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
) -> ops.Rendered:
    """`ops.render_bound` in plain torch, any float dtype."""
    means, shapes, axes, opacities, colors = bind_reference(tensors[0], binding, *tensors[1:7])
    intrinsics, pose = tensors[7:9]

    def draw(colors: Tensor, background: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return reference.rasterize_shapes(means, shapes, opacities, colors, intrinsics, pose, *size, background)

    normals = reference.normals_from(means, axes, tensors[3].exp().expand_as(means), colors, pose)
    return ops.Rendered(*draw(colors, background), normal=draw(normals, None)[0])


def probe(rendered: ops.Rendered, seed: int, parts: tuple[str, ...] = ("color", "alpha", "depth")) -> Tensor:
    """A random linear function of the pictures."""
    g = torch.Generator().manual_seed(seed)
    total = rendered.color.new_zeros(())
    for name in parts:
        picture = getattr(rendered, name)
        total = total + (picture * torch.randn(picture.shape, generator=g).to(picture.dtype)).sum()
    return total


def leaves(tensors: list[Tensor | None], dtype: torch.dtype = torch.float32) -> list[Tensor | None]:
    """Copies that want gradients."""
    return [None if t is None else t.detach().to(dtype).clone().requires_grad_() for t in tensors]
