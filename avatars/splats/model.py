"""An avatar that renders: head, splats, bases and network as torch tensors, driven by poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..data import Camera, Splats, Track
from ..heads.head import Head, HeadModel
from ..raster import ops
from .bases import BasisNetwork
from .binding import Binding, bind_reference

PARAMETERS = ("mean", "quaternion", "log_scale", "logit_opacity", "color")
"""Per-splat tensors that training moves, besides the bases."""


@dataclass
class Pose:
    """B face states: expression [B, E], head and torso rotation [B, 3, 3] and translation [B, 3] m."""

    expression: Tensor
    rotation: Tensor
    translation: Tensor
    torso_rotation: Tensor
    torso_translation: Tensor

    @staticmethod
    def of_track(track: Track, rows: np.ndarray | slice | list[int] = slice(None)) -> Pose:
        """Rows of a track."""

        def tensor(x: np.ndarray) -> Tensor:
            return torch.from_numpy(np.asarray(x[rows], np.float32))

        return Pose(
            tensor(track.expression),
            geometry.matrix_from_rotvec(tensor(track.rotation)),
            tensor(track.translation),
            geometry.matrix_from_rotvec(tensor(track.torso_rotation)),
            tensor(track.torso_translation),
        )

    def __getitem__(self, rows: int | slice | Tensor) -> Pose:
        """A sub-batch; an integer keeps the batch dimension."""
        if isinstance(rows, int):
            rows = slice(rows, rows + 1)
        return Pose(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def to(self, device: torch.device) -> Pose:
        """The same values on a device, differentiably."""
        if self.expression.device == device:
            return self
        return Pose(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    def detach(self) -> Pose:
        """The same values without a graph."""
        return Pose(*(getattr(self, name).detach() for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.expression)


def camera_tensors(camera: Camera) -> tuple[Tensor, Tensor]:
    """(intrinsics [1, 4], camera_from_world [1, 4, 4]) float32."""
    return torch.from_numpy(camera.intrinsics)[None], torch.from_numpy(camera.camera_from_world.astype(np.float32))[
        None
    ]


class AvatarModel:
    """Tensors of one avatar and its forward pass; poses, cameras and backgrounds come from any device.

    Args:
        head: the personalised head (identity baked in).
        splats: the Gaussians bound to it.
        network: face state to basis weights.
    """

    def __init__(self, head: Head, splats: Splats, network: BasisNetwork) -> None:
        self.head = HeadModel(head)
        self.network = network
        self.binding = Binding.build(head.template, head.faces, splats.triangle, splats.barycentric, splats.extent)
        self.parameters: dict[str, Tensor] = {
            name: torch.from_numpy(np.array(getattr(splats, name), np.float32)) for name in PARAMETERS
        }
        self.bases = torch.from_numpy(np.array(splats.bases, np.float32))

    @property
    def device(self) -> torch.device:
        """Where it computes and draws."""
        return self.bases.device

    def to(self, device: torch.device | str) -> AvatarModel:
        """Move everything, in place; what wanted gradients still does, optimizers must be made after it."""
        if self.device == torch.device(device):
            return self
        self.head = HeadModel(self.head.head, device)
        self.network.to(device)
        self.bases = self.bases.to(device)
        for name, value in self.parameters.items():
            self.parameters[name] = value.detach().to(device).requires_grad_(value.requires_grad)
        return self

    def weights(self, pose: Pose) -> Tensor:
        """Basis weights [B, K]."""
        pose = pose.to(self.device)
        return self.network(self.network.state(pose.expression, pose.rotation, pose.translation, pose.torso_rotation))

    def vertices(self, pose: Pose) -> Tensor:
        """Posed head in world coordinates [B, V, 3] m."""
        pose = pose.to(self.device)
        return self.head.pose(
            pose.expression, pose.rotation, pose.translation, pose.torso_rotation, pose.torso_translation
        )

    def delta(self, weights: Tensor) -> Tensor | None:
        """What the bases add, [B, N, 9]."""
        return ops.combine_bases(self.bases, weights) if self.bases.shape[2] else None

    def render(self, pose: Pose, camera: Camera, background: Tensor | None = None) -> ops.Rendered:
        """Draw B poses from one camera; colour [B, 3, H, W] sRGB, alpha and depth [B, 1, H, W].

        Args:
            background: [3] or [B, 3, H, W]; None is black.
        """
        intrinsics, view = camera_tensors(camera)
        count = len(pose)
        return self.draw(
            self.vertices(pose),
            self.delta(self.weights(pose)),
            intrinsics.expand(count, 4),
            view.expand(count, 4, 4),
            camera.width,
            camera.height,
            background,
        )

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
        """The last step of `render`, for callers that keep vertices and deltas."""
        p, device = self.parameters, self.device
        return ops.render_bound(
            vertices, self.binding, p["mean"], p["quaternion"], p["log_scale"], p["logit_opacity"], p["color"],
            delta, intrinsics.to(device), camera_from_world.to(device), width, height,
            background=None if background is None else background.to(device),
        )  # fmt: skip

    @torch.no_grad()
    def rest_means(self) -> Tensor:
        """Splat centres [N, 3] m on the unposed head, without bases; on the CPU."""
        p = {name: value.cpu() for name, value in self.parameters.items()}
        return bind_reference(
            self.head.template.cpu()[None], self.binding, p["mean"], p["quaternion"], p["log_scale"],
            p["logit_opacity"], p["color"], None,
        )[0][0]  # fmt: skip

    def splats(self, like: Splats) -> Splats:
        """The present tensors as data; binding comes from `like`."""
        values = {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.parameters.items()}
        bases = self.bases.detach().cpu().numpy().copy()
        return Splats(like.triangle, like.barycentric, like.extent, **values, bases=bases)
