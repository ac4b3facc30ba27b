"""The front end: sound to network input, one code for training, whole files and streams. NumPy only.

Two stages. `Analysis` is linear in history: 16 kHz samples to mel power, energy and pitch, 25 ms windows that look
back only, a frame for every 10 ms. `Levels` follows the speaker's level and the noise floor, and normalises. Both keep
their state, so that any chunking gives the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

RATE, HOP, WINDOW, FFT, MELS = 16000, 160, 400, 512, 40
STACK = 2
"""Hops per network frame: 50 Hz."""
PITCH_WINDOW, PITCH_FFT = 512, 1024
_KEPT = WINDOW - HOP  # the first new hop ends 160 samples into the new ones; longer than the pitch window's overlap
_LAGS = np.arange(40, 268)  # 400 Hz down to 60 Hz
INPUTS = STACK * (MELS + 2) + 2
"""Numbers per network frame: mel, level and contrast for each hop, then voicing and pitch."""
FLOOR = 1e-9
"""Mel power added everywhere: about -90 dB of full scale."""
SMOOTH = 10
"""Hops of 10 ms that a level is a mean of."""
_RECENT = np.arange(SMOOTH)
_LEVEL_FALL, _NOISE_RISE = 0.005, 0.02  # dB per hop
LEVEL_START = -30.0
"""Level of a speaker that was not heard yet, dB."""
_LEVEL_LEAST, _NOISE_START = -50.0, -60.0


def mel_matrix(bands: int = MELS, low: float = 60.0, high: float = 7600.0) -> np.ndarray:
    """[257, bands] float32 triangular filters of unit sum, evenly spaced on the mel scale."""
    edges = 2595 * np.log10(1 + np.array([low, high]) / 700)
    points = 700 * (10 ** (np.linspace(edges[0], edges[1], bands + 2) / 2595) - 1)
    frequency = np.arange(FFT // 2 + 1) * RATE / FFT
    left, centre, right = (points[i : i + bands, None] for i in range(3))
    filters = np.maximum(0, np.minimum((frequency - left) / (centre - left), (right - frequency) / (right - centre)))
    return (filters / np.maximum(filters.sum(1, keepdims=True), 1e-3)).T.astype(np.float32)


_MEL = mel_matrix()
_HANN = np.hanning(WINDOW).astype(np.float32) * np.float32(2.0 / WINDOW * 2)  # a full-scale sine has a power near 1
_PITCH_HANN = np.hanning(PITCH_WINDOW).astype(np.float32)
_PITCH_CORRECTION = np.fft.irfft(np.abs(np.fft.rfft(_PITCH_HANN, PITCH_FFT)) ** 2)[: _LAGS[-1] + 1]
_PITCH_CORRECTION = (_PITCH_CORRECTION[0] / _PITCH_CORRECTION)[_LAGS].astype(np.float32)
_SPAN = _KEPT + HOP * STACK
_TAPERS, _MEANS = np.zeros((3, PITCH_WINDOW), np.float32), np.zeros((3, _SPAN))
_TAPERS[0, :WINDOW] = _TAPERS[1, -WINDOW:] = _HANN
_MEANS[0, :WINDOW] = _MEANS[1, -WINDOW:] = 1 / WINDOW
_TAPERS[2], _MEANS[2, -PITCH_WINDOW:] = _PITCH_HANN, 1 / PITCH_WINDOW
_LOG_PITCH = np.log2(RATE / _LAGS / 150.0).astype(np.float32)


@dataclass
class Frames:
    """Output of `Analysis`: T network frames of 20 ms."""

    mel: np.ndarray
    """[T, 2, 40] float32 power."""
    voicing: np.ndarray
    """[T] float32 in [0, 1]: largest normalised autocorrelation."""
    pitch: np.ndarray
    """[T] float32 octaves from 150 Hz, weighted by likelihood over lags."""


class Analysis:
    """Samples to frames. Frame k appears when sample 320 (k + 1) has arrived; nothing looks ahead.

    Channels are averaged as power, window by window, so that stereo in opposite phase does not cancel itself. Each
    window's mean is taken off first: a constant offset of the microphone is no sound.
    """

    def __init__(self, channels: int = 1) -> None:
        self.channels = channels
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._buffer = np.zeros((self.channels, _KEPT), np.float32)

    def hush(self) -> None:
        """Replace what was heard by silence; the clock stays."""
        self._buffer = np.zeros_like(self._buffer)

    def __call__(self, pcm: np.ndarray) -> Frames:
        """Frames completed by these [samples] or [channels, samples] float32 at 16 kHz."""
        data = np.concatenate([self._buffer, pcm.astype(np.float32, copy=False).reshape(self.channels, -1)], 1)
        step = HOP * STACK
        count = (data.shape[1] - _KEPT) // step
        self._buffer = data[:, max(count, 0) * step :]
        if count <= 0:
            empty = np.zeros(0, np.float32)
            return Frames(np.zeros((0, STACK, MELS), np.float32), empty, empty)
        if count == 1 and self.channels == 1:
            return _analysis_of_one(data[0])
        start = _KEPT + step - PITCH_WINDOW
        power = _power(_windows(data[0], 0, STACK * count, HOP, WINDOW), _HANN, FFT)
        wide = _power(_windows(data[0], start, count, step, PITCH_WINDOW), _PITCH_HANN, PITCH_FFT)
        for more in data[1:]:
            power += _power(_windows(more, 0, STACK * count, HOP, WINDOW), _HANN, FFT)
            wide += _power(_windows(more, start, count, step, PITCH_WINDOW), _PITCH_HANN, PITCH_FFT)
        power /= self.channels
        mel = (power.astype(np.float32) @ _MEL).reshape(count, STACK, MELS)
        return Frames(mel, *_pitch(wide / self.channels))


def _analysis_of_one(data: np.ndarray) -> Frames:
    """The frame of the first 560 of [samples], as a live stream asks for it: the same numbers, with less ado."""
    windows = np.empty((3, PITCH_WINDOW), np.float32)
    windows[0], windows[1:] = data[:PITCH_WINDOW], data[_SPAN - PITCH_WINDOW : _SPAN]
    windows -= (_MEANS @ data[:_SPAN]).astype(np.float32)[:, None]
    windows *= _TAPERS
    # One transform for all three: every other bin of the wide spectrum is a bin of the narrow one.
    spectrum = np.fft.rfft(windows, PITCH_FFT)
    power = spectrum.real**2
    power += spectrum.imag**2
    mel = power[:STACK, :: PITCH_FFT // FFT].astype(np.float32, copy=False) @ _MEL
    return Frames(mel[None], *_pitch(power[STACK:]))


def _windows(data: np.ndarray, start: int, count: int, step: int, width: int) -> np.ndarray:
    """[count, width] overlapping view of contiguous float32 `data`, a window for every `step` samples."""
    return np.ndarray((count, width), np.float32, data, start * 4, (step * 4, 4))


def _power(windows: np.ndarray, taper: np.ndarray, size: int) -> np.ndarray:
    """[T, size / 2 + 1] float64 power spectrum of tapered windows without their mean."""
    mean = (np.add.reduce(windows, 1, np.float64, keepdims=True) / windows.shape[1]).astype(np.float32)
    spectrum = np.fft.rfft((windows - mean) * taper, size)
    return spectrum.real**2 + spectrum.imag**2


def _pitch(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(voicing [T], octaves from 150 Hz [T]) of power spectra [T, 513], from the normalised autocorrelation.

    Pitch is a likelihood-weighted mean over lags and not the best lag, so that it is continuous in the sound.
    """
    correlation = np.fft.irfft(power)
    ratio = correlation[:, _LAGS[0] : _LAGS[-1] + 1] * _PITCH_CORRECTION
    ratio /= correlation[:, :1] + 1e-6
    best = np.maximum.reduce(ratio, 1)
    ratio -= best[:, None]
    ratio *= 40
    weight = np.exp(ratio, out=ratio)
    pitch = weight @ _LOG_PITCH / np.add.reduce(weight, 1)
    return np.minimum(np.maximum(best, 0), 1).astype(np.float32), pitch.astype(np.float32)


@dataclass
class LevelState:
    """What `levels` remembers: the speaker's level and noise floor in dB, and the last nine hop energies."""

    level: np.ndarray
    noise: np.ndarray
    recent: np.ndarray

    @staticmethod
    def start(shape: tuple[int, ...] = ()) -> LevelState:
        """Before anything was heard."""
        recent = np.full((*shape, SMOOTH - 1), -80.0)
        return LevelState(np.full(shape, LEVEL_START), np.full(shape, _NOISE_START), recent)


def levels(mel: np.ndarray, voicing: np.ndarray, pitch: np.ndarray, state: LevelState) -> np.ndarray:
    """[..., T, 86] float32 network input of frames [..., T, 2, 40], [..., T], [..., T]; `state` moves on in place.

    The speaker's level is the largest 100 ms mean of the energy so far, falling by 0.5 dB/s; the noise floor the
    smallest, rising by 2 dB/s. Mel is relative to the level, so a quiet microphone and a loud one look alike.
    """
    *batch, frames, stack, bands = mel.shape
    hops = frames * stack
    if frames == 0:
        return np.zeros((*batch, 0, INPUTS), np.float32)
    if frames == 1 and not batch:
        return _levels_of_one(mel[0], float(voicing[0]), float(pitch[0]), state)
    mel = mel.reshape(*batch, hops, bands) + np.float32(FLOOR)
    decibels = 10 * np.log10(mel)
    energy = 10 * np.log10(np.add.reduce(mel, -1, np.float64) / bands)
    padded = np.concatenate([state.recent, energy], -1)
    recent = np.arange(hops)[:, None] + _RECENT
    smooth = np.add.reduce(padded[..., recent], -1) / SMOOTH
    ramp = np.arange(1, hops + 1)
    level = np.maximum.accumulate(np.maximum(smooth, _LEVEL_LEAST) + _LEVEL_FALL * ramp, -1)
    level = np.maximum(np.maximum(level, state.level[..., None]) - _LEVEL_FALL * ramp, _LEVEL_LEAST)
    noise = np.minimum.accumulate(smooth - _NOISE_RISE * ramp, -1)
    noise = np.minimum(noise, state.noise[..., None]) + _NOISE_RISE * ramp
    state.level, state.noise, state.recent = level[..., -1].copy(), noise[..., -1].copy(), padded[..., hops:].copy()
    out = np.empty((*batch, frames, INPUTS), np.float32)
    width = stack * bands
    relative = decibels - level[..., None].astype(np.float32)
    out[..., :width] = relative.reshape(*batch, frames, width)
    out[..., width : width + stack] = (energy - level).reshape(*batch, frames, stack)
    out[..., : width + stack] *= np.float32(0.05)
    out[..., : width + stack] += np.float32(0.5)
    out[..., width + stack : -2] = ((energy - noise) * 0.05 - 1).reshape(*batch, frames, stack)
    np.minimum(np.maximum(out, np.float32(-3), out=out), np.float32(3), out=out)
    out[..., -2] = 2 * voicing - 1
    out[..., -1] = voicing * pitch
    return out


def _levels_of_one(mel: np.ndarray, voicing: float, pitch: float, state: LevelState) -> np.ndarray:
    """`levels` for one frame [2, 40] of a live stream: the same numbers, with less ado."""
    mel = mel + np.float32(FLOOR)
    out = np.empty((1, INPUTS), np.float32)
    row = out[0]
    energies = np.add.reduce(mel, 1, np.float64).tolist()
    recent, level, noise = state.recent.tolist(), float(state.level), float(state.noise)
    width = STACK * MELS
    decibels = np.log10(mel, out=row[:width].reshape(STACK, MELS))
    decibels *= np.float32(0.5)  # 10 dB per decade, a twentieth of which is counted
    for k, power in enumerate(energies):
        energy = 10 * math.log10(power / MELS)
        recent.append(energy)
        smooth = sum(recent[-SMOOTH:]) / SMOOTH
        level = max(smooth, level - _LEVEL_FALL, _LEVEL_LEAST)
        noise = min(smooth, noise + _NOISE_RISE)
        decibels[k] += np.float32(0.5 - 0.05 * level)
        row[width + k] = (energy - level) * 0.05 + 0.5
        row[width + STACK + k] = (energy - noise) * 0.05 - 1
    state.recent, state.level, state.noise = np.array(recent[STACK:]), np.array(level), np.array(noise)
    np.minimum(np.maximum(row, np.float32(-3), out=row), np.float32(3), out=row)
    row[-2], row[-1] = 2 * voicing - 1, voicing * pitch
    return out


class FrontEnd:
    """Analysis and levels in one: 16 kHz samples in, [T, 86] network inputs out."""

    def __init__(self, channels: int = 1) -> None:
        self.channels = channels
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self.analysis, self.state = Analysis(self.channels), LevelState.start()

    def __call__(self, pcm: np.ndarray) -> np.ndarray:
        """[T, 86] inputs completed by these [samples] or [channels, samples] float32."""
        frames = self.analysis(pcm)
        return levels(frames.mel, frames.voicing, frames.pitch, self.state)
