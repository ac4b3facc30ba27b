"""How this person makes each expression, as smooth corrections of the head's blendshapes.

A head's blendshapes are a mean person's; nobody smiles quite like that. What is left over moves with the expression,
so that the gradient of the rest shape, times each coefficient of the frame, tells how that blendshape should differ
(the idea of example-based facial rigging, Li et al. 2010, from pictures instead of scans). It is pooled on a grid of
soft bumps, as the face's relief is: lips and lids go together, and nothing tears.

What other blendshapes could do as well, or a turn of the head, is left to them. Otherwise a face's coefficients would
change their meaning in training, and what a landmark tracker finds of them would fit no longer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..heads.head import Head, HeadModel
from ..heads.still import still_landmarks
from .bumps import bumps

_APART, _WIDTH = 0.03, 0.0225
"""m between two bumps, and standard deviation of one."""
_STIFF = ("eyeball_l", "eyeball_r", "teeth_upper", "teeth_lower", "tongue")
"""What no expression bends."""
_EVERY = 8
"""Steps whose gradients are pooled at once."""
_RATE, _FARTHEST = 2e-4, 0.01
"""m per unit of a coefficient that a bump may move at a time, twice as far where much is shown, and in all."""
_FADE = 0.05
"""Share that is taken away at a time: what frames ask for now and then, each another way, goes."""
_MUCH, _SOON = 1e-3, 4
"""m2 that the landmarks of all frames moved by expression, mean squares added up, beyond which a film shows so much
that less and less fades; and the power with which. Of 150 frames of somebody who grimaces (1.7e-3) every bit that is
kept is of use in other frames; of as many of somebody who talks (6e-4, 1e-3) it costs those posed by landmarks .5 dB.
"""
_BETA1, _BETA2, _EPS = 0.88, 0.96, 1e-12
_HALF = 0.5
"""Coefficient at which it is measured what a blendshape does to the landmarks, those that turn joints included."""
_ALIKE = 1e-3
"""Singular value, of the largest, under which directions are the same."""


class Blendshapes:
    """The expression basis of one model's head, with its own Adam.

    Args:
        body: the model's head; its basis is moved.
        expression: [T, E] of the frames that it is learned from.
    """

    def __init__(self, body: HeadModel, expression: torch.Tensor) -> None:
        head, device = body.head, body.template.device
        self._body, self._basis = body, body.basis
        little = (_MUCH / max(_shown(head, expression.cpu().numpy()), _MUCH)) ** _SOON
        self._fade, self._rate = _FADE * little, _RATE * (2 - little)
        body.basis = body.basis.clone()  # the head's own arrays stay
        shares = _shares(head)
        self._shares = torch.from_numpy(shares.astype(np.float32)).to(device)
        self._taken = torch.from_numpy(_taken(head, shares)).to(device)
        count = shares.shape[1]
        self.moved = torch.zeros(body.size, count, 3, device=device)
        """[E, bumps, 3] m per unit."""
        self.first, self.waiting = torch.zeros_like(self.moved), torch.zeros_like(self.moved)
        self.second = torch.zeros(count, 3, device=device)
        """Of all blendshapes together: those that are hardly ever seen move little."""
        self.steps = 0

    @torch.no_grad()
    def step(self, expression: torch.Tensor, rate: float) -> None:
        """Gather the template's gradient of a frame with this expression [1, E]; move the basis when it is time."""
        pull = self._body.template.grad
        if pull is None or not self.moved.shape[1]:
            return
        pooled = (pull.T @ self._shares).T  # this way round a product of so few columns takes a fifth of the time
        self.waiting.flatten(1).addr_(expression[0], pooled.flatten())
        self.steps += 1
        if self.steps % _EVERY:
            return
        count, pooled = self.steps // _EVERY, self._apart(self.waiting)
        self.waiting.zero_()
        self.first.lerp_(pooled, 1 - _BETA1)
        self.second.lerp_(pooled.square().sum(0), 1 - _BETA2)
        unit = (self.first / (1 - _BETA1**count)) / ((self.second / (1 - _BETA2**count)).sqrt() + _EPS)
        moved = (self.moved - self._rate * rate * unit) * (1 - self._fade * rate)
        self.moved.copy_(self._apart(moved.clamp_(-_FARTHEST, _FARTHEST)))
        self._apply()

    def _apart(self, change: torch.Tensor) -> torch.Tensor:
        """[E, bumps, 3] without what other blendshapes or a turn of the head could do."""
        flat = change.flatten(1)
        return (flat - (flat @ self._taken) @ self._taken.T).view_as(change)

    def _apply(self) -> None:
        size, count = self.moved.shape[:2]
        change = (self.moved.transpose(1, 2).reshape(-1, count) @ self._shares.T).view(size, 3, -1)
        basis, first = (x.view(size, -1, 3) for x in (self._body.basis, self._basis))
        torch.add(first, change.transpose(1, 2), out=basis)

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything that a resumed run needs; the basis [E, V, 3] m as it is now."""
        out = {name: getattr(self, name) for name in ("moved", "first", "second", "waiting")}
        out["basis"] = self._body.basis.view(self._body.size, -1, 3)
        return {f"blendshapes.{name}": value.cpu().numpy() for name, value in out.items()} | {
            "blendshapes.steps": np.array(self.steps, np.int64)
        }

    @torch.no_grad()
    def restore(self, tensors: dict[str, np.ndarray]) -> None:
        """Inverse of `tensors`."""
        for name in ("moved", "first", "second", "waiting"):
            getattr(self, name).copy_(torch.from_numpy(tensors[f"blendshapes.{name}"]))
        self.steps = int(tensors["blendshapes.steps"].item())
        # Not computed anew: a sum over another number of threads ends in other bits.
        self._body.basis.copy_(torch.from_numpy(tensors["blendshapes.basis"]).flatten(1))


def own_blendshapes(head: Head, tensors: dict[str, np.ndarray]) -> Head:
    """The head with the basis of `Blendshapes.tensors`."""
    return replace(head, expression_basis=tensors["blendshapes.basis"].copy())


def _shown(head: Head, expression: np.ndarray) -> float:
    """m2: mean squares of how far landmarks are from where they usually are, of all frames [T, E] added up."""
    if not (head.landmark_faces >= 0).any():
        return 0.0
    points = still_landmarks(head, expression)
    return float(np.nanmean(((points - points.mean(0)) ** 2).sum(2), axis=1).sum())


def _shares(head: Head) -> np.ndarray:
    """[V, bumps] how far each vertex goes with each bump."""
    stiff = [head.regions[name] for name in _STIFF if name in head.regions]
    return bumps(head, _APART, _WIDTH, ~np.logical_or.reduce([np.zeros(len(head.template), bool), *stiff]))


def _taken(head: Head, shares: np.ndarray) -> np.ndarray:
    """[3 bumps, n] orthonormal: changes of bumps that move the landmarks as blendshapes or turns of the head do."""
    found = head.landmark_faces >= 0
    if not found.any() or not shares.shape[1]:
        return np.zeros((3 * shares.shape[1], 0), np.float32)
    size = len(head.expression_names)
    body, still = HeadModel(head), torch.eye(3).expand(size, 3, 3)
    with torch.no_grad():
        place = (torch.zeros(size, 3), still, torch.zeros(size, 3))
        acted, rest = (body.pose(_HALF * amount * torch.eye(size), still, *place) for amount in (1, 0))
    corners, weight = head.faces[head.landmark_faces[found]], head.landmark_barycentric[found]

    def at_landmarks(field: np.ndarray) -> np.ndarray:
        return np.einsum("lc,lc...->l...", weight, field[corners])

    around = at_landmarks(head.template.astype(float))
    around -= around.mean(0)
    rigid = [np.tile(axis, (len(around), 1)) for axis in np.eye(3)] + [np.cross(axis, around) for axis in np.eye(3)]
    known = [*rigid, *(at_landmarks(field) for field in (acted - rest).numpy().astype(float))]
    pooled = np.einsum("lb,kld->kbd", at_landmarks(shares), np.stack(known)).reshape(len(known), -1)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True).clip(1e-12)
    axes, size_of, _ = np.linalg.svd(pooled.T, full_matrices=False)
    return np.ascontiguousarray(axes[:, size_of > _ALIKE * size_of.max(initial=0)], np.float32)
