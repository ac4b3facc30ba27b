"""What happens to a voice on its way to a microphone: rooms, noise, filters, codecs. NumPy, seeded, same length out."""

from __future__ import annotations

from typing import cast

import numpy as np

from .engines.utterance import RATE


def _quick(count: int) -> int:
    """A length of at least `count` without large prime factors, whose transform is several times quicker."""
    from scipy.fft import next_fast_len

    return cast(int, next_fast_len(count, real=True))


def coloured_noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """[count] float32 of unit RMS with a random smooth spectrum, from rumble to hiss."""
    length = _quick(count)
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.linspace(0, 1, len(spectrum))
    knots = np.interp(np.sqrt(frequency), np.linspace(0, 1, 6), rng.normal(0, 8, 6)) + rng.uniform(-40, 5) * frequency
    noise = np.fft.irfft(spectrum * 10 ** (knots / 20), length)[:count]
    return (noise / (np.sqrt(np.square(noise).mean()) + 1e-9)).astype(np.float32)


def room(pcm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exponentially decaying reverberation, 0.1 to 0.6 s, the direct sound kept in place."""
    from scipy.signal import fftconvolve

    decay = rng.uniform(0.1, 0.6)
    count = int(decay * RATE)
    tail = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    tail[: int(0.003 * RATE)] = 0
    tail *= rng.uniform(0.1, 0.7) / np.sqrt(np.square(tail).sum())
    tail[0] = 1
    return fftconvolve(pcm, tail)[: len(pcm)].astype(np.float32)


def spectral(pcm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random tilt and a band limit now and then (telephone, cheap microphone), in the frequency domain."""
    length = _quick(len(pcm))
    spectrum = np.fft.rfft(pcm, length)
    frequency = np.linspace(0, RATE / 2, len(spectrum))
    gain = np.interp(frequency, [0, 300, 1000, 3000, 8000], rng.normal(0, 4, 5))
    if rng.random() < 0.2:
        gain -= 6 * np.maximum(0, np.log2(np.maximum(frequency, 1) / rng.uniform(3200, 6000))) * 6
    if rng.random() < 0.2:
        gain -= 6 * np.maximum(0, np.log2(rng.uniform(80, 300) / np.maximum(frequency, 20))) * 2
    return np.fft.irfft(spectrum * 10 ** (gain / 20), length)[: len(pcm)].astype(np.float32)


def codec(pcm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A speech codec's damage: mu-law at 5 to 8 bits, or transform coefficients quantised in 20 ms blocks."""
    peak = float(np.abs(pcm).max()) + 1e-6
    if rng.random() < 0.5:
        steps, mu = 2.0 ** rng.integers(5, 9), 255.0
        squeezed = np.sign(pcm) * np.log1p(mu * np.abs(pcm) / peak) / np.log1p(mu)
        coarse = np.round(squeezed * steps / 2) / (steps / 2)
        return (np.sign(coarse) * np.expm1(np.abs(coarse) * np.log1p(mu)) / mu * peak).astype(np.float32)
    block = 320
    padded = np.pad(pcm, (0, -len(pcm) % block)).reshape(-1, block)
    spectrum = np.fft.rfft(padded)
    size = np.abs(spectrum).max(1, keepdims=True) / rng.uniform(10, 40) + 1e-6
    spectrum = size * (np.round(spectrum.real / size) + 1j * np.round(spectrum.imag / size))
    return np.fft.irfft(spectrum, block).reshape(-1)[: len(pcm)].astype(np.float32)


def degrade(pcm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random chain of all of the above with noise at 5 to 45 dB and a level of -42 to -12 dB of full scale."""
    if rng.random() < 0.35:
        pcm = room(pcm, rng)
    if rng.random() < 0.7:
        pcm = spectral(pcm, rng)
    level = np.sqrt(np.square(pcm).mean()) + 1e-6
    if rng.random() < 0.75:
        noise = coloured_noise(len(pcm), rng)
        if rng.random() < 0.3:  # a noise that comes and goes
            noise *= np.interp(np.arange(len(pcm)), np.linspace(0, len(pcm), 8), rng.uniform(0, 2, 8))
        if rng.random() < 0.25:
            noise = 0.6 * noise + hum(len(pcm), rng)
        pcm = pcm + noise * level * 10 ** (-rng.uniform(5, 45) / 20)
    if rng.random() < 0.15:
        pcm = codec(pcm, rng)
    pcm = pcm * (10 ** (-rng.uniform(12, 42) / 20) / (np.sqrt(np.square(pcm).mean()) + 1e-6))
    return np.clip(pcm, -1, 1).astype(np.float32)


def hum(count: int, rng: np.random.Generator) -> np.ndarray:
    """[count] float32 of unit RMS: a steady tone with harmonics, 45 to 400 Hz."""
    time = np.arange(count) / RATE
    base = rng.uniform(45, 400) if rng.random() < 0.6 else rng.choice([50.0, 60.0, 100.0, 120.0])
    harmonics = rng.integers(1, 12)
    slope = rng.uniform(0.2, 2)
    out = sum(np.sin(2 * np.pi * base * k * time + rng.uniform(0, 6.3)) / k**slope for k in range(1, harmonics + 1))
    out = out * (1 + rng.uniform(0, 0.1) * np.sin(2 * np.pi * rng.uniform(0.1, 2) * time))
    return (out / (np.sqrt(np.square(out).mean()) + 1e-9)).astype(np.float32)


def drone(count: int, rng: np.random.Generator) -> np.ndarray:
    """[count] float32 of unit RMS: a machine's tone with any partials, which may swell, beat by up to 3 dB and drift.

    Unlike a held vowel its pitch and its spectrum do not move.
    """
    time = np.arange(count) / RATE
    base = 45 * 10 ** rng.uniform(0, 1)
    drift = np.interp(np.arange(count), np.linspace(0, count, 6), base * (1 + 0.003 * rng.standard_normal(6)))
    phase = 2 * np.pi * np.cumsum(drift) / RATE
    partials = np.arange(1, rng.integers(2, max(int(7000 / base), 2) + 1))
    gains = 10 ** (rng.normal(0, rng.uniform(0, 10), len(partials)) / 20) / partials ** rng.uniform(0, 2)
    gains *= rng.random(len(partials)) < rng.uniform(0.3, 1)
    gains[int(rng.integers(min(len(partials), 4)))] = gains.max() + 0.1
    out = np.zeros(count)
    for k in np.argsort(gains)[::-1][:24]:
        out += gains[k] * np.sin(partials[k] * phase + rng.uniform(0, 2 * np.pi))
    beat = 10 ** (rng.uniform(0, 1.5) / 20 * np.sin(2 * np.pi * rng.uniform(0.1, 8) * time))
    swell = np.clip(time / rng.uniform(0.005, 1.5) - rng.uniform(0, 0.5), 0.003, 1) if rng.random() < 0.5 else 1.0
    out = out * beat * swell
    return (out / (np.sqrt(np.square(out).mean()) + 1e-9)).astype(np.float32)


def muted(count: int, rng: np.random.Generator) -> np.ndarray:
    """[count] float32: sound without a voice (hiss, hum, bursts, clicks), -60 to -10 dB: the mouth stays shut."""
    kind = rng.integers(0, 6)
    noise = coloured_noise(count, rng)
    if kind == 1:
        noise = hum(count, rng) + 0.1 * noise
    elif kind >= 5:
        noise = drone(count, rng) + np.float32(10 ** (-rng.uniform(20, 60) / 20)) * noise
    elif kind == 2:
        noise = noise * np.interp(np.arange(count), np.linspace(0, count, 24), np.exp(rng.normal(0, 1.2, 24)))
    elif kind == 3:
        noise = 0.03 * noise
        for start in rng.integers(0, count, rng.integers(1, 12)):
            length = min(int(rng.uniform(20, 2000)), count - start)
            burst = np.exp(-np.arange(length) / (length / 4 + 1)) * rng.standard_normal(length)
            noise[start : start + length] += (burst * rng.uniform(0.3, 4)).astype(np.float32)
    elif kind == 4:  # engine- and fan-like: noise whose strength beats steadily
        time = np.arange(count) / RATE
        noise = noise * (1 + rng.uniform(0.2, 0.9) * np.sin(2 * np.pi * rng.uniform(5, 60) * time))
    noise = noise * 10 ** (-rng.uniform(10, 60) / 20) / (np.sqrt(np.square(noise).mean()) + 1e-9)
    return np.clip(noise, -1, 1).astype(np.float32)
