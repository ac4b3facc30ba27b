"""Quiet recordings made as loud as speech usually is, where a sound is there as a whole."""

from __future__ import annotations

import numpy as np

from .features import FLOOR, LEVEL_START, RATE, SMOOTH, Analysis

_BLOCK = 10 * RATE
"""Samples analysed at once: an hour of sound needs no more memory than ten seconds of it."""
_MOST = 30.0
"""dB; what is quieter still is no recording of speech."""


def loudest(pcm: np.ndarray) -> float:
    """Level of the loudest 100 ms of [samples] float32 at 16 kHz, dB as the front end counts it."""
    analysis = Analysis()
    mean = [analysis(pcm[at : at + _BLOCK]).mel.mean(-1, dtype=np.float64) for at in range(0, len(pcm), _BLOCK)]
    energy = 10 * np.log10(np.concatenate([m.ravel() for m in mean] or [np.zeros(0)]) + FLOOR)
    if len(energy) < SMOOTH:
        return -np.inf
    return float(np.convolve(energy, np.full(SMOOTH, 1 / SMOOTH), "valid").max())


def raised(pcm: np.ndarray) -> np.ndarray:
    """[samples] float32 at 16 kHz, amplified until its voice is as loud as the front end takes a stranger's to be.

    The front end measures everything against the speaker's level, which it takes to be a usual one until it has heard
    louder; of a quieter one it would be sure only after half a minute, and would miss breaths until then. A loud sound
    comes back as it is, and so does one that is too quiet to hold a voice.
    """
    short = LEVEL_START - loudest(pcm)
    return pcm if not 0 < short <= _MOST else pcm * np.float32(10 ** (short / 20))
