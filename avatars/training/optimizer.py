"""Adam for everything the image gradient moves, with its moments in plain sight so that a checkpoint is complete."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..raster import ops
from ..splats.model import PARAMETERS, AvatarModel

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
PLATE_RATE = 4e-3
_BETA1, _BETA2 = 0.9, 0.99
_EPS = 1e-7
"""Against gradients of a mean over pixels. Adam's steps are blind to the size of a gradient; without a floor, splats
that shine through at a rim of one frame wander at full speed, and speckle the first side view."""
_MAX_SCALE, _MAX_LOG_ASPECT = 0.012, 2.3
"""Largest standard deviation, m, and log of the largest ratio between a splat's axes."""
_FAR, _EYE_REACH = 3.0, 0.7
"""How far a splat may leave its seat on the skin and on an eyeball, in extents."""


class Optimizer:
    """Moves the tensors of an AvatarModel in place."""

    def __init__(self, model: AvatarModel) -> None:
        self.model = model
        self.first = {k: torch.zeros_like(v) for k, v in model.parameters.items()}
        self.second = {k: torch.zeros_like(v) for k, v in model.parameters.items()}
        self.bases_first, self.bases_second = torch.zeros_like(model.bases), torch.zeros_like(model.bases)
        self.network, self.network_grad = _flattened(model.network.net)
        self.network_first, self.network_second = torch.zeros_like(self.network), torch.zeros_like(self.network)
        self.scale_limit = (_MAX_SCALE / torch.from_numpy(model.binding.extent)).log()[:, None]
        self.reach, self.steady = _reach(model)
        self.steps, self.basis_steps = 0, 0

    @torch.no_grad()
    def splats(self, rate: float) -> None:
        """Move per-splat tensors by their gradients, then keep places, scales and colours within bounds."""
        self.steps += 1
        for name in PARAMETERS:
            value = self.model.parameters[name]
            if value.grad is None:
                continue
            columns = value.shape[1] if value.ndim == 2 else 1
            lr = torch.tensor(RATES[name], dtype=torch.float32) * rate
            ops.adam_(
                value.view(-1, columns), value.grad.reshape(-1, columns), self.first[name].view(-1, columns),
                self.second[name].view(-1, columns), lr, self.steps, _BETA1, _BETA2, _EPS,
            )  # fmt: skip
            value.grad = None
        scale = self.model.parameters["log_scale"]
        torch.minimum(scale, self.scale_limit, out=scale)
        torch.maximum(scale, scale.amax(1, keepdim=True) - _MAX_LOG_ASPECT, out=scale)
        self.model.parameters["color"].clamp_(0, 1)
        mean = self.model.parameters["mean"]
        torch.minimum(torch.maximum(mean, self.reach[0], out=mean), self.reach[1], out=mean)

    @torch.no_grad()
    def bases(self, gradient: Tensor, weights: Tensor, rate: float) -> None:
        """Move the bases by the rank-one gradient gradient[n, j] * weights[k], and the network by its own."""
        self.basis_steps += 1
        gradient = gradient * self.steady
        lr = torch.tensor(BASIS_RATES, dtype=torch.float32) * rate
        ops.adam_outer_(
            self.model.bases, self.bases_first, self.bases_second, gradient, weights, lr,
            self.basis_steps, _BETA1, _BETA2, _EPS,
        )  # fmt: skip
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
            out[f"splat.{name}"] = self.model.parameters[name].detach().numpy()
            out[f"first.{name}"] = self.first[name].numpy()
            out[f"second.{name}"] = self.second[name].numpy()
        out["bases"], out["bases.first"], out["bases.second"] = (
            self.model.bases.numpy(), self.bases_first.numpy(), self.bases_second.numpy(),
        )  # fmt: skip
        out["network"], out["network.first"], out["network.second"] = (
            self.network.numpy(), self.network_first.numpy(), self.network_second.numpy(),
        )  # fmt: skip
        out["steps"] = np.array([self.steps, self.basis_steps], np.int64)
        return out

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
        self.steps, self.basis_steps = (int(x) for x in tensors["steps"])


def _reach(model: AvatarModel) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Bounds of the mean [N, 3] in extents, and a mask [N, 9] of what bases may move.

    Splats on the skin stay near it, else they show beside it from the side. Those of the eyeballs stay on or under its
    surface, and no basis moves them: a highlight that hovers in front of the eye would shine through closed lids.
    """
    mean = model.parameters["mean"].detach()
    low, high = torch.full_like(mean, -_FAR), torch.full_like(mean, _FAR)
    fill = mean.abs().amax(1) > 0  # surface splats start in place, fill does not
    low[fill], high[fill] = -np.inf, np.inf
    head, corner = model.head.head, model.binding.corner
    eye = torch.from_numpy((head.regions["eyeball_l"] | head.regions["eyeball_r"])[corner].all(1))
    low[eye], high[eye] = -_EYE_REACH, _EYE_REACH
    high[eye, 2] = 0.0
    steady = torch.ones(len(mean), 9)
    steady[eye, :6] = 0.0
    return (low, high), steady


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
