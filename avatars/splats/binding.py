"""Splats bound to the triangles of a head: how the surface's deformation carries them.

Two sparse linear operators turn posed vertices into two tangent vectors per vertex, T = A @ vertices and
S = B @ vertices. A row is the least-squares deformation gradient of the vertex's ring of neighbours applied to a unit
rest tangent: at rest T and S are orthonormal, and they follow every rotation and stretch. A splat interpolates
position, T and S between the corners of its triangle (no cracks at edges), and from them takes its frame, its growth,
and how its shape is drawn out: skin that a blink unfolds or a smile pulls wide stretches one way, and its splats with
it. Bound splats follow GaussianAvatars (Qian et al., CVPR 2024), which lets them grow alike in all directions; the
smooth frame and the drawn-out shape are this project's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..errors import InputError

MIN_AREA = 1e-6
"""|T x S| (1 at rest) under which a splat keeps the identity as its frame."""
MIN_STRETCH, MAX_STRETCH = 0.25, 4.0


@dataclass(frozen=True, eq=False)
class Operator:
    """Rows [V] over vertices, compressed (CSR), with two coefficients per entry: for T and for S."""

    start: np.ndarray
    """[V + 1] int32."""
    index: np.ndarray
    """[nnz] int32."""
    t: np.ndarray
    """[nnz] float32, 1/m."""
    s: np.ndarray
    """[nnz] float32, 1/m."""

    def tangents(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        """T and S of every vertex, each [B, V, 3], from posed vertices [B, V, 3]."""
        start, index = torch.from_numpy(self.start).long(), torch.from_numpy(self.index).long()
        row = torch.repeat_interleave(torch.arange(len(start) - 1), start.diff())
        t, s = (torch.from_numpy(x).to(vertices.dtype)[:, None] for x in (self.t, self.s))
        # Rows sum to zero: differences keep the digits of a head far from the origin.
        near, zero = vertices[:, index] - vertices[:, row], torch.zeros_like(vertices)
        return zero.index_add(1, row, near * t), zero.index_add(1, row, near * s)


@dataclass(frozen=True, eq=False)
class Binding:
    """What N splats need to know of a mesh with V vertices; built once, at rest."""

    operator: Operator
    transposed: Operator
    corner: np.ndarray
    """[N, 3] int32 vertices of each splat's triangle."""
    barycentric: np.ndarray
    """[N, 3] float32."""
    extent: np.ndarray
    """[N] float32 m."""
    use_start: np.ndarray
    """[V + 1] int32."""
    use: np.ndarray
    """[3 N] int32: for each vertex in turn, 3 * splat + corner of the splats it carries, increasing."""

    @staticmethod
    def build(
        rest_vertices: np.ndarray, faces: np.ndarray, triangle: np.ndarray, barycentric: np.ndarray, extent: np.ndarray
    ) -> Binding:
        """Bind splats to a mesh at rest.

        Args:
            rest_vertices: [V, 3] m.
            faces: [F, 3] vertex indices, counter-clockwise seen from outside.
            triangle: [N] index into faces.
            barycentric: [N, 3], each row summing to 1.
            extent: [N] m, unit of length of each splat's local coordinates.

        Raises:
            InputError: an index is out of range or shapes disagree.
        """
        faces, triangle = np.asarray(faces, np.int64), np.asarray(triangle, np.int64)
        rest = np.asarray(rest_vertices, np.float64)
        count = len(triangle)
        if faces.size and (faces.min() < 0 or faces.max() >= len(rest)):
            raise InputError("A face refers to a vertex that does not exist")
        if count and (triangle.min() < 0 or triangle.max() >= len(faces)):
            raise InputError("A splat refers to a triangle that does not exist")
        if barycentric.shape != (count, 3) or extent.shape != (count,):
            raise InputError(f"barycentric must be [{count}, 3] and extent [{count}]")
        operator, transposed = tangent_operators(rest, faces)
        corner = faces[triangle].reshape(count, 3)
        return Binding._of(operator, transposed, corner, barycentric, extent)

    @staticmethod
    def _of(
        operator: Operator, transposed: Operator, corner: np.ndarray, barycentric: np.ndarray, extent: np.ndarray
    ) -> Binding:
        use = np.argsort(corner.reshape(-1), kind="stable")
        count = np.bincount(corner.reshape(-1), minlength=len(operator.start) - 1)
        return Binding(
            operator,
            transposed,
            np.ascontiguousarray(corner, np.int32),
            np.array(barycentric, np.float32, order="C"),
            np.array(extent, np.float32, order="C"),
            np.concatenate([[0], np.cumsum(count)]).astype(np.int32),
            use.astype(np.int32),
        )

    def part(self, chosen: np.ndarray) -> Binding:
        """Of some of the splats, [N] bool or indices, on the same mesh."""
        return Binding._of(
            self.operator, self.transposed, self.corner[chosen], self.barycentric[chosen], self.extent[chosen]
        )

    @property
    def vertices(self) -> int:
        """V."""
        return len(self.use_start) - 1

    def __len__(self) -> int:
        return len(self.corner)

    def surface(self, vertices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Position, T and S of every splat, each [B, N, 3], from posed vertices [B, V, 3]."""
        tangents = self.operator.tangents(vertices)
        corner = torch.from_numpy(self.corner).long()
        weight = torch.from_numpy(self.barycentric).to(vertices.dtype)
        position, t, s = ((x[:, corner] * weight[..., None]).sum(2) for x in (vertices, *tangents))
        return position, t, s


def frames(t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal frames [..., 3, 3] (columns t, n x t, n) and stretch [...] from tangent vectors [..., 3].

    A flat pair (no area) gives the identity and no gradient.
    """
    n, fine = torch.linalg.cross(t, s), _has_frame(t, s)
    square = n.square().sum(-1)
    unit = torch.eye(3, dtype=t.dtype, device=t.device)
    safe_t, safe_n = torch.where(fine[..., None], t, unit[0]), torch.where(fine[..., None], n, unit[2])
    e0, e2 = geometry.normalize(safe_t), geometry.normalize(safe_n)
    frame = torch.stack([e0, torch.linalg.cross(e2, e0), e2], -1)
    area = torch.where(fine, square, torch.ones_like(square)).sqrt()
    stretch = torch.where(fine, area.sqrt().clamp(MIN_STRETCH, MAX_STRETCH), torch.full_like(area, MIN_STRETCH))
    return frame, stretch


def _has_frame(t: Tensor, s: Tensor) -> Tensor:
    """[...] bool: whether tangent vectors [..., 3] span an area."""
    return (torch.linalg.cross(t, s).square().sum(-1) > MIN_AREA**2) & (t.square().sum(-1) > MIN_AREA**2)


def drawn_out(t: Tensor, s: Tensor) -> Tensor:
    """[..., 3, 3] what the surface does to a splat's shape in the axes of its frame, from tangent vectors [..., 3].

    Along the surface that is its own deformation (T and S are its columns), held to the limits of a stretch, and along
    the normal the mean growth. A flat pair gives `MIN_STRETCH` and no gradient.
    """
    frame, stretch = frames(t, s)
    fine, zero = _has_frame(t, s), torch.zeros_like(stretch)
    along, shear, across = ((x * frame[..., k]).sum(-1) for x, k in ((t, 0), (s, 0), (s, 1)))
    along, across = (torch.where(fine, x.clamp(MIN_STRETCH, MAX_STRETCH), stretch) for x in (along, across))
    shear = torch.where(fine, shear.clamp(-MAX_STRETCH, MAX_STRETCH), zero)
    rows = torch.stack([along, shear, zero, zero, across, zero, zero, zero, stretch], -1)
    return rows.unflatten(-1, (3, 3))


def bind_reference(
    vertices: Tensor,
    binding: Binding,
    mean: Tensor,
    quaternion: Tensor,
    log_scale: Tensor,
    logit_opacity: Tensor,
    color: Tensor,
    delta: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Bound splats in world coordinates, in plain torch: the specification of the native kernels.

    Args:
        vertices: [B, V, 3] m.
        mean, quaternion, log_scale, logit_opacity, color: [N, 3], [N, 4] wxyz, [N, 3], [N], [N, 3].
        delta: [B, N, 9] added to mean (3), rotation vector (3, to first order) and colour (3), or None.

    Returns:
        means [B, N, 3] m, shapes [B, N, 3, 3] m (shape @ shape^T is the covariance; see `ellipsoids`), axes
        [B, N, 3, 3] of the splats before they are drawn out, opacities [B, N], colours [B, N, 3].
    """
    batch, count = len(vertices), len(binding)
    position, t, s = binding.surface(vertices)
    frame, stretch = frames(t, s)
    if delta is None:
        delta = vertices.new_zeros(batch, count, 9)
    extent = torch.from_numpy(binding.extent).to(vertices.dtype)[:, None]
    offset = (mean + delta[..., :3]) * extent * stretch[..., None]
    means = position + (frame @ offset[..., None]).squeeze(-1)
    turn = torch.cat([torch.ones_like(delta[..., :1]), 0.5 * delta[..., 3:6]], -1)
    own = geometry.matrix_from_quaternion(quaternion) @ geometry.matrix_from_quaternion(turn)
    shapes = frame @ drawn_out(t, s) @ (own * (log_scale.exp() * extent)[:, None, :])
    opacities = torch.sigmoid(logit_opacity).expand(batch, count)
    return means, shapes, frame @ own, opacities, color + delta[..., 6:9]


def ellipsoids(shapes: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [..., 3, 3] and scales [..., 3] of Gaussians with covariance shape @ shape^T; without gradients."""
    axes, scales, _ = torch.linalg.svd(shapes.detach())
    return axes * torch.linalg.det(axes)[..., None, None], scales


def local_frames(
    rest_vertices: np.ndarray, faces: np.ndarray, vertices: np.ndarray, triangle: np.ndarray, barycentric: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Origin [N, 3] m, frame [N, 3, 3] and stretch [N] at points of a posed mesh.

    A local point (m) lies at origin + frame @ local * stretch in the world.

    Args:
        rest_vertices, vertices: [V, 3] m, at rest and posed.
        faces: [F, 3].
        triangle, barycentric: [N] and [N, 3], the points.
    """
    binding = Binding.build(rest_vertices, faces, triangle, np.asarray(barycentric), np.ones(len(triangle)))
    position, t, s = binding.surface(torch.from_numpy(np.array(vertices, np.float64))[None])
    frame, stretch = frames(t, s)
    return position[0].numpy(), frame[0].numpy(), stretch[0].numpy()


def rest_tangents(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A smooth orthonormal pair (t0, s0) with t0 x s0 = normal, for unit normals [V, 3].

    t0 points up along the surface; near the poles, where up vanishes, it turns to what front-facing skin has there.
    """
    y = normal[:, 1]
    blend = np.clip((np.abs(y) - 0.8) / 0.18, 0, 1)
    blend = blend * blend * (3 - 2 * blend)
    up = np.stack([np.zeros_like(y), 1 - blend, -np.sign(y) * blend], 1)
    t = up - (up * normal).sum(1, keepdims=True) * normal
    # The blend can fall along the normal on the back of the head: take x there.
    length = np.linalg.norm(t, axis=1, keepdims=True)
    side = np.array([1.0, 0, 0]) - normal[:, :1] * normal
    t = np.where(
        length > 0.05,
        t / np.maximum(length, 1e-12),
        side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12),
    )
    return t, np.cross(normal, t)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V, 3]; a vertex without area gets +z."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face_normal = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(total, faces[:, i], face_normal)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.where(length > 1e-20, total / np.maximum(length, 1e-20), [0.0, 0.0, 1.0])


def tangent_operators(rest: np.ndarray, faces: np.ndarray) -> tuple[Operator, Operator]:
    """The operators A, B of the module's text and their transposes, for rest vertices [V, 3] m."""
    count = len(rest)
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    pairs = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0) if len(pairs) else pairs.reshape(0, 2)
    valence = np.bincount(pairs[:, 0], minlength=count)
    first = np.concatenate([[0], np.cumsum(valence)])
    normal = vertex_normals(rest, faces)
    coefficients = np.zeros((len(pairs), 2))
    for size in np.unique(valence[valence > 0]):
        vertex = np.flatnonzero(valence == size)
        slot = first[vertex][:, None] + np.arange(size)
        edges = rest[pairs[slot, 1]] - rest[vertex][:, None]
        coefficients[slot] = _ring_coefficients(edges, normal[vertex])
    data = coefficients.astype(np.float32)
    own = -np.stack([np.bincount(pairs[:, 0], data[:, k], count) for k in range(2)], 1)
    row = np.concatenate([pairs[:, 0], np.arange(count)])
    column = np.concatenate([pairs[:, 1], np.arange(count)])
    values = np.concatenate([data, own])
    return _operator(row, column, values, count), _operator(column, row, values, count)


def _ring_coefficients(edges: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """[n, k, 2] weights on the k edges [n, k, 3] of a ring that yield t0 and s0 at rest.

    Minimum-norm solutions of edges^T c = t0. The tangent plane is the ring's own best plane, in which the problem is
    well conditioned; where a sharp fold has no such plane near the vertex normal, the normal's plane is taken.
    """
    u, size, v = np.linalg.svd(edges.transpose(0, 2, 1), full_matrices=True)
    plane = u[:, :, 2]
    along = (plane * normal).sum(1, keepdims=True)
    plane = np.where(np.abs(along) > 0.5, plane * np.sign(along), normal)
    t, s = rest_tangents(plane)
    target = np.stack([t, s], 2)
    rank = size.shape[1]
    keep = size > 1e-4 * size[:, :1]
    inverse = np.where(keep, 1 / np.where(keep, size, 1), 0)
    return v[:, :rank].transpose(0, 2, 1) @ (inverse[..., None] * (u[:, :, :rank].transpose(0, 2, 1) @ target))


def _operator(row: np.ndarray, column: np.ndarray, values: np.ndarray, count: int) -> Operator:
    order = np.lexsort((column, row))
    start = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=count))])
    t, s = (np.ascontiguousarray(values[order, k], np.float32) for k in range(2))
    return Operator(start.astype(np.int32), column[order].astype(np.int32), t, s)
