"""From a face state to the weights of the learned bases: a small network, in torch to train and in NumPy to run.

K bases per splat, weighted by one network for all splats, follow the idea of RGBAvatar (Li et al., CVPR 2025).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import geometry

HIDDEN = 64
_EXPRESSION_GAIN = 2.0
_RIDGE = 1e-3
"""Share of the mean variance of the weights that is added to every direction, so that few frames have a cloud, too."""
_POSE_MARGIN = 1.3
_EXPRESSION_MARGIN = 0.05


@dataclass(frozen=True)
class Cloud:
    """Where the weights of the footage lie, as an ellipsoid: combinations of motions that never occurred stay at its
    edge. Each input alone may be within what was seen, and the bases would still add up to blotches.
    """

    center: np.ndarray
    """[K] mean weights."""
    whiten: np.ndarray
    """[K, K]: |whiten @ (weights - center)| is 1 at the edge."""

    @staticmethod
    def of(weights: np.ndarray) -> Cloud:
        """Around the weights [T, K] of some frames: all of them are inside, one at the edge."""
        center = weights.mean(0, dtype=np.float64)
        apart = weights - center
        moment = apart.T @ apart / max(len(apart), 1)
        ridge = _RIDGE * max(float(np.trace(moment)) / len(moment), 1e-12)
        whiten = np.linalg.inv(np.linalg.cholesky(moment + ridge * np.eye(len(moment))))
        edge = max(float(np.linalg.norm(apart @ whiten.T, axis=1).max(initial=0)), 1e-6)
        return Cloud(center.astype(np.float32), (whiten / edge).astype(np.float32))

    def tensors(self) -> dict[str, np.ndarray]:
        """For the avatar file."""
        return {f"weights.{k}": getattr(self, k) for k in self.__dataclass_fields__}


@dataclass
class StateScale:
    """How a state becomes network inputs: pose centred and divided by what the footage showed, all limited to it.

    Beyond the footage (another driver, a far turn, a wider mouth) the network was never taught: there the mesh goes on
    moving the splats, and what the bases add stays as it was at the edge.
    """

    rotation_mean: np.ndarray
    """[3, 3] mean world_from_head rotation."""
    translation_mean: np.ndarray
    """[3] m."""
    neck_mean: np.ndarray
    """[3, 3] mean torso_from_head rotation."""
    spread: np.ndarray
    """[9] standard deviations of head rotation (3), translation (3) and neck rotation (3)."""
    low: np.ndarray
    """[E] least expression that the footage showed."""
    high: np.ndarray
    """[E] most."""

    def tensors(self) -> dict[str, np.ndarray]:
        """For the avatar file."""
        return {f"state.{k}": np.asarray(getattr(self, k), np.float32) for k in self.__dataclass_fields__}

    @staticmethod
    def from_tensors(tensors: dict[str, np.ndarray]) -> StateScale:
        """Inverse of `tensors`."""
        return StateScale(**{k: tensors[f"state.{k}"] for k in StateScale.__dataclass_fields__})

    @staticmethod
    def fit(expression: Tensor, rotation: Tensor, translation: Tensor, torso_rotation: Tensor) -> StateScale:
        """Statistics over T frames of expressions [T, E], rotations [T, 3, 3] and translations [T, 3]."""
        neck = torso_rotation.transpose(1, 2) @ rotation
        mean, neck_mean = _mean_rotation(rotation), _mean_rotation(neck)
        values = torch.cat(
            [
                geometry.rotvec_from_matrix(rotation @ mean.T),
                translation - translation.mean(0),
                geometry.rotvec_from_matrix(neck @ neck_mean.T),
            ],
            1,
        )
        floor = torch.tensor([0.03] * 3 + [0.005] * 3 + [0.03] * 3)
        spread = torch.maximum(values.std(0, correction=0), floor)
        low, high = expression.amin(0) - _EXPRESSION_MARGIN, expression.amax(0) + _EXPRESSION_MARGIN
        return StateScale(
            mean.numpy(), translation.mean(0).numpy(), neck_mean.numpy(), spread.numpy(), low.numpy(), high.numpy()
        )


def _mean_rotation(rotation: Tensor) -> Tensor:
    u, _, vt = torch.linalg.svd(rotation.mean(0))
    sign = torch.ones(3, dtype=rotation.dtype)
    sign[2] = torch.linalg.det(u @ vt)
    return (u * sign) @ vt


class BasisNetwork(torch.nn.Module):
    """[B, E] expression and pose -> [B, K] basis weights.

    Args:
        expression: E.
        bases: K; 0 makes an avatar without learned bases.
        scale: pose statistics of the footage.
        cloud: what the weights are held to; training does without.
    """

    _center: Tensor
    _whiten: Tensor
    _rotation: Tensor
    _neck: Tensor
    _translation: Tensor
    _low: Tensor
    _high: Tensor
    _inverse: Tensor

    def __init__(self, expression: int, bases: int, scale: StateScale, cloud: Cloud | None = None) -> None:
        super().__init__()
        self.bases = bases
        self.scale = scale
        self.cloud: Cloud | None = None
        self.net = torch.nn.Sequential(
            torch.nn.Linear(expression + 9, HIDDEN),
            torch.nn.SiLU(),
            torch.nn.Linear(HIDDEN, HIDDEN),
            torch.nn.SiLU(),
            torch.nn.Linear(HIDDEN, max(bases, 1)),
        )
        constants = {
            "rotation": scale.rotation_mean, "neck": scale.neck_mean, "translation": scale.translation_mean,
            "low": scale.low, "high": scale.high, "inverse": 1.0 / np.array(scale.spread, np.float32),
        }  # fmt: skip
        for name, value in constants.items():  # buffers, so that they move with the network; the scale is what is saved
            self.register_buffer(f"_{name}", torch.from_numpy(np.array(value, np.float32)), persistent=False)
        self.hold(cloud)

    def hold(self, cloud: Cloud | None) -> None:
        """From now on weights stay within a cloud, or go where they will."""
        self.cloud = cloud
        device = self._inverse.device
        parts = (np.zeros(0), np.zeros((0, 0))) if cloud is None else (cloud.center, cloud.whiten)
        for name, value in zip(("center", "whiten"), parts, strict=True):
            self.register_buffer(f"_{name}", torch.from_numpy(np.array(value, np.float32)).to(device), persistent=False)

    def state(self, expression: Tensor, rotation: Tensor, translation: Tensor, torso_rotation: Tensor) -> Tensor:
        """Network input [B, E + 9] from expression [B, E], rotations [B, 3, 3] and translation [B, 3]."""
        neck = torso_rotation.transpose(1, 2) @ rotation
        turns = geometry.rotvec_from_matrix(torch.stack([rotation @ self._rotation.T, neck @ self._neck.T]))
        pose = torch.cat([turns[0], translation - self._translation, turns[1]], 1)
        # A soft limit at three deviations: linear inside, flat far outside, differentiable everywhere.
        limit = 3.0 * _POSE_MARGIN
        seen = torch.minimum(torch.maximum(expression, self._low), self._high)
        return torch.cat([seen * _EXPRESSION_GAIN, limit * torch.tanh(pose * self._inverse / limit)], 1)

    def forward(self, state: Tensor) -> Tensor:
        """[B, E + 9] -> [B, K]."""
        weights = self.net(state)
        if self.cloud is None:
            return weights
        apart = weights - self._center
        distance = (apart @ self._whiten.T).norm(dim=1, keepdim=True)
        return self._center + apart / distance.clamp_min(1)

    def tensors(self) -> dict[str, np.ndarray]:
        """Weights for the avatar file."""
        return (
            {f"network.{k}": v.detach().cpu().numpy().copy() for k, v in self.net.state_dict().items()}
            | self.scale.tensors()
            | ({} if self.cloud is None else self.cloud.tensors())
        )

    @staticmethod
    def from_tensors(tensors: dict[str, np.ndarray]) -> BasisNetwork:
        """Inverse of `tensors`."""
        first, last = tensors["network.0.weight"], tensors["network.4.weight"]
        cloud = None
        if "weights.center" in tensors:
            cloud = Cloud(tensors["weights.center"], tensors["weights.whiten"])
            if cloud.center.shape != (len(last),) or cloud.whiten.shape != (len(last), len(last)):
                raise ValueError("the weights' cloud does not fit the network")
        network = BasisNetwork(first.shape[1] - 9, last.shape[0], StateScale.from_tensors(tensors), cloud)
        prefix = "network."
        state = {k[len(prefix) :]: torch.from_numpy(v.copy()) for k, v in tensors.items() if k.startswith(prefix)}
        network.net.load_state_dict(state)
        return network
