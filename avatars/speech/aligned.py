"""A tracked clip beside its sound on the network's clock, and the offset between the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.data import Motion
from avatars.errors import InputError

from . import metrics
from .articulation import FUNNEL, GAP, PUCKER, STRETCH, from_arkit
from .condition import condition
from .engines.utterance import RATE
from .runtime import Runtime
from .score import run

HZ = 50
SHORTEST = 2.0
"""s of sound and track in common that are needed."""
MOST_OFFSET = 0.2
_TRUSTED = 0.3
"""Correlation of lips and sound below which an offset is not believed."""


@dataclass
class Aligned:
    """T frames at 50 Hz, centred at (k + 1/2) / 50 s of the sound."""

    pcm: np.ndarray
    """[T * 320] float32, 16 kHz."""
    curves: np.ndarray
    """[T, 11] tracked articulators."""
    known: np.ndarray
    """[T] bool: the track covers this frame."""
    offset: float
    """s by which the picture came late; it was taken off."""
    offset_correlation: float
    """Correlation at that offset; below 0.3 the offset is taken to be 0."""

    def __len__(self) -> int:
        return len(self.curves)


def resampled(motion: Motion, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([n, 52] coefficients at `times` [n], [n] whether a tracked frame lies within 60 ms)."""
    index = np.clip(np.searchsorted(motion.times, times), 1, len(motion.times) - 1)
    before, after = motion.times[index - 1], motion.times[index]
    share = np.clip((times - before) / np.maximum(after - before, 1e-9), 0, 1)[:, None]
    arkit = (1 - share) * motion.arkit[index - 1] + share * motion.arkit[index]
    near = np.minimum(np.abs(times - before), np.abs(after - times)) <= 0.06
    return arkit.astype(np.float32), near


def estimate_offset(runtime: Runtime, pcm: np.ndarray, motion: Motion) -> tuple[float, float]:
    """(s by which the track's lips come after the sound's, correlation there), searched within +-200 ms.

    What the network hears is compared with what was tracked, in the lip gap and in spread against rounded lips, which
    no breath moves. Correlation with loudness alone is biased, since the jaw leads the voice.
    """
    frames = len(pcm) * HZ // RATE
    runtime.set_condition(condition())  # the usual look-ahead, which `run` takes off
    _, heard = run(runtime, pcm)
    arkit, known = resampled(motion, (np.arange(frames) + 0.5) / HZ)
    first, last = _span(known)
    seen, made = (_signs(c[first:last]) for c in (from_arkit(arkit), heard))
    score, lag = metrics.best_offset(seen, made, HZ, MOST_OFFSET)
    return lag, score


def _signs(curves: np.ndarray) -> np.ndarray:
    """[T, 2] lip gap, and spread against rounded lips, of articulators [T, 11]."""
    spread = curves[:, STRETCH] - curves[:, PUCKER] - curves[:, FUNNEL]
    return np.stack([curves[:, GAP], spread], 1)


def _span(known: np.ndarray) -> tuple[int, int]:
    index = np.flatnonzero(known)
    if len(index) < SHORTEST * HZ:
        fix = f"Give a clip with at least {SHORTEST:.0f} s of speech and tracked frames"
        raise InputError(f"Only {len(index) / HZ:.1f} s of sound and track overlap", fix=fix)
    return int(index[0]), int(index[-1]) + 1


def align(runtime: Runtime, pcm: np.ndarray, motion: Motion) -> Aligned:
    """Put a track on the sound's clock, offset taken off.

    Args:
        pcm: [samples] float32 mono 16 kHz, sample 0 at the track's time 0.

    Raises:
        InputError: too little in common.
        FileFormatError: the motion is not valid.
    """
    motion.validate()
    if len(motion.times) < 2:
        raise InputError("The track has fewer than two frames")
    frames = len(pcm) * HZ // RATE
    times = (np.arange(frames) + 0.5) / HZ
    _span(resampled(motion, times)[1])
    offset, score = estimate_offset(runtime, pcm, motion)
    used = offset if score >= _TRUSTED else 0.0
    arkit, known = resampled(motion, times + used)
    _span(known)
    return Aligned(pcm[: frames * RATE // HZ], from_arkit(arkit), known, used, score)
