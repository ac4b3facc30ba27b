"""Adam for everything the image gradient moves, with its moments in plain sight so that a checkpoint is complete."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..heads.head import Head
from ..raster import ops
from ..splats.interior import INTERIOR
from ..splats.model import PARAMETERS, AvatarModel, Pose
from . import bounds, relief
from .blendshapes import Blendshapes, own_blendshapes
from .depths import Depths
from .drape import Drape
from .hollow import Hollow
from .parallax import told
from .relief import Relief
from .slim import Slim
from .teeth import Teeth

RATES = {
    "mean": [0.02] * 3,
    "quaternion": [0.006] * 4,
    "log_scale": [0.012] * 3,
    "logit_opacity": [0.03],
    "color": [0.008] * 3,
}
"""Step sizes per iteration; lengths in extents of the splat."""
BASIS_RATES = [2e-3] * 3 + [2e-3] * 3 + [1e-3] * 3
NETWORK_RATE = 1e-3
_FADE, _FADE_EVERY = 5e-4, 16
"""Share of the head's bases that a step at full rate takes away (weight decay as in AdamW, Loshchilov & Hutter 2019),
and how often that is done: what only a few frames ever asked for is gone in the end. Clothes keep theirs: how they fold
has no mesh to fall back on.
"""
_LIDS_FADE = 8.0
"""How much faster those of lids go: a film has a blink or two, and what bases make of so few frames are blotches in the
next one; what is left is how lids are lit, and the shade of a crease that all frames but those have.
"""
_BETA1, _BETA2 = 0.9, 0.99
_EPS = 1e-7
"""Against gradients of a mean over pixels. Adam's steps are blind to the size of a gradient; without a floor, splats
that shine through at a rim of one frame wander at full speed, and speckle the first side view."""
_FLATTEN_EVERY = 4
_SOLID = 1.5
"""Least logit of the opacity inside the mouth: what a narrow opening hardly shows is fog in a wide one."""


class Optimizer:
    """Moves the tensors of an AvatarModel in place.

    Args:
        pose, camera: of the frame from which it was seeded.
        seen: poses of all frames to learn from.
    """

    def __init__(self, model: AvatarModel, pose: Pose, camera: Camera, seen: Pose) -> None:
        self.model = model
        self.first = {k: torch.zeros_like(v) for k, v in model.parameters.items()}
        self.second = {k: torch.zeros_like(v) for k, v in model.parameters.items()}
        self.bases_first, self.bases_second = torch.zeros_like(model.bases), torch.zeros_like(model.bases)
        self.network, self.network_grad = _flattened(model.network.net)
        self.network_first, self.network_second = torch.zeros_like(self.network), torch.zeros_like(self.network)
        device = model.device
        self.scale_limit = bounds.scale_limit(model)
        self.hollow, self.teeth, self.depths = Hollow(model), Teeth(model), Depths(model, pose, camera, seen)
        self.drape = Drape(model, self.depths)
        self.relief, self.slim = Relief(model.head, told(seen, pose, camera)), Slim(model)
        self.blendshapes = Blendshapes(model.head, seen.expression)
        self.solid = torch.from_numpy(np.flatnonzero(bounds.part(model, *INTERIOR))).to(device)
        (low, high), steady, aspect = bounds.reach(model)
        self.reach, self.steady, self.aspect = (low.to(device), high.to(device)), steady.to(device), aspect.to(device)
        # Where axes must be alike, no cap lies below what the longest one asks for: the two bounds must agree.
        self.thickness = torch.maximum(bounds.thickness(model), self.scale_limit - self.aspect)
        self.steady[self.hollow.splats] = 0.0
        self.frozen = torch.zeros(len(self.scale_limit), dtype=torch.bool, device=device)
        self._still = torch.zeros(0, dtype=torch.int64, device=device)
        """Indices of these: quicker than a mask."""
        self.tones = bounds.tones(model)
        self.colors = replace(self.tones, low=self.tones.low.clone(), high=self.tones.high.clone())
        self.rates = {k: torch.tensor(v, dtype=torch.float32, device=device) for k, v in RATES.items()}
        self.basis_rates = torch.tensor(BASIS_RATES, dtype=torch.float32, device=device)
        worn = torch.from_numpy(model.head.head.bust_faces(model.binding.corner))
        lids = bounds.lids(model).float()
        self.fading = ((~worn).float().to(device) * (1 + (_LIDS_FADE - 1) * lids))[:, None, None]
        self.steps, self.basis_steps = 0, 0

    @torch.no_grad()
    def splats(self, expression: Tensor, rate: float) -> None:
        """Move per-splat tensors and the head by their gradients; keep places, scales and colours within bounds.

        Args:
            expression: [1, E] of the frame.
        """
        self.steps += 1
        before, pull = self.teeth.moved.clone(), self.model.parameters["mean"].grad
        if pull is not None:
            self.teeth.step(pull, rate, self.steps)
            self.depths.step(self.model.parameters["mean"], pull, self.frozen, rate, self.steps)
        self.blendshapes.step(expression, rate)
        self.relief.step(rate)
        for name in PARAMETERS:
            value = self.model.parameters[name]
            if value.grad is None:
                continue
            columns = value.shape[1] if value.ndim == 2 else 1
            value.grad.view(-1, columns).index_fill_(0, self._still, 0)
            moved = (value, value.grad, self.first[name], self.second[name])
            v, g, m1, m2 = (x.view(-1, columns) for x in moved)
            ops.adam_(v, g, m1, m2, self.rates[name] * rate, self.steps, _BETA1, _BETA2, _EPS)
            value.grad = None
        scale = self.model.parameters["log_scale"]
        self.slim.step(scale, self.model.parameters["quaternion"], rate, self.steps)
        self.drape.step(self.model.parameters["mean"], self.frozen, rate, self.steps)
        torch.minimum(scale, self.scale_limit, out=scale)
        torch.maximum(scale, scale.amax(1, keepdim=True) - self.aspect, out=scale)
        if self.steps % _FLATTEN_EVERY == 0:
            torch.minimum(
                scale, self.thickness - bounds.along_normal(self.model.parameters["quaternion"]).log(), out=scale
            )
        color = self.model.parameters["color"]
        self.colors.clamp(color)
        self.hollow.settle(color, self.steps)
        opacity = self.model.parameters["logit_opacity"]
        opacity[self.solid] = opacity[self.solid].clamp_min(_SOLID)
        mean = self.model.parameters["mean"]
        torch.minimum(torch.maximum(mean, self.reach[0], out=mean), self.reach[1], out=mean)
        self.teeth.seat(mean, before)

    @torch.no_grad()
    def limit(self, hidden: Tensor, low: Tensor, high: Tensor) -> None:
        """From now on splats [N] bool stay as they are, and colours [N, 3] within bounds."""
        self._freeze(hidden)
        low = torch.maximum(low, self.tones.low)
        self.colors = replace(self.tones, low=low, high=torch.maximum(torch.minimum(high, self.tones.high), low))
        for moment in (*self.first.values(), *self.second.values(), self.bases_first, self.bases_second):
            moment[hidden] = 0

    def _freeze(self, hidden: Tensor) -> None:
        self.frozen, self._still = hidden, hidden.cpu().nonzero()[:, 0].to(hidden.device)

    @torch.no_grad()
    def bases(self, gradient: Tensor, weights: Tensor, rate: float) -> None:
        """Move the bases by the rank-one gradient gradient[n, j] * weights[k], and the network by its own."""
        self.basis_steps += 1
        gradient = (gradient * self.steady).index_fill_(0, self._still, 0)
        self.teeth.tint(gradient)
        lr = self.basis_rates * rate
        ops.adam_outer_(
            self.model.bases, self.bases_first, self.bases_second, gradient, weights, lr,
            self.basis_steps, _BETA1, _BETA2, _EPS,
        )  # fmt: skip
        if self.basis_steps % _FADE_EVERY == 0:
            self.model.bases.mul_(1 - self.fading * (_FADE * _FADE_EVERY * rate))
        correct1, correct2 = 1 - _BETA1**self.basis_steps, 1 - _BETA2**self.basis_steps
        gradient, m, v = self.network_grad, self.network_first, self.network_second
        m.mul_(_BETA1).add_(gradient, alpha=1 - _BETA1)
        v.mul_(_BETA2).addcmul_(gradient, gradient, value=1 - _BETA2)
        step = NETWORK_RATE * max(rate, 0.05) / correct1
        self.network.addcdiv_(m, (v / correct2).sqrt_().add_(1e-8), value=-step)
        gradient.zero_()

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything that a resumed run needs."""
        out: dict[str, np.ndarray] = {}
        for name in PARAMETERS:
            out[f"splat.{name}"] = self.model.parameters[name].detach().cpu().numpy()
            out[f"first.{name}"] = self.first[name].cpu().numpy()
            out[f"second.{name}"] = self.second[name].cpu().numpy()
        out["bases"], out["bases.first"], out["bases.second"] = (
            self.model.bases.cpu().numpy(), self.bases_first.cpu().numpy(), self.bases_second.cpu().numpy(),
        )  # fmt: skip
        out["network"], out["network.first"], out["network.second"] = (
            self.network.cpu().numpy(), self.network_first.cpu().numpy(), self.network_second.cpu().numpy(),
        )  # fmt: skip
        out["frozen"] = self.frozen.cpu().numpy()
        out["color.low"], out["color.high"] = self.colors.low.cpu().numpy(), self.colors.high.cpu().numpy()
        out["teeth"] = torch.stack([self.teeth.moved, self.teeth.first, self.teeth.second]).cpu().numpy()
        out["depths"] = torch.stack([self.depths.moved, self.depths.first, self.depths.second]).cpu().numpy()
        out["steps"] = np.array([self.steps, self.basis_steps], np.int64)
        return out | self.head_tensors()

    def head_tensors(self) -> dict[str, np.ndarray]:
        """Those of them that shape the head."""
        return self.relief.tensors() | self.blendshapes.tensors()

    @torch.no_grad()
    def restore(self, tensors: dict[str, np.ndarray]) -> None:
        """Inverse of `tensors`."""

        def put(target: Tensor, name: str) -> None:
            target.copy_(torch.from_numpy(tensors[name]))

        for name in PARAMETERS:
            put(self.model.parameters[name], f"splat.{name}")
            put(self.first[name], f"first.{name}")
            put(self.second[name], f"second.{name}")
        put(self.model.bases, "bases")
        put(self.bases_first, "bases.first")
        put(self.bases_second, "bases.second")
        put(self.network, "network")
        put(self.network_first, "network.first")
        put(self.network_second, "network.second")
        for value, saved in zip((self.teeth.moved, self.teeth.first, self.teeth.second), tensors["teeth"], strict=True):
            value.copy_(torch.from_numpy(saved))
        grids = (self.depths.moved, self.depths.first, self.depths.second)
        for value, saved in zip(grids, tensors["depths"], strict=True):
            value.copy_(torch.from_numpy(saved))
        self.relief.restore(tensors)
        self.blendshapes.restore(tensors)
        self._freeze(torch.from_numpy(tensors["frozen"]).to(self.model.device))
        put(self.colors.low, "color.low")
        put(self.colors.high, "color.high")
        self.steps, self.basis_steps = (int(x) for x in tensors["steps"])


def shaped(head: Head, tensors: dict[str, np.ndarray]) -> Head:
    """The head as the training of `Optimizer.head_tensors` shaped it."""
    return own_blendshapes(relief.shaped(head, tensors), tensors)


def _flattened(net: torch.nn.Module) -> tuple[Tensor, Tensor]:
    """One vector that all parameters of a network are views of, and one for their gradients: few operations a step."""
    parameters = list(net.parameters())
    flat = torch.cat([p.detach().reshape(-1) for p in parameters])
    gradient = torch.zeros_like(flat)
    place = 0
    for p in parameters:
        size = p.numel()
        p.data = flat[place : place + size].view_as(p)
        p.grad = gradient[place : place + size].view_as(p)
        place += size
    return flat, gradient
