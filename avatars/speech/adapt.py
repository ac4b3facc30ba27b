"""The rungs of personalisation, in PyTorch: affine, style vector, low-rank additions with replay.

Low-rank additions follow Hu et al. 2021 ("LoRA"), on the causal convolutions and the output layer. Without replay of
other speakers they forget lip closures within seconds of data (measured: 95 % to 62 %), so half of every step
replays synthetic speech, with the base network as the teacher.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .aligned import HZ, Aligned
from .articulation import ARTICULATORS, GAP, REACH
from .condition import DEFAULT_LOOK_AHEAD, SIZE, STYLE, condition
from .engines.utterance import RATE
from .features import FrontEnd
from .inhale import Inhale, inhaled
from .network import RECEPTIVE, Net, from_arrays
from .style import Style

CLOSED_SHARE, OPEN_SHARE = 0.15, 0.4
"""Lips are closed below the one and open above the other share of the 95th percentile of their gap."""
_SHUT, _PARTED = 0.1, 0.4
"""Shares of it that the prediction must fall below where the tracked lips are closed, and exceed where they are open:
the one without the other teaches lips that never part, or never meet."""
_KEPT = 0.12
"""Lip gap of the network on replayed speech below which a frame must stay closed."""
_STILL = 0.012
"""Articulators whose track moves less than this (deviation) were not seen: they are left as they are."""
_WINDOW = 250
_STEPS = (100, 300)
"""Fewest and most steps of the low-rank additions, one for each second of the clip."""
RANK = {"conv": 4, "head": 8}
_CHANNEL = torch.tensor([1.5, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.7, 0.5])


@dataclass
class Task:
    """What the rungs learn from."""

    inputs: Tensor
    """[1, T + look-ahead, 86], with that much silence at the end."""
    target: Tensor
    """[T, 11]."""
    weight: Tensor
    """[T] 1 for frames to learn from, 0 for others."""
    moving: Tensor
    """[11] 1 for articulators that the track sees."""
    wide: float
    """95th percentile of the lip gap in the frames to learn from."""


def task(clip: Aligned, use: np.ndarray, look_ahead: int = DEFAULT_LOOK_AHEAD) -> Task:
    """Training material: the clip's frames where `use` [T] is true."""
    ending = np.zeros((look_ahead + 1) * RATE // 50, np.float32)
    inputs = FrontEnd()(np.concatenate([clip.pcm, ending]))[: len(clip) + look_ahead]
    chosen = clip.curves[use & clip.known]
    moving = (chosen.std(0) > _STILL).astype(np.float32) if len(chosen) else np.zeros(len(ARTICULATORS), np.float32)
    weight = (use & clip.known).astype(np.float32)
    wide = float(np.percentile(chosen[:, GAP], 95)) if len(chosen) else 0.0
    heard, target, weight, moving = (
        torch.from_numpy(np.ascontiguousarray(a)) for a in (inputs[None], clip.curves, weight, moving)
    )
    return Task(heard, target, weight, moving, max(wide, 1e-3))


class _LowRank(nn.Module):
    """weight + up @ down."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, *weight.shape[1:]) / np.sqrt(weight[0].numel()))
        self.up = nn.Parameter(torch.zeros(len(weight), rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + torch.tensordot(self.up, self.down, 1)


class Learner(nn.Module):
    """The network with a style on top that can learn."""

    def __init__(self, weights: Mapping[str, np.ndarray], style: Style) -> None:
        super().__init__()
        self.net: Net = from_arrays(dict(weights))
        self.net.requires_grad_(False)
        self.vector = nn.Parameter(torch.from_numpy(style.vector.copy()))
        self.log_gain = nn.Parameter(torch.from_numpy(np.log(np.maximum(style.gain, 1e-3)).astype(np.float32)))
        self.bias = nn.Parameter(torch.from_numpy(style.bias.copy()))

    def raw(self, inputs: Tensor, look_ahead: int = DEFAULT_LOOK_AHEAD) -> Tensor:
        """[T, 11] articulators before the affine map, look-ahead taken off."""
        return self.heard(inputs, look_ahead)[1]

    def heard(self, inputs: Tensor, look_ahead: int) -> tuple[Tensor, Tensor]:
        """(viseme logits [T, 14], `raw`)."""
        fixed = torch.from_numpy(condition(look_ahead=look_ahead))
        vector = torch.cat([self.vector, fixed[STYLE:]])[None]
        assert vector.shape[1] == SIZE
        visemes, curves, classes = self.net(inputs, vector)
        share = Inhale()(inputs[0].numpy(), classes[0].detach().numpy())
        breath = torch.from_numpy(share[:, None] * inhaled())
        return visemes[0, look_ahead:], torch.maximum(curves[0], breath)[look_ahead:]

    def shape(self, curves: Tensor) -> Tensor:
        """As `Style.shape`."""
        gain = self.log_gain.clamp(-1.6, 1.1).exp()
        bias = self.bias.clamp(-0.2, 0.3)
        gap = curves[:, GAP : GAP + 1]
        out = curves * gain + bias * (gap / 0.1).clamp(max=1)
        own = gap * gain[GAP] + bias[GAP] * (gap / 0.3).clamp(max=1)
        out = torch.cat([out[:, :GAP], own, out[:, GAP + 1 :]], 1).clamp(0, 1.5)
        most = (out @ torch.from_numpy(REACH)).clamp_min(0)
        return torch.cat([out[:, :GAP], torch.minimum(out[:, GAP], most)[:, None], out[:, GAP + 1 :]], 1)

    def add_low_rank(self, generator: torch.Generator) -> list[nn.Parameter]:
        """Give the convolutions and the head low-rank additions; returns their parameters."""
        added: list[nn.Parameter] = []
        layers = [(conv, RANK["conv"]) for conv in self.net.convs] + [(self.net.head, RANK["head"])]
        for layer, rank in layers:
            module = _LowRank(layer.weight, rank)  # type: ignore[arg-type]
            with torch.no_grad():
                module.down.normal_(generator=generator).div_(float(np.sqrt(layer.weight[0].numel())))  # type: ignore[index]
            parametrize.register_parametrization(layer, "weight", module)
            added += list(module.parameters())
        return added

    def style(self, base: Style) -> Style:
        """What was learned."""
        low_rank: dict[str, np.ndarray] = {}
        for name, module in self.net.named_modules():
            if isinstance(module, _LowRank):
                layer = name.split(".parametrizations.")[0]
                low_rank[f"{layer}.weight.down"] = module.down.detach().numpy().copy()
                low_rank[f"{layer}.weight.up"] = module.up.detach().numpy().copy()
        gain = self.log_gain.detach().clamp(-1.6, 1.1).exp().numpy()
        bias = self.bias.detach().clamp(-0.2, 0.3).numpy().copy()
        return replace(base, vector=self.vector.detach().numpy().copy(), gain=gain, bias=bias, low_rank=low_rank)


def lesson_loss(made: Tensor, lesson: Task) -> Tensor:
    """Weighted L1 with speed, on articulators that the track sees; lips that meet and part where they are seen to."""
    error = ((made - lesson.target).abs() * _CHANNEL * lesson.moving).mean(1)
    both = lesson.weight[1:] * lesson.weight[:-1]
    speed = (made[1:] - made[:-1] - lesson.target[1:] + lesson.target[:-1]).abs() * lesson.moving
    total = lesson.weight.sum().clamp_min(1)
    even = 4 * (error * lesson.weight).sum() / total + 2 * (speed.mean(1) * both).sum() / total
    gap, seen = made[:, GAP] / lesson.wide, lesson.target[:, GAP] / lesson.wide
    closed, opened = (seen < CLOSED_SHARE) * lesson.weight, (seen > OPEN_SHARE) * lesson.weight
    ajar = ((gap - seen.clamp_min(_SHUT)).clamp_min(0) * closed).sum() / closed.sum().clamp_min(5)
    narrow = ((_PARTED - gap).clamp_min(0) * opened).sum() / opened.sum().clamp_min(5)
    return even + 3 * (ajar + narrow)


def _window(lesson: Task, generator: torch.Generator) -> tuple[Tensor, Task]:
    """(inputs with the past that they need, the frames after it) of a random part of the clip, 5 s at most."""
    frames = len(lesson.target)
    start = int(torch.randint(0, max(frames - _WINDOW, 0) + 1, (1,), generator=generator))
    end = min(start + _WINDOW, frames)
    inputs = lesson.inputs[:, max(start - RECEPTIVE, 0) : end + DEFAULT_LOOK_AHEAD]
    return inputs, Task(inputs, lesson.target[start:end], lesson.weight[start:end], lesson.moving, lesson.wide)


def learn(
    rung: str, weights: Mapping[str, np.ndarray], style: Style, lesson: Task, replay: Tensor | None, seed: int = 0
) -> Style:
    """The style after one rung ('affine', 'vector' or 'low_rank') on top of `style`.

    Args:
        replay: [R, F, 86] inputs of other speakers, for 'low_rank'.
    """
    generator = torch.Generator().manual_seed(seed)
    learner = Learner(weights, style)
    seen, seconds = lesson.moving, float(lesson.weight.sum()) / HZ
    gain, bias = learner.log_gain.detach().clone(), learner.bias.detach().clone()
    if rung == "affine":
        parameters, steps, rate = [learner.log_gain, learner.bias], 200, 0.02
    elif rung == "vector":
        parameters, steps, rate = [learner.vector, learner.log_gain, learner.bias], 80, 0.03
    else:
        steps = int(np.clip(seconds, *_STEPS))
        parameters, rate = learner.add_low_rank(generator), 3e-3
    teacher = Learner(weights, style).eval() if rung == "low_rank" and replay is not None else None
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=0.02 if rung == "low_rank" else 0.0)
    with torch.no_grad():
        fixed = learner.raw(lesson.inputs) if rung == "affine" else None
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / steps)
        if fixed is not None:
            loss = lesson_loss(learner.shape(fixed), lesson)
        else:
            heard, part = _window(lesson, generator)
            loss = lesson_loss(learner.shape(learner.raw(heard)[-len(part.target) :]), part)
        # Pull towards the style so far, the harder the shorter the clip: what it does not show should not change.
        moved = (learner.log_gain - gain).square().sum() + (learner.bias - bias).square().sum()
        loss = loss + 0.1 * moved / max(seconds, 1.0)
        loss = loss + 0.002 * learner.vector.square().sum()
        if teacher is not None and replay is not None:
            pick = int(torch.randint(0, len(replay), (1,), generator=generator))
            with torch.no_grad():
                truth = teacher.shape(teacher.raw(replay[pick : pick + 1]))
            made = learner.shape(learner.raw(replay[pick : pick + 1]))
            emphasis = torch.ones_like(truth)
            emphasis[:, GAP] += 9 * (truth[:, GAP] < _KEPT)
            loss = loss + 4 * ((made - truth).abs() * emphasis).mean()
        optimizer.zero_grad()
        loss.backward()
        if rung != "low_rank":
            for parameter in (learner.log_gain, learner.bias):
                if parameter.grad is not None:
                    parameter.grad *= seen
        optimizer.step()
    return learner.style(style)
