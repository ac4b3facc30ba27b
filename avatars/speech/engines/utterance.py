"""What every engine returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RATE = 16000
"""Sample rate of all corpus sound, Hz."""


class Segment(NamedTuple):
    """One sound: [start, end) in s, viseme index, and the engine's own name of it."""

    start: float
    end: float
    viseme: int
    phone: str


@dataclass
class Utterance:
    """Sound with the times of its sounds."""

    pcm: np.ndarray
    """[samples] float32 in [-1, 1], 16 kHz."""
    segments: list[Segment]
    """In order, without gaps."""
    engine: str
    voice: str
    language: str
    text: str


def to_rate(pcm: np.ndarray, rate: int) -> np.ndarray:
    """Resample [samples] float to 16 kHz (offline, scipy's polyphase filter)."""
    from math import gcd

    from scipy.signal import resample_poly

    pcm = np.asarray(pcm, np.float32)
    if rate == RATE:
        return pcm
    divisor = gcd(rate, RATE)
    return resample_poly(pcm, RATE // divisor, rate // divisor).astype(np.float32)


def spread(start: float, end: float, visemes: list[int], phone: str) -> list[Segment]:
    """Segments of equal length for a sound of one or more visemes; none if it has no length."""
    if end <= start:
        return []
    edges = np.linspace(start, end, len(visemes) + 1)
    return [Segment(float(a), float(b), v, phone) for a, b, v in zip(edges[:-1], edges[1:], visemes, strict=True)]
