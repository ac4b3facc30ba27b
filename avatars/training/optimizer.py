"""Adam for everything the image gradient moves, with its moments in plain sight so that a checkpoint is complete."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..raster import ops
from ..splats.model import PARAMETERS, AvatarModel
from ..splats.seeding import INTERIOR

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
_MAX_SCALE, _MAX_LOG_ASPECT, _MAX_LOG_ASPECT_INNER = 0.012, 2.3, 1.1
"""Largest standard deviation, m, and log of the largest ratio between a splat's axes; less on eyeballs, teeth and
tongue: a needle that seems to be a highlight sticks out as a spike when they turn."""
_MAX_EXTENTS = (1.4, 2.5)
"""The same in extents, on the skin and in hair and clothes: a few huge ones blur every outline from the side."""
_THICKNESS = (0.4, 1.0)
"""Largest reach of a splat's axes along the normal, in extents: on the skin, and in hair and clothes."""
_FLATTEN_EVERY = 4
_FAR, _LID_REACH, _EYE_REACH = 1.5, 1.2, 0.7
"""How far a splat may leave its seat on the skin, on lids and inside the mouth, and on an eyeball, in extents."""
_FARTHEST = (0.02, 0.02, 0.006)
"""The same for all of them in m, along the skin and along its normal: sparse splats have large extents."""
_SOLID = 1.5
"""Least logit of the opacity inside the mouth: what a narrow opening hardly shows is fog in a wide one."""


class Optimizer:
    """Moves the tensors of an AvatarModel in place."""

    def __init__(self, model: AvatarModel) -> None:
        self.model = model
        self.first = {k: torch.zeros_like(v) for k, v in model.parameters.items()}
        self.second = {k: torch.zeros_like(v) for k, v in model.parameters.items()}
        self.bases_first, self.bases_second = torch.zeros_like(model.bases), torch.zeros_like(model.bases)
        self.network, self.network_grad = _flattened(model.network.net)
        self.network_first, self.network_second = torch.zeros_like(self.network), torch.zeros_like(self.network)
        device = model.device
        self.scale_limit = _scale_limit(model)
        self.solid = torch.from_numpy(np.flatnonzero(_part(model, *INTERIOR))).to(device)
        (low, high), steady, aspect = _reach(model)
        self.reach, self.steady, self.aspect = (low.to(device), high.to(device)), steady.to(device), aspect.to(device)
        # Where axes must be alike, no cap lies below what the longest one asks for: the two bounds must agree.
        self.thickness = torch.maximum(_thickness(model), self.scale_limit - self.aspect)
        self.frozen = torch.zeros(len(self.scale_limit), dtype=torch.bool, device=device)
        color = model.parameters["color"].detach()
        self.color_low, self.color_high = torch.zeros_like(color), torch.ones_like(color)
        self.rates = {k: torch.tensor(v, dtype=torch.float32, device=device) for k, v in RATES.items()}
        self.basis_rates = torch.tensor(BASIS_RATES, dtype=torch.float32, device=device)
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
            value.grad.view(-1, columns).masked_fill_(self.frozen[:, None], 0)
            lr = self.rates[name] * rate
            ops.adam_(
                value.view(-1, columns), value.grad.reshape(-1, columns), self.first[name].view(-1, columns),
                self.second[name].view(-1, columns), lr, self.steps, _BETA1, _BETA2, _EPS,
            )  # fmt: skip
            value.grad = None
        scale = self.model.parameters["log_scale"]
        torch.minimum(scale, self.scale_limit, out=scale)
        torch.maximum(scale, scale.amax(1, keepdim=True) - self.aspect, out=scale)
        if self.steps % _FLATTEN_EVERY == 0:
            torch.minimum(scale, self.thickness - along_normal(self.model.parameters["quaternion"]).log(), out=scale)
        color = self.model.parameters["color"]
        torch.minimum(torch.maximum(color, self.color_low, out=color), self.color_high, out=color)
        opacity = self.model.parameters["logit_opacity"]
        opacity[self.solid] = opacity[self.solid].clamp_min(_SOLID)
        mean = self.model.parameters["mean"]
        torch.minimum(torch.maximum(mean, self.reach[0], out=mean), self.reach[1], out=mean)

    @torch.no_grad()
    def limit(self, hidden: Tensor, low: Tensor, high: Tensor) -> None:
        """From now on splats [N] bool stay as they are, and colours [N, 3] within bounds."""
        self.frozen, self.color_low, self.color_high = hidden, low.clamp(0, 1), high.clamp(0, 1)
        for moment in (*self.first.values(), *self.second.values(), self.bases_first, self.bases_second):
            moment[hidden] = 0

    @torch.no_grad()
    def bases(self, gradient: Tensor, weights: Tensor, rate: float) -> None:
        """Move the bases by the rank-one gradient gradient[n, j] * weights[k], and the network by its own."""
        self.basis_steps += 1
        gradient = gradient * self.steady
        gradient.masked_fill_(self.frozen[:, None], 0)
        lr = self.basis_rates * rate
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
        out["color.low"], out["color.high"] = self.color_low.cpu().numpy(), self.color_high.cpu().numpy()
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
        put(self.frozen, "frozen")
        put(self.color_low, "color.low")
        put(self.color_high, "color.high")
        self.steps, self.basis_steps = (int(x) for x in tensors["steps"])


def _reach(model: AvatarModel) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """Bounds of the mean [N, 3] in extents, a mask [N, 9] of what bases may move, and limits [N, 1] of log aspect.

    Splats on the skin stay near it, else they show beside it from the side. Those of the eyeballs stay on or under its
    surface, and no basis moves them: a highlight that hovers in front of the eye would shine through closed lids. What
    lies in the mouth does not bend either: what a narrow opening taught would smear in a wide one.
    """
    mean = model.parameters["mean"].detach().cpu()
    low, high = torch.full_like(mean, -_FAR), torch.full_like(mean, _FAR)
    fill = _fill(model).cpu()

    eye, lid, inner = (
        torch.from_numpy(_part(model, *names)) for names in (("eyeball_l", "eyeball_r"), ("eyelids",), INTERIOR)
    )
    low[lid | inner], high[lid | inner] = -_LID_REACH, _LID_REACH
    low[eye], high[eye] = -_EYE_REACH, _EYE_REACH
    high[eye, 2] = 0.0
    farthest = torch.tensor(_FARTHEST) / torch.from_numpy(model.binding.extent)[:, None]
    low, high = torch.maximum(low, -farthest), torch.minimum(high, farthest)
    low[fill], high[fill] = -np.inf, np.inf
    steady = torch.ones(len(mean), 9)
    steady[eye | inner, :6] = 0.0
    aspect = torch.where(eye | inner, _MAX_LOG_ASPECT_INNER, _MAX_LOG_ASPECT)[:, None]
    return (low, high), steady, aspect


def _part(model: AvatarModel, *names: str) -> np.ndarray:
    """[N] bool: splats on these regions of the head, those that it has."""
    head = model.head.head
    mask = np.logical_or.reduce([head.regions[name] for name in names if name in head.regions])
    return mask[model.binding.corner].all(1)


def _fill(model: AvatarModel) -> Tensor:
    """[N] bool: splats of hair and clothes beside the mesh; before training, those on its skin are in their seats."""
    return model.parameters["mean"].detach().abs().amax(1) > 0


def _scale_limit(model: AvatarModel) -> Tensor:
    """[N, 1] log of the largest standard deviation, in extents."""
    fill = _fill(model)[:, None]
    most = torch.where(fill, _MAX_EXTENTS[1], _MAX_EXTENTS[0])
    extent = torch.from_numpy(model.binding.extent)[:, None].to(fill.device)
    return torch.minimum(_MAX_SCALE / extent, most).log()


def _thickness(model: AvatarModel) -> Tensor:
    """[N, 1] log of how far each axis of a splat may reach along the normal of the skin, in extents.

    One camera does not see depth: a needle that points at it looks like a dot, and like a needle from the side.
    """
    fill = _fill(model)
    reach = torch.tensor(_THICKNESS, device=fill.device).log()
    return torch.where(fill, reach[1], reach[0])[:, None]


def along_normal(quaternion: Tensor) -> Tensor:
    """[N, 3] how much of each axis lies along z, in (0, 1]."""
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=1).unbind(1)
    along = torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], 1)
    return along.abs_().clamp_(1e-3, 1)


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
