"""Measures of a speaking face. NumPy; curves are at 50 Hz unless a rate is given.

Definitions are fixed here and carry a version, since published ones differ between papers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .articulation import MOUTH
from .articulation import lip_gap as arkit_gap
from .engines.utterance import Segment
from .phonemes import BILABIAL, FIRST_VOWEL, SILENCE

VERSION = 2
CLOSED_SHARE = 0.10
"""Lips count as closed below this share of the track's 95th percentile of the gap."""
BLINK = 0.5
"""A blink is where the mean of both lids exceeds this."""


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r of two [T] curves; 0 where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / scale) if scale > 1e-9 else 0.0


def closures(gap: np.ndarray, segments: Sequence[Segment], fps: float = 50.0) -> tuple[int, int, int, int]:
    """(p/b/m closed, p/b/m, vowels closed, vowels) of a lip gap [T] with frames centred at (k + 1/2) / fps.

    A p, b or m of 30 ms or more is closed if the gap falls below CLOSED_SHARE of the track's 95th percentile within
    20 ms of it. A vowel of 60 ms or more is falsely closed if it does so more than 20 ms inside of it. The same
    20 ms of tolerance both ways: recall means nothing without the false rate.
    """
    if len(gap) == 0:
        return 0, 0, 0, 0
    threshold = CLOSED_SHARE * float(np.percentile(gap, 95))
    time = (np.arange(len(gap)) + 0.5) / fps
    hit = total = false = vowels = 0
    for start, end, viseme, _ in segments:
        if viseme == BILABIAL and end - start >= 0.03:
            near = gap[(time >= start - 0.02) & (time < end + 0.02)]
            if len(near):
                total += 1
                hit += bool(near.min() < threshold)
        elif viseme >= FIRST_VOWEL and end - start >= 0.06:
            inside = gap[(time >= start + 0.02) & (time < end - 0.02)]
            if len(inside):
                vowels += 1
                false += bool(inside.min() < threshold)
    return hit, total, false, vowels


def silence_gap(gap: np.ndarray, segments: Sequence[Segment], fps: float = 50.0, settle: float = 0.15) -> np.ndarray:
    """Gaps [n] in silences of 0.2 s or more, from `settle` s after their start to 0.1 s before their end."""
    time = (np.arange(len(gap)) + 0.5) / fps
    runs: list[list[float]] = []
    for start, end, viseme, _ in segments:
        if viseme == SILENCE:
            if runs and start - runs[-1][1] < 1e-3:
                runs[-1][1] = end
            else:
                runs.append([start, end])
    parts = [gap[(time >= a + settle) & (time < b - 0.1)] for a, b in runs if b - a >= 0.2]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def settled(quiet: np.ndarray, fps: float = 50.0, least: float = 0.2, settle: float = 0.15) -> np.ndarray:
    """[T] bool: in a run of `quiet` [T] of `least` s or more, `settle` s after its start to 0.1 s before its end."""
    edges = np.diff(np.concatenate([[0], np.asarray(quiet).astype(int), [0]]))
    out = np.zeros(len(quiet), bool)
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        if end - start >= least * fps:
            out[start + round(settle * fps) : max(end - round(0.1 * fps), 0)] = True
    return out


def _alike(a: np.ndarray, b: np.ndarray) -> float:
    """`correlation` of [T], or its mean over the columns of [T, C] that are not constant in either."""
    if a.ndim == 1:
        return correlation(a, b)
    moving = np.flatnonzero((np.ptp(a, 0) > 0) & (np.ptp(b, 0) > 0)) if len(a) else np.zeros(0, int)
    return float(np.mean([correlation(a[:, k], b[:, k]) for k in moving])) if len(moving) else 0.0


def correlations(a: np.ndarray, b: np.ndarray, fps: float = 50.0, most: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """([L] r at each lag, [L] lags in s) over lags of +-`most`: positive where `a` comes later than `b`.

    Of several curves [T, C] r is the mean over those that move in both. Half of the curves overlaps at any lag.
    """
    reach = min(round(most * fps), max((min(len(a), len(b)) - 2) // 2, 0))
    scores = []
    for lag in range(-reach, reach + 1):
        x, y = (a[lag:], b[: len(b) - lag]) if lag >= 0 else (a[:lag], b[-lag:])
        n = min(len(x), len(y))
        scores.append(_alike(x[:n], y[:n]))
    return np.array(scores), np.arange(-reach, reach + 1) / fps


def peak(scores: np.ndarray, lags: np.ndarray) -> tuple[float, float]:
    """(r, lag in s) of the best of `correlations`, the lag refined by a parabola through the best three."""
    best = int(np.argmax(scores))
    fine = 0.0
    if 0 < best < len(scores) - 1:
        left, middle, right = scores[best - 1 : best + 2]
        bend = left - 2 * middle + right
        fine = 0.5 * (left - right) / bend if bend < -1e-9 else 0.0
    step = float(lags[1] - lags[0]) if len(lags) > 1 else 0.0
    return float(scores[best]), float(lags[best] + np.clip(fine, -0.5, 0.5) * step)


def best_offset(a: np.ndarray, b: np.ndarray, fps: float = 50.0, most: float = 0.2) -> tuple[float, float]:
    """(r at the best lag, lag in s) of `correlations`."""
    return peak(*correlations(a, b, fps, most))


def lip_error(predicted: np.ndarray, truth: np.ndarray) -> float:
    """LVE in coefficients: per frame the largest |difference| over the mouth's part of [T, 52], then the mean."""
    return float(np.abs(predicted[:, MOUTH] - truth[:, MOUTH]).max(1).mean())


def vertex_lip_error(predicted: np.ndarray, truth: np.ndarray) -> float:
    """LVE in metres: per frame the largest distance over lip vertices [T, V, 3] (not squared), then the mean."""
    return float(np.linalg.norm(predicted - truth, axis=-1).max(1).mean())


def opening_deviation(predicted: np.ndarray, truth: np.ndarray) -> float:
    """MOD: mean |difference| of two lip gaps [T], in their unit."""
    return float(np.abs(predicted - truth).mean())


def dynamics_deviation(predicted: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(signed, absolute) FDD of [T, V, 3] vertices or [T, C] coefficients of the upper face.

    Mean over vertices of the difference of temporal standard deviations of the displacement's length (population
    deviation), as in CodeTalker; the absolute one does not let signs cancel.
    """

    def spread(x: np.ndarray) -> np.ndarray:
        moved = x - x.mean(0)
        return (np.linalg.norm(moved, axis=-1) if x.ndim == 3 else np.abs(moved)).std(0)

    difference = spread(truth) - spread(predicted)
    return float(difference.mean()), float(np.abs(difference).mean())


def blinks(lids: np.ndarray, fps: float) -> dict[str, float]:
    """Rate per minute, median duration (s), share complete (> 0.8) and variation of gaps of a mean lid curve [T]."""
    closed = np.diff(np.concatenate([[0], (lids > BLINK).astype(int), [0]]))
    starts, ends = np.flatnonzero(closed == 1), np.flatnonzero(closed == -1)
    minutes = len(lids) / fps / 60
    if len(starts) == 0:
        return {"per_minute": 0.0, "duration": 0.0, "complete": 0.0, "variation": 0.0}
    gaps = np.diff(starts) / fps
    return {
        "per_minute": float(len(starts) / max(minutes, 1e-9)),
        "duration": float(np.median(ends - starts) / fps),
        "complete": float(np.mean([lids[a:b].max() > 0.8 for a, b in zip(starts, ends, strict=True)])),
        "variation": float(gaps.std() / gaps.mean()) if len(gaps) > 1 else 0.0,
    }


def jitter(curve: np.ndarray, fps: float, above: float = 8.0) -> float:
    """Share of the spectral energy of a [T] curve's speed above `above` Hz."""
    if len(curve) < 8:
        return 0.0
    power = np.abs(np.fft.rfft(np.diff(curve) * np.hanning(len(curve) - 1))) ** 2
    frequency = np.fft.rfftfreq(len(curve) - 1, 1 / fps)
    return float(power[frequency > above].sum() / max(float(power.sum()), 1e-12))


def envelope(pcm: np.ndarray, fps: float = 50.0, rate: int = 16000) -> np.ndarray:
    """[T] loudness in dB above the quietest, from -50 dB of the loudest."""
    step = int(rate / fps)
    count = len(pcm) // step
    power = np.square(pcm[: count * step].reshape(count, step)).mean(1)
    return np.clip(10 * np.log10(power / max(float(power.max(initial=0)), 1e-12) + 1e-12) + 50, 0, 50)


def lip_gap(arkit: np.ndarray) -> np.ndarray:
    """[T] lip gap of ARKit coefficients [T, 52] (see `articulation.lip_gap`)."""
    return arkit_gap(arkit)
