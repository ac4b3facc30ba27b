"""Sound that matches the mouth: a source-filter voice (Klatt 1980) of glottal pulses and noise through resonators."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from .noise import wander
from .sounds import Spoken

RATE = 24000
"""Hz."""
_BLOCK = 120
"""Samples over which the filters stay as they are: 5 ms."""
_BANDWIDTHS = (70.0, 100.0, 160.0)
_FOURTH = (3400.0, 250.0)


def speak(spoken: list[Spoken], seconds: float, rng: np.random.Generator) -> np.ndarray:
    """[samples] float32 in [-1, 1] at RATE."""
    blocks = int(np.ceil(seconds * RATE / _BLOCK))
    centers = (np.arange(blocks) + 0.5) * _BLOCK / RATE
    base = rng.uniform(105, 200)
    formants, voice, noise, noise_at, pitch = _controls(spoken, centers)
    pitch = base * pitch * (1 + 0.05 * wander(centers, 0.35, rng)[:, 0])
    buzz = _glottis(np.repeat(pitch, _BLOCK)) * _ramp(voice)
    hiss = rng.standard_normal(blocks * _BLOCK).astype(np.float32)
    voiced = _resonate(
        buzz + 0.02 * hiss * _ramp(voice), [*formants.T, np.full(blocks, _FOURTH[0])], [*_BANDWIDTHS, _FOURTH[1]]
    )
    rustle = _resonate(hiss * _ramp(noise), [noise_at], [1800.0])
    out = voiced / _loudness(voiced) + 0.35 * rustle / _loudness(rustle)
    out = out[: round(seconds * RATE)]
    return (0.5 * out / max(float(np.abs(out).max()), 1e-6)).astype(np.float32)


def _controls(
    spoken: list[Spoken], times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per block: formants [n, 3], voicing, noise, its centre, and pitch relative to the speaker's, [n] each."""
    middle = np.array([(s.start + s.end) / 2 for s in spoken])
    formants = np.stack([np.interp(times, middle, [s.sound.formants[k] for s in spoken]) for k in range(3)], 1)
    index = np.clip(np.searchsorted([s.start for s in spoken], times, side="right") - 1, 0, len(spoken) - 1)
    voice, noise, noise_at, pitch = (np.zeros(len(times)) for _ in range(4))
    for n, (t, i) in enumerate(zip(times, index, strict=True)):
        s = spoken[i]
        share = (t - s.start) / (s.end - s.start)
        voice[n] = s.sound.voice * s.stress
        noise[n] = s.sound.noise * (float(share > 0.75) if s.sound.burst else 1.0)
        noise_at[n] = s.sound.noise_at
        pitch[n] = (1.12 - 0.25 * s.phrase) * (0.92 + 0.08 * s.stress)
    kernel = np.ones(3) / 3
    return formants, np.convolve(voice, kernel, "same"), np.convolve(noise, kernel, "same"), noise_at, pitch


def _ramp(values: np.ndarray) -> np.ndarray:
    """Per block to per sample, without clicks."""
    at = (np.arange(len(values) * _BLOCK) + 0.5) / _BLOCK - 0.5
    return np.interp(at, np.arange(len(values)), values)


def _glottis(pitch: np.ndarray) -> np.ndarray:
    """Derivative of the flow through the folds (Rosenberg 1971): slow opening, fast closing, closed phase."""
    phase = np.mod(np.cumsum(pitch / RATE), 1)
    opening, closing = 0.40, 0.16
    rise = np.where(phase < opening, 0.5 * np.pi / opening * np.sin(np.pi * phase / opening), 0)
    shut = (phase >= opening) & (phase < opening + closing)
    fall = np.where(shut, -0.5 * np.pi / closing * np.sin(0.5 * np.pi * (phase - opening) / closing), 0)
    return rise + fall


def _resonate(signal: np.ndarray, centers: list[np.ndarray], widths: list[float]) -> np.ndarray:
    """Second-order resonators in cascade, their centres [blocks] in Hz."""
    for center, width in zip(centers, widths, strict=True):
        radius = np.exp(-np.pi * width / RATE)
        state, out = np.zeros(2), np.empty_like(signal)
        for n, hertz in enumerate(center):
            b, c = 2 * radius * np.cos(2 * np.pi * hertz / RATE), -radius * radius
            rows = slice(n * _BLOCK, (n + 1) * _BLOCK)
            out[rows], state = lfilter([1 - b - c], [1, -b, -c], signal[rows], zi=state)
        signal = out
    return signal


def _loudness(signal: np.ndarray) -> float:
    loud = np.abs(signal) > 0.1 * np.abs(signal).max()
    return float(np.sqrt((signal[loud] ** 2).mean())) if loud.any() else 1.0
