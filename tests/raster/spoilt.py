"""Useless numbers for the rasterizer's tests, and what becomes of the splat that has them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import scenes

NAN, INF = float("nan"), float("inf")
ONE = [
    (0, 0.0, 0), (0, NAN, 1), (0, INF, 1), (0, -INF, 1), (0, 1e30, 0), (0, -1e30, 0), (0, 1e-30, 0),
    (1, 0.0, 1), (1, NAN, 1), (1, INF, 1), (1, -INF, 1), (1, 1e30, 0), (1, 1e-20, 0), (1, 1e-35, 1),
    (2, 0.0, 0), (2, NAN, 1), (2, INF, 1), (2, -INF, 1), (2, 1e30, 1), (2, -0.05, 0), (2, 1e-30, 0),
    (3, 0.0, 0), (3, NAN, 1), (3, INF, 1), (3, -INF, 1), (3, 1.0, 0), (3, -1.0, 0), (3, 1e-30, 0),
    (4, 0.0, 0), (4, NAN, 1), (4, INF, 1), (4, -INF, 1), (4, 1e30, 1), (4, -2.0, 0), (4, 1e-30, 0),
]  # fmt: skip
"""Tensor of a free scene (means, quats, scales, opacities, colors), value, and whether the splat is pruned."""


def one(tensor: int, value: float) -> list[Tensor]:
    """Thirty splats, the eighth with `value` throughout one tensor; of its mean, in x alone."""
    tensors = scenes.free(3, 1, 30)
    if tensor == 0:
        tensors[0][0, 7, 0] = value
    else:
        tensors[tensor][0, 7] = value
    return tensors


BAD = [NAN, INF, -INF, 0.0, 1e30, -1e30, 1e-30, 1e38, -1.0]


def scatter(rng: np.random.Generator, tensors: list[Tensor], chance: float) -> None:
    """Spoil up to three numbers in some of the tensors, in place."""
    for t in tensors:
        flat = t.view(-1)
        if rng.random() < chance and len(flat):
            flat[rng.integers(0, len(flat), int(rng.integers(1, 4)))] = float(rng.choice(BAD))


def free(seed: int) -> tuple[list[Tensor], tuple[int, int]]:
    """A tiny scene in which about a third of the numbers are spoilt, and an odd size of picture."""
    rng = np.random.default_rng(seed)
    tensors = scenes.free(seed, 1, int(rng.integers(0, 12)))
    scatter(rng, tensors[:5], 0.5)
    if rng.random() < 0.3:
        tensors[2] = tensors[2] * float(rng.choice([1e30, 1e-30, 1e8, 1e3]))
    if rng.random() < 0.2:
        tensors[3] = tensors[3].round()
    if rng.random() < 0.1:
        tensors[0][..., 2] -= 5
    return tensors, (int(rng.integers(1, 40)), int(rng.integers(1, 40)))


def lone(seed: int) -> list[Tensor]:
    """One splat of any size and opacity."""
    rng = np.random.default_rng(seed)
    tensors = scenes.free(seed, 1, 1)
    tensors[2] = tensors[2] * float(10 ** rng.uniform(-2, 2))
    tensors[3] = torch.full((1, 1), float(rng.choice([0.0, 1.0, rng.uniform()])))
    return tensors


EMPTY = ("none", "behind", "beside", "transparent")


def empty(seed: int, batch: int = 1) -> list[Tensor]:
    """Splats of which none is seen: there are none, or all are behind the camera, beside the picture or transparent."""
    why = EMPTY[seed % len(EMPTY)]
    tensors = scenes.free(seed, batch, 0 if why == "none" else 12)
    if why == "behind":
        tensors[0][..., 2] *= -1
    if why == "beside":
        tensors[0][..., 0] += 50
    if why == "transparent":
        tensors[3] *= 0
    return tensors
