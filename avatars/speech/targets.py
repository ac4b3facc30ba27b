"""What the mouth does for a row of sounds: dominance coarticulation with hard lip closures.

Each sound pulls the articulators towards its own shape with a strength that fades with distance from its centre
(Cohen and Massaro 1993, "Modeling coarticulation in synthetic visual speech"). Averages never close the lips, so
p, b and m close them outright, and pauses do so within 120 ms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .articulation import ARTICULATORS, FUNNEL, GAP, JAW, LOWER_DOWN, PRESS, PUCKER, UPPER_UP, possible_gap
from .engines.utterance import RATE, Segment
from .phonemes import BILABIAL, FIRST_VOWEL, INDEX, SILENCE, VISEMES

FPS = 50
"""Frames per second of curves and network; frame k stands at (k + 1/2) / 50 s."""

# Rows: visemes; columns: articulators. Shapes at the centre of a clearly spoken sound. Filmed speakers part their lips
# about as far in s, t, k and i as in e, with the teeth together: only p, b, m, f, v and rounded sounds narrow them.
SHAPES = np.array(
    [
        [0.02, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00],  # sil
        [0.10, 0.00, 0.00, 0.05, 0.00, 0.00, 0.00, 0.00, 0.10, 0.35, 0.00],  # PP
        [0.14, 0.12, 0.00, 0.00, 0.05, 0.00, 0.00, 0.30, 0.75, 0.00, 0.00],  # FF
        [0.24, 0.36, 0.00, 0.00, 0.10, 0.05, 0.55, 0.45, 0.00, 0.00, 0.50],  # TH
        [0.22, 0.36, 0.00, 0.00, 0.10, 0.05, 0.65, 0.50, 0.00, 0.00, 0.15],  # DD
        [0.13, 0.36, 0.00, 0.00, 0.35, 0.10, 0.95, 0.75, 0.00, 0.00, 0.00],  # SS
        [0.15, 0.42, 0.60, 0.25, 0.00, 0.00, 0.55, 0.50, 0.00, 0.00, 0.00],  # CH
        [0.20, 0.34, 0.35, 0.25, 0.00, 0.00, 0.25, 0.15, 0.00, 0.00, 0.05],  # RR
        [0.26, 0.38, 0.00, 0.00, 0.05, 0.05, 0.60, 0.50, 0.00, 0.00, 0.00],  # kk
        [0.75, 0.72, 0.00, 0.00, 0.10, 0.05, 0.30, 0.30, 0.00, 0.00, 0.00],  # aa
        [0.45, 0.52, 0.00, 0.00, 0.30, 0.10, 0.50, 0.40, 0.00, 0.00, 0.00],  # E
        [0.25, 0.42, 0.00, 0.00, 0.45, 0.20, 0.70, 0.55, 0.00, 0.00, 0.00],  # ih
        [0.50, 0.34, 0.50, 0.30, 0.00, 0.00, 0.15, 0.10, 0.00, 0.00, 0.00],  # oh
        [0.22, 0.14, 0.35, 0.75, 0.00, 0.00, 0.05, 0.05, 0.00, 0.00, 0.00],  # ou
    ],
    np.float32,
)
_STRENGTH = np.array([0.6, 1.2, 1.2, 0.5, 0.4, 0.7, 0.9, 0.6, 0.3, 1, 0.8, 0.8, 1, 1], np.float32)
# The tongue makes most consonants, and leaves the lips to the sounds around; a lip sound has its way with them.
_LIP_STRENGTH = np.array([0.6, 1.2, 1.4, 0.3, 0.3, 0.4, 0.8, 0.7, 0.3, 1, 0.8, 0.8, 1, 1.4], np.float32)
_ROUND = (FUNNEL, PUCKER)
_LIPS = (GAP, LOWER_DOWN, UPPER_UP)


@dataclass(frozen=True)
class Manner:
    """How one speaker times things; zero is usual, about one a standard deviation."""

    width: float = 0.0
    """Reach of coarticulation (e^0.35 per unit)."""
    lead: float = 0.0
    """Lips ahead of the sound when rounding (40 ms per unit, on top of 60 ms)."""
    loudness: float = 0.0
    """How much wider louder vowels are (70 % per unit)."""
    hold: float = 0.0
    """Length of lip closures (e^0.4 per unit)."""


def labels(segments: list[Segment], frames: int) -> np.ndarray:
    """[frames] int64 viseme index at each frame's centre; silence outside of the segments."""
    time = (np.arange(frames) + 0.5) / FPS
    out = np.full(frames, SILENCE, np.int64)
    for start, end, viseme, _ in segments:
        out[(time >= start) & (time < end)] = viseme
    return out


def _openness(segments: list[Segment], pcm: np.ndarray, manner: Manner) -> np.ndarray:
    """[S] factor on jaw and gap: louder and longer vowels are wider, short ones fall short of their shape."""
    power = np.concatenate([[0.0], np.cumsum(np.square(pcm, dtype=np.float64))])
    out = np.ones(len(segments), np.float32)
    vowels = [i for i, s in enumerate(segments) if s.viseme >= FIRST_VOWEL]
    if not vowels:
        return out
    decibels = []
    for i in vowels:
        a, b = int(segments[i].start * RATE), max(int(segments[i].end * RATE), int(segments[i].start * RATE) + 1)
        b = min(b, len(pcm))
        decibels.append(10 * np.log10((power[b] - power[min(a, b)]) / max(b - a, 1) + 1e-9))
    middle = float(np.median(decibels))
    slope = 0.04 * (1 + 0.7 * manner.loudness)
    for i, level in zip(vowels, decibels, strict=True):
        length = segments[i].end - segments[i].start
        out[i] = np.clip(1 + slope * (level - middle), 0.65, 1.3) * np.clip(0.7 + 0.3 * length / 0.09, 0.7, 1.0)
    return out


def curves(segments: list[Segment], pcm: np.ndarray, manner: Manner | None = None) -> np.ndarray:
    """[T, 11] float32 articulator curves at 50 Hz for an utterance, T = whole 20 ms frames of `pcm` (16 kHz)."""
    manner = manner or Manner()
    frames = len(pcm) * FPS // RATE
    time = (np.arange(frames, dtype=np.float32) + 0.5) / FPS
    if not segments:
        return np.zeros((frames, len(ARTICULATORS)), np.float32)
    start, end = (np.array([s[i] for s in segments], np.float32) for i in (0, 1))
    viseme = np.array([s.viseme for s in segments])
    centre, length = (start + end) / 2, end - start
    reach = (0.35 * length + 0.025) * np.exp(0.35 * manner.width)
    strength = _STRENGTH[viseme] * np.minimum(length, 0.15) / 0.08
    shapes = SHAPES[viseme].copy()
    shapes[:, [JAW, GAP]] *= _openness(segments, pcm, manner)[:, None]
    away = time[:, None] - centre
    pull = strength * np.exp(-np.maximum(np.abs(away) - 0.25 * length, 0) / reach)
    out = pull @ shapes / (pull.sum(1, keepdims=True) + 1e-4)
    lips = pull * (_LIP_STRENGTH / _STRENGTH)[viseme]
    out[:, _LIPS] = lips @ shapes[:, _LIPS] / (lips.sum(1, keepdims=True) + 1e-4)
    out[:, _ROUND] = _rounding(away, length, reach, strength, shapes, manner)
    closed = _lip_closure(segments, time, manner) * _pause(segments, time)
    out[:, [GAP, LOWER_DOWN, UPPER_UP]] *= closed[:, None]
    rest = _pause(segments, time)
    out[:, [JAW, *_ROUND, PRESS]] *= rest[:, None]
    out[:, GAP] = np.minimum(out[:, GAP], possible_gap(out))
    return np.clip(out, 0.0, 1.5).astype(np.float32)


def _rounding(away, length, reach, strength, shapes, manner: Manner) -> np.ndarray:
    """[T, 2] funnel and pucker: the lips round ahead of the sound and slowly let go."""
    lead = np.clip(0.06 + 0.04 * manner.lead, 0.0, 0.14)
    shifted = away + lead * 0.5
    slow = np.where(shifted < 0, reach + lead, reach * 1.2)
    pull = strength * np.exp(-np.maximum(np.abs(shifted) - 0.25 * length, 0) / slow)
    return pull @ shapes[:, _ROUND] / (pull.sum(1, keepdims=True) + 1e-4)


def _lip_closure(segments: list[Segment], time: np.ndarray, manner: Manner) -> np.ndarray:
    """[T] factor: 0 through each p, b, m for 40 ms or more, back to 1 within 45 ms on either side."""
    out = np.ones(len(time), np.float32)
    for start, end, viseme, _ in segments:
        if viseme == BILABIAL:
            half = max(0.25 * (end - start) * float(np.exp(0.4 * manner.hold)), 0.025)
            out = np.minimum(out, np.clip((np.abs(time - (start + end) / 2) - half) / 0.045, 0, 1))
    return out


def _pause(segments: list[Segment], time: np.ndarray) -> np.ndarray:
    """[T] factor: pauses of 150 ms or more close within 120 ms and open 80 ms before the next sound."""
    out = np.ones(len(time), np.float32)
    runs: list[list[float]] = []
    for segment in segments:
        if segment.viseme != SILENCE:
            continue
        if runs and segment.start - runs[-1][1] < 1e-3:
            runs[-1][1] = segment.end
        else:
            runs.append([segment.start, segment.end])
    first, last = segments[0].start, segments[-1].end
    for start, end in runs:
        if end - start < 0.15:
            continue
        inside = (time >= start) & (time < end)
        fall = 1 - (time - start) / 0.12 if start > first + 1e-6 else np.zeros_like(time)
        rise = 1 - (end - time) / 0.08 if end < last - 1e-6 else np.zeros_like(time)
        out[inside] = np.clip(np.maximum(fall, rise), 0, 1)[inside]
    return out


assert len(SHAPES) == len(VISEMES) == len(INDEX)
