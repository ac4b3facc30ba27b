"""The track as trainable numbers: one row per frame, moved by the gradient of the frame that was just drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..data import Track
from ..splats.model import Pose

_RATES = {"expression": 5e-3, "turn": 1.5e-3, "translation": 2e-4, "torso_turn": 2e-3, "torso_translation": 4e-4}
"""Adam step sizes (dimensionless, rad, m) at the start of refinement."""
_BETAS = (0.9, 0.95)


@dataclass
class Leaf:
    """Graph leaves of one row: what the photometric gradient can move."""

    expression: Tensor
    turn: Tensor
    translation: Tensor
    torso_turn: Tensor
    torso_translation: Tensor


class PoseTable:
    """T poses with Adam moments; rotations move by small left turns.

    Args:
        track: start values.
        low, high: [E] bounds of the expression.
    """

    def __init__(self, track: Track, low: np.ndarray, high: np.ndarray) -> None:
        pose = Pose.of_track(track)
        self.pose = Pose(*(getattr(pose, name).clone() for name in Pose.__dataclass_fields__))
        self.low, self.high = torch.from_numpy(low.astype(np.float32)), torch.from_numpy(high.astype(np.float32))
        count = len(pose)
        self.visits = torch.zeros(count, dtype=torch.int64)
        width = dict.fromkeys(_RATES, 3) | {"expression": pose.expression.shape[1]}
        self.first = {name: torch.zeros(count, width[name]) for name in _RATES}
        self.second = {name: torch.zeros(count, width[name]) for name in _RATES}

    def __len__(self) -> int:
        return len(self.pose)

    def row(self, row: int) -> Pose:
        """One pose [1, ...] without a graph."""
        return self.pose[row]

    def leaf(self, row: int) -> tuple[Pose, Leaf]:
        """One pose built from fresh leaves that will carry its gradient."""
        p = self.pose[row]
        leaf = Leaf(
            p.expression.clone().requires_grad_(),
            torch.zeros(1, 3, requires_grad=True),
            p.translation.clone().requires_grad_(),
            torch.zeros(1, 3, requires_grad=True),
            p.torso_translation.clone().requires_grad_(),
        )
        rotation, torso_rotation = _turned(p, leaf.turn, leaf.torso_turn)
        return Pose(leaf.expression, rotation, leaf.translation, torso_rotation, leaf.torso_translation), leaf

    @torch.no_grad()
    def step(self, row: int, leaf: Leaf, rate: float) -> None:
        """One Adam step on one row; a non-finite gradient leaves it untouched."""
        gradients = {name: getattr(leaf, name).grad for name in _RATES}
        if any(g is None or not bool(torch.isfinite(g).all()) for g in gradients.values()):
            return
        self.visits[row] += 1
        n = int(self.visits[row])
        moves = {}
        for name, gradient in gradients.items():
            assert gradient is not None
            m, v = self.first[name][row], self.second[name][row]
            m.mul_(_BETAS[0]).add_(gradient[0], alpha=1 - _BETAS[0])
            v.mul_(_BETAS[1]).addcmul_(gradient[0], gradient[0], value=1 - _BETAS[1])
            size = (m / (1 - _BETAS[0] ** n)) / ((v / (1 - _BETAS[1] ** n)).sqrt() + 1e-12)
            moves[name] = -rate * _RATES[name] * size
        p = self.pose
        p.expression[row] = torch.minimum(torch.maximum(p.expression[row] + moves["expression"], self.low), self.high)
        turned = _turned(p[row], moves["turn"][None], moves["torso_turn"][None])
        p.rotation[row], p.torso_rotation[row] = turned[0][0], turned[1][0]
        p.translation[row] += moves["translation"] * torch.tensor([1.0, 1.0, 0.5])
        p.torso_translation[row] += moves["torso_translation"]

    @torch.no_grad()
    def reset_moments(self, rows: np.ndarray) -> None:
        """Forget the Adam moments of some rows."""
        index = torch.from_numpy(rows)
        self.visits[index] = 0
        for table in (self.first, self.second):
            for value in table.values():
                value[index] = 0

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything that a resumed run needs."""
        out = {f"pose.{name}": getattr(self.pose, name).numpy() for name in Pose.__dataclass_fields__}
        out |= {f"pose.first.{k}": v.numpy() for k, v in self.first.items()}
        out |= {f"pose.second.{k}": v.numpy() for k, v in self.second.items()}
        out["pose.visits"] = self.visits.numpy()
        return out

    @torch.no_grad()
    def restore(self, tensors: dict[str, np.ndarray]) -> None:
        """Inverse of `tensors`."""
        for name in Pose.__dataclass_fields__:
            getattr(self.pose, name).copy_(torch.from_numpy(tensors[f"pose.{name}"]))
        for name in _RATES:
            self.first[name].copy_(torch.from_numpy(tensors[f"pose.first.{name}"]))
            self.second[name].copy_(torch.from_numpy(tensors[f"pose.second.{name}"]))
        self.visits.copy_(torch.from_numpy(tensors["pose.visits"]))

    def snapshot(self) -> Pose:
        """A copy of all poses."""
        return Pose(*(getattr(self.pose, name).clone() for name in Pose.__dataclass_fields__))

    @torch.no_grad()
    def assign(self, pose: Pose, rows: np.ndarray | None = None) -> None:
        """Overwrite all poses, or some rows with as many poses."""
        for name in Pose.__dataclass_fields__:
            if rows is None:
                getattr(self.pose, name).copy_(getattr(pose, name))
            else:
                getattr(self.pose, name)[torch.from_numpy(rows)] = getattr(pose, name)


def _turned(pose: Pose, turn: Tensor, torso_turn: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [1, 3, 3] of head and torso, turned on from the left by rotation vectors [1, 3]."""
    turns = geometry.matrix_from_rotvec(torch.cat([turn, torso_turn]))
    both = turns @ torch.cat([pose.rotation, pose.torso_rotation])
    return both[:1], both[1:]
