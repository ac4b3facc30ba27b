"""The network in PyTorch, for training: causal dilated convolutions, modulated by the condition (FiLM).

Inputs [B, T, 86] at 50 Hz and a condition [B, 37] give, for each frame, logits of 14 visemes, 11 articulators in
[0, 1.5] and logits of 6 vocal classes. `runtime.py` computes the same in NumPy.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .articulation import ARTICULATORS
from .condition import SIZE
from .features import INPUTS
from .phonemes import VISEMES
from .vocal import CLASSES

CHANNELS = 128
DILATIONS = (1, 2, 4, 8, 1, 2, 4, 8)
KERNEL = 3
MODULATED = (1, 3, 5, 7)
"""Layers that the condition scales and shifts."""
OUTPUTS = len(VISEMES) + len(ARTICULATORS) + len(CLASSES)
CURVE_RANGE = 1.5
RECEPTIVE = 1 + sum((KERNEL - 1) * d for d in DILATIONS)
"""Frames of past that one output sees: 61, or 1.2 s."""


class Net(nn.Module):
    """See the module's text. `encoder` features of another model can replace the front end: pass their width."""

    def __init__(self, inputs: int = INPUTS, channels: int = CHANNELS) -> None:
        super().__init__()
        self.entry = nn.Linear(inputs, channels)
        self.norm = nn.LayerNorm(channels)
        self.convs = nn.ModuleList(nn.Conv1d(channels, channels, KERNEL, dilation=d) for d in DILATIONS)
        self.film = nn.Linear(SIZE, 2 * channels * len(MODULATED))
        self.head = nn.Linear(channels, OUTPUTS)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(viseme logits [B, T, 14], articulators [B, T, 11], class logits [B, T, 6]) of [B, T, 86] and [B, 37]."""
        h = self.norm(F.silu(self.entry(x)))
        film = self.film(condition).view(len(x), len(MODULATED), 2, 1, -1)
        count = h.shape[1]
        for i, (conv, dilation) in enumerate(zip(self.convs, DILATIONS, strict=True)):
            # One matrix product for all taps: a third quicker on processors than a convolution over the last axis.
            past = F.pad(h, (0, 0, (KERNEL - 1) * dilation, 0))
            taps = torch.cat([past[:, k * dilation : k * dilation + count] for k in range(KERNEL)], -1)
            weight, bias = cast(nn.Conv1d, conv).weight, cast(nn.Conv1d, conv).bias
            y = F.linear(taps, weight.transpose(1, 2).flatten(1), bias)
            if i in MODULATED:
                k = MODULATED.index(i)
                y = y * (1 + film[:, k, 0]) + film[:, k, 1]
            h = h + 0.5 * F.silu(y)
        with torch.autocast(h.device.type, enabled=False):  # the answer itself in full precision
            out = self.head(h.float())
        visemes, curves, classes = out.split([len(VISEMES), len(ARTICULATORS), len(CLASSES)], -1)
        return visemes, CURVE_RANGE * torch.sigmoid(curves), classes


def arrays(net: nn.Module) -> dict[str, np.ndarray]:
    """Parameters by name, as float32 arrays."""
    return {name: value.detach().cpu().numpy().astype(np.float32) for name, value in net.state_dict().items()}


def from_arrays(tensors: dict[str, np.ndarray]) -> Net:
    """A network with these parameters."""
    net = Net(tensors["entry.weight"].shape[1], tensors["entry.weight"].shape[0])
    net.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in tensors.items()})
    return net
