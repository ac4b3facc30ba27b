"""How far each part of the face stands out, as a smooth field.

Landmarks tell where things are across the picture, and of their depth only what a turning head shows of it through the
noise of a detector: brows, nose and cheeks come out some millimetres too flat or too deep, and slide by a pixel or two
in turned frames, which bases then learn as if the face did it. Pictures know better. The gradients of all vertices
along the head's own z are pooled on a grid of soft bumps, and move the template; eyes move as one, with their joints.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..heads.head import JOINTS, Head, HeadModel
from .bumps import bumps

_APART, _WIDTH = 0.02, 0.015
"""m between two bumps, and standard deviation of one."""
_EVERY = 4
"""Steps whose gradients are pooled at once."""
_RATE, _FARTHEST = 4e-4, 0.008
"""m that a bump may move at a time, and in all."""
_BETA1, _BETA2, _EPS = 0.88, 0.96, 1e-12
_EYES = {"eyeball_l": "eye_l", "eyeball_r": "eye_r"}


class Relief:
    """The field of one model's template, with its own Adam.

    Args:
        body: the model's head; its template and joints are moved.
        trust: how far to believe what pictures tell of it, in [0, 1] (see `parallax`).
    """

    def __init__(self, body: HeadModel, trust: float = 1.0) -> None:
        head, device = body.head, body.template.device
        self._body, self._template, self._joints = body, body.template, body.joints
        body.template, body.joints = body.template.clone(), body.joints.clone()  # the head's own arrays stay
        self._trust, shares = trust, _shares(head)
        vertices = np.flatnonzero(shares.any(1))
        joints = np.zeros((len(JOINTS), shares.shape[1]))
        for region, joint in _EYES.items():
            joints[JOINTS.index(joint)] = shares[head.regions[region]].mean(0) if region in head.regions else 0
        self._vertices = torch.from_numpy(vertices).to(device)
        self._shares = torch.from_numpy(shares[vertices].astype(np.float32)).to(device)
        self._joint_shares = torch.from_numpy(joints.astype(np.float32)).to(device)
        self.moved = torch.zeros(shares.shape[1], device=device)
        """[bumps] m, along z."""
        self.first, self.second = torch.zeros_like(self.moved), torch.zeros_like(self.moved)
        self.waiting = torch.zeros(len(vertices), device=device)
        """[moved vertices] gradients that have not been pooled yet."""
        self.steps = 0

    def listen(self) -> None:
        """From now on the template gathers gradients."""
        self._body.template.requires_grad_()

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move the template by the gradients of this step and of those before it, when it is time."""
        pull = self._body.template.grad
        if pull is None or not len(self.moved):
            return
        self._body.template.grad = None
        self.waiting += pull[:, 2].index_select(0, self._vertices)
        self.steps += 1
        if self.steps % _EVERY:
            return
        count, pooled = self.steps // _EVERY, self._shares.T @ self.waiting
        self.waiting.zero_()
        self.first.lerp_(pooled, 1 - _BETA1)
        self.second.lerp_(pooled.square(), 1 - _BETA2)
        unit = (self.first / (1 - _BETA1**count)) / ((self.second / (1 - _BETA2**count)).sqrt() + _EPS)
        farthest = _FARTHEST * self._trust
        self.moved.sub_(_RATE * self._trust * rate * unit).clamp_(-farthest, farthest)
        self._apply()

    def _apply(self) -> None:
        self._body.template[self._vertices, 2] = self._template[self._vertices, 2] + self._shares @ self.moved
        self._body.joints[:, 2] = self._joints[:, 2] + self._joint_shares @ self.moved

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything that a resumed run needs, and the template and joints [m] as they are now."""
        out = {name: getattr(self, name) for name in ("moved", "first", "second", "waiting")}
        out |= {"template": self._body.template.detach(), "joints": self._body.joints}
        return {f"relief.{name}": value.cpu().numpy() for name, value in out.items()} | {
            "relief.steps": np.array(self.steps, np.int64)
        }

    @torch.no_grad()
    def restore(self, tensors: dict[str, np.ndarray]) -> None:
        """Inverse of `tensors`."""
        for name in ("moved", "first", "second", "waiting"):
            getattr(self, name).copy_(torch.from_numpy(tensors[f"relief.{name}"]))
        self.steps = int(tensors["relief.steps"].item())
        # Not computed anew: a sum over another number of threads ends in other bits.
        self._body.template.copy_(torch.from_numpy(tensors["relief.template"]))
        self._body.joints.copy_(torch.from_numpy(tensors["relief.joints"]))


def shaped(head: Head, tensors: dict[str, np.ndarray]) -> Head:
    """The head as the field of `Relief.tensors` has it."""
    return replace(head, template=tensors["relief.template"].copy(), joints=tensors["relief.joints"].copy())


def _shares(head: Head) -> np.ndarray:
    """[V, bumps] how far each vertex goes with each bump; those of an eye go alike."""
    near = bumps(head, _APART, _WIDTH)
    for region in _EYES:
        if region in head.regions:
            near[head.regions[region]] = near[head.regions[region]].mean(0)
    return near
