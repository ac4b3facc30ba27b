"""How deep hair and clothes beside the mesh lie, as a smooth field.

They are seeded at the depth of the nearest triangle, which is a guess. Each splat alone learns its depth slowly and
badly: strand looks like strand, so the nearest one that fits is found, not the right one. Neighbours mostly lie at
similar depths, so their gradients along the line of sight of the frame they were seeded from are pooled in grids over
that picture, from coarse to fine, and move them together.

Only a turn shows depth. In films of heads that hardly turn, hair walked out of the face by a hand's breadth; so each
grid moves no faster and no farther than the turns that were filmed can tell (see `parallax`).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..heads.head import HeadModel
from ..splats.binding import frames
from ..splats.model import AvatarModel, Pose
from . import bounds
from .parallax import told

_GRIDS = (3, 6, 12)
"""Nodes along each side of the picture."""
_RATE = 2e-4
"""m per step and grid."""
_FARTHEST = 0.06
"""m that each grid may move them."""
_BETA1, _BETA2, _EPS = 0.97, 0.99, 1e-12
"""A long memory: nodes that few frames tell about would walk at random at full speed."""


class Depths:
    """The grids of one model's splats beside the mesh, with their own Adam.

    Args:
        pose, camera: of the frame from which they were seeded, on the host.
        seen: poses of all frames to learn from.
    """

    def __init__(self, model: AvatarModel, pose: Pose, camera: Camera, seen: Pose) -> None:
        device, binding = model.device, model.binding
        index = np.flatnonzero(bounds.beside(model).cpu().numpy())
        self.splats = torch.from_numpy(index).to(device)
        """Which splats these are."""
        vertices = HeadModel(model.head.head).pose(
            pose.expression, pose.rotation, pose.translation, pose.torso_rotation, pose.torso_translation
        )
        origin, t, s = (x[0, index] for x in binding.surface(vertices))
        frame, stretch = (x.numpy() for x in frames(t, s))
        size = (binding.extent[index] * stretch)[:, None]
        local = model.parameters["mean"].detach().cpu().numpy()[index]
        place = origin.numpy() + np.einsum("nij,nj->ni", frame, local) * size - camera.world_from_camera[:3, 3]
        self.away = np.linalg.norm(place, axis=1)
        """[n] m from the camera, as seeded."""
        sight = place / self.away[:, None]
        self.sight = torch.from_numpy((np.einsum("nji,nj->ni", frame, sight) / size).astype(np.float32)).to(device)
        ahead = place @ camera.world_from_camera[:3, :3]
        self.at = ahead[:, :2] / ahead[:, 2:]
        """[n, 2] where they are seen, in units of their depth."""
        at = self.at * [camera.fx, camera.fy] + [camera.cx, camera.cy]
        share = np.concatenate([_shares(at / [camera.width, camera.height], grid) for grid in _GRIDS], 1)
        self._share = torch.from_numpy(share.astype(np.float32)).to(device)
        torso = model.head.head.torso_faces(model.binding.corner[index])
        trusted = np.where(torso, *(told(seen, pose, camera, torso=of_torso) for of_torso in (True, False)))
        trust = (share * trusted[:, None]).sum(0) / share.sum(0).clip(1e-6)
        self._trust = torch.from_numpy(trust.astype(np.float32)).to(device)
        self.moved = torch.zeros(share.shape[1], device=device)
        """[nodes] m, away from the camera."""
        self.first, self.second = torch.zeros_like(self.moved), torch.zeros_like(self.moved)

    @torch.no_grad()
    def step(self, mean: Tensor, gradient: Tensor, frozen: Tensor, rate: float, steps: int) -> None:
        """Move means [N, 3] (extents, in their own frames) along the line of sight, in place, by gradients [N, 3].

        Args:
            frozen: [N] bool, those that neither tell nor go.
        """
        if not len(self.splats):
            return
        free = ~frozen[self.splats]
        pull = self._share.T @ ((gradient.index_select(0, self.splats) * self.sight).sum(1) * free)
        self.first.lerp_(pull, 1 - _BETA1)
        self.second.lerp_(pull.square(), 1 - _BETA2)
        unit = (self.first / (1 - _BETA1**steps)) / ((self.second / (1 - _BETA2**steps)).sqrt() + _EPS)
        farthest = _FARTHEST * self._trust
        moved = torch.minimum(torch.maximum(self.moved - _RATE * rate * self._trust * unit, -farthest), farthest)
        mean.index_add_(0, self.splats, (self._share @ (moved - self.moved) * free)[:, None] * self.sight)
        self.moved.copy_(moved)


def _shares(at: np.ndarray, grid: int) -> np.ndarray:
    """[n, grid^2] bilinear weights of points [n, 2] in the unit square; beyond it those of the nearest edge."""
    place = at.clip(0, 1) * (grid - 1)
    low = np.minimum(place.astype(int), grid - 2)
    part = place - low
    out = np.zeros((len(at), grid, grid))
    for down in (0, 1):
        for right in (0, 1):
            weight = (part[:, 0] if right else 1 - part[:, 0]) * (part[:, 1] if down else 1 - part[:, 1])
            out[np.arange(len(at)), low[:, 1] + down, low[:, 0] + right] = weight
    return out.reshape(len(at), grid * grid)
