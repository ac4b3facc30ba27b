"""What the network is punished for.

An even L1 on curves never closes the lips (7 to 12 % of bilabials in our trials), so closures and lip-teeth contact
weigh ten times and more, and rare breaths that part the lips fivefold; then sounds that the lips do not make must be
kept from closing them, and silence from moving.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .articulation import GAP, JAW, PUCKER, ROLL_LOWER
from .phonemes import BILABIAL, FIRST_VOWEL, LABIODENTAL, SILENCE
from .vocal import CLASSES

IGNORED = -100
"""Label of frames that do not count."""
_CONSONANT = 0.07
"""Share of the punishment for closing the lips in a vowel that closing them in t, k or s gets: a p sounds much like a
t, and to close for both is better than for neither."""
_BREATH = CLASSES.index("breath")
_CHANNEL = torch.tensor([1.5, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.7, 0.5])


@dataclass(frozen=True)
class Weights:
    """Weight of each term."""

    viseme: float = 0.3
    curve: float = 4.0
    velocity: float = 4.0
    smoothness: float = 0.5
    closure: float = 15.0
    contact: float = 9.0
    rounding: float = 2.0
    breath: float = 4.0
    false_closure: float = 2.0
    stability: float = 1.0
    vocal: float = 0.1


def losses(
    visemes: Tensor, curves: Tensor, classes: Tensor, label: Tensor, target: Tensor, vocal: Tensor, weights: Weights
) -> dict[str, Tensor]:
    """Weighted terms by name, each a scalar.

    Args:
        visemes, curves, classes: the network's output, [B, T, 14], [B, T, 11], [B, T, 6].
        label: [B, T] int64 viseme, IGNORED where the frame does not count.
        target: [B, T, 11] articulators.
        vocal: [B, T] int64 class, IGNORED likewise.
    """
    counted = (label != IGNORED).float()
    total = counted.sum().clamp_min(1)
    emphasis = torch.ones_like(target) * _CHANNEL.to(target.device)
    emphasis[..., GAP] *= 1 + weights.closure * ((label == BILABIAL) & (target[..., GAP] < 0.2)).float()
    touching = (label == LABIODENTAL) & (target[..., ROLL_LOWER] > 0.25)
    emphasis[..., ROLL_LOWER] *= 1 + weights.contact * touching.float()
    emphasis[..., 2 : PUCKER + 1] *= 1 + weights.rounding * (target[..., 2 : PUCKER + 1] > 0.4).float()
    breathing = (vocal == _BREATH) & (target[..., GAP] > 0.3)
    emphasis[..., [JAW, GAP]] *= (1 + weights.breath * breathing.float())[..., None]
    error = ((curves - target).abs() * emphasis).mean(-1)
    both = counted[:, 1:] * counted[:, :-1]
    speed = (curves[:, 1:] - curves[:, :-1] - target[:, 1:] + target[:, :-1]).abs().mean(-1)
    # Of jaw and lips also how the speed changes: answers frame by frame flicker, which an L1 of speed hardly minds.
    made, true = curves[..., [JAW, GAP]], target[..., [JAW, GAP]]
    bend = (made - true).diff(n=2, dim=1).abs().mean(-1)
    three = both[:, 1:] * both[:, :-1]
    vowel = (label >= FIRST_VOWEL).float()
    tongue = (label != BILABIAL) & (label != LABIODENTAL) & (label != SILENCE) & (label < FIRST_VOWEL)
    parted = counted * (vowel + _CONSONANT * tongue.float()) * (target[..., GAP] > 0.25).float()
    dip = F.relu(torch.minimum(0.7 * target[..., GAP], torch.full_like(target[..., GAP], 0.25)) - curves[..., GAP])
    quiet = counted * ((label == SILENCE) & (target[..., GAP] < 0.02)).float()
    quiet_error = curves[..., GAP] + 0.5 * curves[..., JAW]
    return {
        "viseme": weights.viseme
        * F.cross_entropy(visemes.flatten(0, 1), label.flatten(), ignore_index=IGNORED, label_smoothing=0.05),
        "curve": weights.curve * (error * counted).sum() / total,
        "velocity": weights.velocity * (speed * both).sum() / both.sum().clamp_min(1),
        "smoothness": weights.smoothness * (bend * three).sum() / three.sum().clamp_min(1),
        "false_closure": weights.false_closure * 10 * (dip * parted).sum() / total,
        "stability": weights.stability * (quiet_error * quiet).sum() / total,
        "vocal": weights.vocal * F.cross_entropy(classes.flatten(0, 1), vocal.flatten(), ignore_index=IGNORED),
    }
