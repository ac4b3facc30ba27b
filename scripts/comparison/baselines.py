"""Two ways of binding Gaussians to a head mesh that others published, from their equations, drawn by our rasterizer.

They share our head, track, frames and seeds, and stand in for `AvatarModel` wherever one is drawn, fitted or measured.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from avatars import geometry
from avatars.data import Splats
from avatars.heads.head import Head
from avatars.raster import ops
from avatars.splats.bases import BasisNetwork, StateScale
from avatars.splats.binding import bind_reference, ellipsoids
from avatars.splats.model import PARAMETERS, AvatarModel, Pose

FREQUENCIES = 8
"""Octaves of the positional encoding."""
BOUND = 0.03
"""m that a splat can be moved by; half-angles and log-scales reach 1."""


class RigidModel(AvatarModel):
    """Splats that move rigidly with one triangle each and grow with it.

    GaussianAvatars (Qian et al., CVPR 2024), section 3.2: with a triangle's mean position T, the rotation R whose
    columns are one edge, the normal and their cross product, and a scale k (the mean of that edge and the height above
    it), a splat lies at k R mu + T, is turned by R r and has the scales k s.

    Args:
        head: the person's.
        splats: our seeds; each is put into the frame of its own triangle at the place where it started.
    """

    def __init__(self, head: Head, splats: Splats) -> None:
        super().__init__(head, _bare(splats), _no_network(head))
        self.corners = torch.from_numpy(head.faces[splats.triangle].astype(np.int64))
        rest = torch.from_numpy(head.template)[None]
        origin, frame, size = (x[0] for x in self.triangles(rest))
        p = self.parameters
        world, shapes, *_ = bind_reference(
            rest, self.binding, p["mean"], p["quaternion"], p["log_scale"], p["logit_opacity"], p["color"], None
        )
        turned, scales = ellipsoids(shapes[0].double())
        self.parameters["mean"] = torch.einsum("nji,nj->ni", frame, world[0] - origin) / size[:, None]
        self.parameters["quaternion"] = geometry.quaternion_from_matrix(frame.transpose(1, 2) @ turned.float())
        self.parameters["log_scale"] = (scales.float() / size[:, None]).log()

    def triangles(self, vertices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Origin [B, N, 3], rotation [B, N, 3, 3] and size [B, N] of each splat's triangle in vertices [B, V, 3]."""
        a, b, c = vertices[:, self.corners].unbind(2)
        edge, other = b - a, c - a
        normal = torch.linalg.cross(edge, other)
        x, n = geometry.normalize(edge), geometry.normalize(normal)
        frame = torch.stack([x, n, torch.linalg.cross(x, n)], -1)
        length = edge.norm(dim=-1).clamp_min(1e-6)
        return (a + b + c) / 3, frame, (length + normal.norm(dim=-1) / length) / 2

    def draw(
        self,
        vertices: Tensor,
        delta: Tensor | None,
        intrinsics: Tensor,
        camera_from_world: Tensor,
        width: int,
        height: int,
        background: Tensor | None,
    ) -> ops.Rendered:
        """As `AvatarModel.draw`."""
        del delta
        origin, frame, size = self.triangles(vertices)
        p, count = self.parameters, len(vertices)
        means = origin + size[..., None] * (frame @ p["mean"][..., None])[..., 0]
        quats = geometry.quaternion_multiply(
            geometry.quaternion_from_matrix(frame), geometry.normalize(p["quaternion"]).expand(count, -1, 4)
        )
        return _drawn(self, means, quats, p["log_scale"].exp() * size[..., None],
                      intrinsics, camera_from_world, width, height, background)  # fmt: skip

    def size(self) -> int:
        """Numbers stored."""
        return sum(self.parameters[name].numel() for name in PARAMETERS) + len(self.corners)


class OffsetModel(AvatarModel):
    """Splats on a UV grid, moved, turned and scaled by a network that reads their place and the face's expression.

    FlashAvatar (Xiang et al., CVPR 2024), section 3.2: mu = mu_mesh + d_mu, r = d_r * r, s = d_s * s with
    (d_mu, d_r, d_s) = MLP(encoding(mu_rest), expression), in the head's own coordinates; colours and opacities do not
    change. Theirs is 6 layers of 256; on a CPU a minute would be some hundred steps of it, so `width` and `layers` are
    what trains best in equal time.

    Args:
        head: the person's.
        splats: seeds on a UV grid, see `uv_seeds`.
        scale: of the footage's expressions.
    """

    def __init__(self, head: Head, splats: Splats, scale: StateScale, width: int, layers: int) -> None:
        super().__init__(head, _bare(splats), _no_network(head))
        self.corners = torch.from_numpy(head.faces[splats.triangle].astype(np.int64))
        self.barycentric = torch.from_numpy(splats.barycentric)
        rest = (torch.from_numpy(head.template)[self.corners] * self.barycentric[..., None]).sum(1)
        self.encoded = encode(rest / rest.abs().max())
        self.parameters["log_scale"] = torch.from_numpy(splats.log_scale + np.log(splats.extent)[:, None])
        self.low, self.high = (torch.from_numpy(np.asarray(x, np.float32)) for x in (scale.low, scale.high))
        self.first_place = torch.nn.Linear(self.encoded.shape[1], width)
        self.first_state = torch.nn.Linear(len(scale.low) + 3, width, bias=False)
        hidden: list[torch.nn.Module] = [torch.nn.ReLU()]
        for _ in range(layers - 1):
            hidden += [torch.nn.Linear(width, width), torch.nn.ReLU()]
        last = torch.nn.Linear(width, 9)
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
        self.rest_of_net = torch.nn.Sequential(*hidden, last)
        self.network = _Parts(self.first_place, self.first_state, self.rest_of_net)  # type: ignore[assignment]

    def weights(self, pose: Pose) -> Tensor:
        """[B, E + 12]: expression within what the footage showed, neck rotation; the head's rotation goes along."""
        neck = pose.torso_rotation.transpose(1, 2) @ pose.rotation
        seen = torch.minimum(torch.maximum(pose.expression, self.low), self.high)
        turn = geometry.rotvec_from_matrix(neck)
        return torch.cat([seen, turn, pose.rotation.reshape(-1, 9)], 1)

    def delta(self, weights: Tensor) -> Tensor:
        """[B, N, 18]: what the network adds to place, rotation and log-scale, and the head's rotation."""
        state, rotation = weights[:, :-9], weights[:, -9:]
        # The first layer of a concatenation is a sum: the part that all splats share is computed once.
        hidden = self.first_place(self.encoded)[None] + self.first_state(state)[:, None]
        out = torch.tanh(self.rest_of_net(hidden))
        return torch.cat([out, rotation[:, None].expand(-1, len(self.encoded), 9)], -1)

    def draw(
        self,
        vertices: Tensor,
        delta: Tensor | None,
        intrinsics: Tensor,
        camera_from_world: Tensor,
        width: int,
        height: int,
        background: Tensor | None,
    ) -> ops.Rendered:
        """As `AvatarModel.draw`."""
        assert delta is not None
        p, (batch, count) = self.parameters, delta.shape[:2]
        head = delta[:, 0, 9:].reshape(batch, 3, 3)
        surface = (vertices[:, self.corners] * self.barycentric[..., None]).sum(2)
        means = surface + (p["mean"] + BOUND * delta[..., :3]) @ head.transpose(1, 2)
        small = torch.cat([torch.ones(batch, count, 1), 0.5 * delta[..., 3:6]], -1)
        local = geometry.quaternion_multiply(small, geometry.normalize(p["quaternion"]).expand(batch, -1, 4))
        facing = geometry.quaternion_from_matrix(head)[:, None].expand(-1, count, 4)
        scales = (p["log_scale"] + delta[..., 6:9]).exp()
        return _drawn(self, means, geometry.quaternion_multiply(facing, local), scales,
                      intrinsics, camera_from_world, width, height, background)  # fmt: skip

    def size(self) -> int:
        """Numbers stored."""
        return sum(self.parameters[n].numel() for n in PARAMETERS) + sum(x.numel() for x in self.network.parameters())


class _Parts(torch.nn.Module):
    """Networks whose parameters are asked for together."""

    def __init__(self, *parts: torch.nn.Module) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)

    def parameters(self, recurse: bool = True) -> Iterator[torch.nn.Parameter]:
        """Of all parts."""
        return self.parts.parameters(recurse)


def encode(points: Tensor) -> Tensor:
    """[N, 3] in [-1, 1] -> [N, 3 + 6 FREQUENCIES]: the points with sines and cosines of their octaves."""
    octaves = [np.pi * 2.0**k for k in range(FREQUENCIES)]
    return torch.cat([points, *[f(points * o) for o in octaves for f in (torch.sin, torch.cos)]], 1)


def uv_seeds(head: Head, like: Splats, count: int) -> Splats:
    """About `count` splats, one for each texel of a square UV grid that some triangle covers.

    What the footage never shows is left out, as FlashAvatar leaves the mesh's border regions out: triangles on which
    `like` has no splat.

    Args:
        like: seeds of the same head, for colours (the nearest one's).
    """
    from scipy.spatial import KDTree

    used = np.zeros(len(head.faces), bool)
    used[like.triangle] = True
    side = 64
    while True:
        triangle, barycentric = _texels(head.uv, used, side)
        if len(triangle) >= count:
            break
        side += 4
    corners = head.template[head.faces]
    place = np.einsum("nc,nck->nk", barycentric, corners[triangle])
    seats = np.einsum("nc,nck->nk", like.barycentric, corners[like.triangle])
    color = like.color[KDTree(seats).query(place)[1]]
    near = np.asarray(KDTree(place).query(place, 4)[0])[:, 1:].mean(1).clip(3e-4, 0.01)
    n = len(triangle)
    quaternion = np.zeros((n, 4), np.float32)
    quaternion[:, 0] = 1
    return Splats(
        triangle.astype(np.int32), barycentric.astype(np.float32), near.astype(np.float32),
        np.zeros((n, 3), np.float32), quaternion, np.full((n, 3), np.log(0.7), np.float32), np.full(n, 1.0, np.float32),
        color.astype(np.float32), np.zeros((n, 9, 0), np.float32),
    )  # fmt: skip


def _texels(uv: np.ndarray, used: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangle [n] and barycentric coordinates [n, 3] at the centres of the texels of a side x side grid."""
    triangles, weights = [], []
    for face in np.flatnonzero(used):
        corner = uv[face].astype(float) * side
        low, high = np.floor(corner.min(0)).astype(int), np.ceil(corner.max(0)).astype(int)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        at = np.stack([x.ravel(), y.ravel()], 1)
        edges = np.stack([corner[1] - corner[0], corner[2] - corner[0]], 1)
        if not len(at) or abs(np.linalg.det(edges)) < 1e-9:
            continue
        b = np.linalg.solve(edges, (at - corner[0]).T).T
        b = np.concatenate([1 - b.sum(1, keepdims=True), b], 1)
        inside = (b >= 0).all(1)
        weights.append(b[inside])
        triangles.append(np.full(int(inside.sum()), face))
    return np.concatenate(triangles), np.concatenate(weights)


def _drawn(
    model: AvatarModel,
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    intrinsics: Tensor,
    camera_from_world: Tensor,
    width: int,
    height: int,
    background: Tensor | None,
) -> ops.Rendered:
    p, count = model.parameters, len(means)
    return ops.rasterize(
        means.contiguous(), quats.contiguous(), scales.contiguous(),
        torch.sigmoid(p["logit_opacity"]).expand(count, -1).contiguous(), p["color"].expand(count, -1, 3).contiguous(),
        intrinsics.contiguous(), camera_from_world.contiguous(), width, height, background=background,
    )  # fmt: skip


def _bare(splats: Splats) -> Splats:
    """The same splats without bases."""
    values = {name: getattr(splats, name) for name in Splats.__dataclass_fields__ if name != "bases"}
    return Splats(**values, bases=np.zeros((len(splats), 9, 0), np.float32))


def _no_network(head: Head) -> BasisNetwork:
    size = len(head.expression_names)
    identity = np.eye(3, dtype=np.float32)
    scale = StateScale(identity, np.zeros(3), identity, np.ones(9), np.zeros(size), np.ones(size))
    return BasisNetwork(size, 0, scale)
