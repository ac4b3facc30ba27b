"""How many steps of our training fit into some minutes: a short pilot tells what a step costs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from avatars.raster import ops
from avatars.training.loop import Trainer
from avatars.training.presets import Preset

_PILOT = 160
_WARM = 3
"""Steps until caches are filled."""
_RARE = 5.0
"""Times the usual cost of its phase, beyond which a step did something that a run does once."""
_WINDOW = 12
_SAFE = 0.97
"""What saving and first impressions leave of the time."""
_FEWEST = 100


@dataclass(frozen=True)
class Budget:
    """A number of steps and what it stands for."""

    iterations: int
    processor: float
    """s of processor time."""
    cores: float
    """Processor seconds per second of an idle machine's clock."""


def within(prepared: Callable[[Preset], Trainer], preset: Preset, minutes: float, cores: float | None = None) -> Budget:
    """The steps that take some minutes on a machine that has nothing else to do.

    A schedule is made of shares of the run, so a short run has the same mix of cheap and of dear steps as a long one.

    Args:
        prepared: makes a training that is about to begin.
        minutes: by the clock.
        cores: processor seconds per second; what the pilot reaches in its quietest moment if None.
    """
    shop = prepared(replace(preset, iterations=_PILOT))
    clock, used = np.zeros(_PILOT), np.zeros(_PILOT)
    for i in range(_PILOT):
        started, before = time.perf_counter(), time.process_time()
        with ops.native_threads():
            shop.step()
        clock[i], used[i] = time.perf_counter() - started, time.process_time() - before
    if cores is None:
        ratio = _sums(used[_WARM:]) / _sums(clock[_WARM:])
        cores = float(np.clip(ratio.max(), 1, torch.get_num_threads()))
    processor = 60 * minutes * cores
    each, once = costs(used, [preset.refine_from, preset.bases_from, preset.coarse])
    return Budget(max(_FEWEST, int((_SAFE * processor - once) / each)), processor, cores)


def costs(used: np.ndarray, borders: list[float]) -> tuple[float, float]:
    """(seconds per step, seconds spent once) of a run's steps [n].

    Args:
        borders: shares of the run at which steps begin to do something else.
    """
    edges = sorted({0, len(used), *(int(share * len(used)) for share in borders)})
    total = once = 0.0
    for low, high in itertools.pairwise(edges):
        part = used[max(low, _WARM) : high]
        if not len(part):
            continue
        rare = part > _RARE * np.median(part)
        total += float(part[~rare].mean()) * (high - low)
        once += float((part[rare] - np.median(part)).sum())
    return total / len(used), once


def _sums(values: np.ndarray) -> np.ndarray:
    return np.convolve(values, np.ones(_WINDOW), "valid")
