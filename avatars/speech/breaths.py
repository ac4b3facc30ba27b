"""Pauses between two utterances, with and without an audible breath: people who breathe in to go on open their mouth.

Synthesised speech never breathes. A network that learned from it alone takes the quiet hiss of an inhalation for a
pause and shuts the lips where real speakers part them widest. NumPy, seeded.
"""

from __future__ import annotations

import numpy as np

from .augment import hum
from .engines.utterance import RATE
from .features import Frames

FRAME = RATE // 50
_AUDIBLE = 5.0
"""dB that a breath must add to the pause between 1 and 6 kHz to be taught as open lips."""
_BANDS = slice(13, 36)
"""Mel bands of that range."""
_OPENING, _CLOSING = 5, 5
"""Frames that the lips take to part and to close again around a breath."""
_HELD = 12
"""Frames from a breath to the next sound in which they do not close."""


def inhalation(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """[samples] float32 of unit RMS: noise through an open mouth that swells and ends quickly."""
    from .vocal import FORMANTS, _resonate

    count = max(int(seconds * RATE), 2)
    noise = rng.standard_normal(count)
    shape = FORMANTS[str(rng.choice(["aa", "E", "E", "oh", "ih"]))]
    voice = _resonate(noise, shape, rng.uniform(0.9, 1.3))
    # The open glottis blurs the resonances, and most of the noise arises at the lips and teeth: it passes unshaped but
    # for a gentle fall towards high frequencies.
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.linspace(0, RATE / 2, len(spectrum))
    hiss = np.fft.irfft(spectrum / np.sqrt(1 + (frequency / rng.uniform(600, 5000)) ** 2), count)
    hiss *= rng.uniform(0.2, 2.0) / np.sqrt(np.square(hiss).mean())
    voice = voice / np.sqrt(np.square(voice).mean()) + hiss
    time, peak = np.linspace(0, 1, count), rng.uniform(0.35, 0.8)
    swell = np.where(time < peak, time / peak, (1 - time) / (1 - peak)) ** rng.uniform(0.4, 1.2)
    out = voice * swell
    return (out / (np.sqrt(np.square(out).mean()) + 1e-9)).astype(np.float32)


def pause(level: float, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, int] | None]:
    """(sound of a pause of whole frames, first and last frame + 1 of a breath in it or None).

    Args:
        level: RMS of the speech around it.
    """
    before, after = int(rng.integers(0, 12)), int(rng.integers(1, 8))
    length = int(rng.integers(9, 40))
    sound = np.zeros((before + length + after) * FRAME, np.float32)
    if rng.random() < 0.35:
        return sound, None
    gain = level * 10 ** (-rng.uniform(12, 44) / 20)
    sound[before * FRAME : (before + length) * FRAME] = gain * inhalation(length * FRAME / RATE, rng)
    return sound, (before, before + length)


def rumble(count: int, level: float, rng: np.random.Generator) -> np.ndarray:
    """[count] float32 of what rooms and microphones add below a few hundred hertz, 8 to 35 dB below `level` (RMS).

    It fills pauses with a sound that is louder than a breath, and is none.
    """
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.linspace(0, RATE / 2, len(spectrum))
    noise = np.fft.irfft(spectrum / (1 + (frequency / rng.uniform(80, 250)) ** 4), count)
    if rng.random() < 0.4:
        noise = noise / np.sqrt(np.square(noise).mean()) + hum(count, rng) * rng.uniform(0.2, 1)
    noise = noise / (np.sqrt(np.square(noise).mean()) + 1e-9)
    return (noise * level * 10 ** (-rng.uniform(8, 35) / 20)).astype(np.float32)


def opening(frames: int, breath: tuple[int, int], onset: int | None = None) -> np.ndarray:
    """[frames] share of `inhaled` around a breath from its first frame to its last + 1.

    Lips that have parted to breathe in stay so until the speaker goes on, if that is soon (`onset`, a frame).
    """
    at = np.arange(frames) + 0.5
    rise = (at - (breath[0] - _OPENING / 2)) / _OPENING
    end = breath[1] + _CLOSING / 2
    if onset is not None and breath[1] < onset <= breath[1] + _HELD:
        end = onset
    fall = (end - at) / _CLOSING
    return np.clip(np.minimum(rise, fall), 0, 1).astype(np.float32)


def is_audible(heard: Frames, without: Frames, breath: tuple[int, int]) -> bool:
    """Whether a breath from frame to frame stands out from the same sound without it."""
    part = slice(*breath)
    a, b = (float(f.mel[part, :, _BANDS].mean()) for f in (heard, without))
    return 10 * np.log10((a + 1e-12) / (b + 1e-12)) >= _AUDIBLE
