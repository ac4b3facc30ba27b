"""Non-verbal sounds made from nothing: laughter, sighs, breath and singing, by source and filter."""

from __future__ import annotations

import numpy as np

from .engines.utterance import RATE, Segment, Utterance
from .phonemes import INDEX

CLASSES = ("quiet", "speech", "laugh", "sigh", "breath", "sing")
"""What the network tells apart besides visemes."""

FORMANTS = {
    "aa": (730, 1150, 2500, 3500),
    "E": (550, 1800, 2500, 3500),
    "ih": (320, 2250, 2900, 3600),
    "oh": (520, 880, 2450, 3400),
    "ou": (320, 850, 2300, 3300),
    "PP": (250, 1000, 2100, 3200),
    "DD": (280, 1500, 2500, 3400),
}
"""Hz, of an adult male; scaled by the speaker's tract. PP and DD stand for hummed m and n."""


def _resonate(source: np.ndarray, formants: tuple[float, ...], scale: float) -> np.ndarray:
    from scipy.signal import lfilter

    out = np.asarray(source)
    for i, frequency in enumerate(formants):
        radius = np.exp(-np.pi * (60 + 40 * i) / RATE)
        angle = 2 * np.pi * min(frequency * scale, 7500) / RATE
        b = 1 - 2 * radius * np.cos(angle) + radius**2
        out = np.asarray(lfilter([b], [1, -2 * radius * np.cos(angle), radius**2], out))
    return out


def _sound(
    shape: str, seconds: float, pitch: np.ndarray, breath: float, scale: float, rng: np.random.Generator
) -> np.ndarray:
    """One sound of unit RMS: pulses at `pitch` (Hz over the time; empty for none) and a share of breath noise."""
    count = max(int(seconds * RATE), 2)
    source = rng.standard_normal(count) * 0.3 * breath
    if len(pitch):
        contour = np.interp(np.arange(count), np.linspace(0, count, len(pitch)), pitch)
        phase = np.cumsum(contour / RATE)
        pulses = np.diff(np.floor(phase), prepend=0.0)
        source = source + (1 - breath) * pulses * np.sqrt(RATE / contour)
    out = _resonate(source, FORMANTS[shape], scale)
    out /= np.sqrt(np.square(out).mean()) + 1e-9
    edge = min(int(0.012 * RATE), count // 2)
    fade = np.ones(count)
    fade[:edge], fade[count - edge :] = np.linspace(0, 1, edge), np.linspace(1, 0, edge)
    return out * fade


def _assemble(parts: list[tuple[str, np.ndarray, float]], kind: str, rng: np.random.Generator) -> Utterance:
    """Utterance of (viseme, sound, amplitude) in a row, with silence on both sides."""
    lead, tail = rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.8)
    pieces = [np.zeros(int(lead * RATE))]
    segments = [Segment(0.0, len(pieces[0]) / RATE, 0, "pau")]
    for name, sound, amplitude in parts:
        start = segments[-1].end
        segments.append(Segment(start, start + len(sound) / RATE, INDEX[name], name if amplitude > 0.01 else "pau"))
        pieces.append(sound * amplitude)
    pieces.append(np.zeros(int(tail * RATE)))
    segments.append(Segment(segments[-1].end, segments[-1].end + len(pieces[-1]) / RATE, 0, "pau"))
    pcm = np.concatenate(pieces)
    pcm = (pcm / (np.abs(pcm).max() + 1e-9) * 0.5).astype(np.float32)
    return Utterance(pcm, segments, "vocal", kind, "any", kind)


def laugh(rng: np.random.Generator) -> Utterance:
    """Three to ten 'ha' at 4 to 6 Hz with falling pitch and loudness."""
    base, scale, rate = rng.uniform(110, 420), rng.uniform(0.95, 1.3), rng.uniform(4, 6)
    shape = str(rng.choice(["aa", "aa", "E", "oh"]))
    parts: list[tuple[str, np.ndarray, float]] = []
    bursts = int(rng.integers(3, 11))
    for i in range(bursts):
        amplitude = (1 - 0.6 * i / bursts) * rng.uniform(0.7, 1.1)
        pitch = base * (1 - 0.25 * i / bursts) * np.linspace(1.1, 0.85, 4)
        voiced = rng.uniform(0.45, 0.6) / rate
        parts.append(("kk", _sound(shape, 1 / rate - voiced, np.zeros(0), 1.0, scale, rng), 0.18 * amplitude))
        parts.append((shape, _sound(shape, voiced, pitch, rng.uniform(0.1, 0.4), scale, rng), amplitude))
    return _assemble(parts, "laugh", rng)


def sigh(rng: np.random.Generator) -> Utterance:
    """Breath in, then a falling, breathy vowel."""
    base, scale = rng.uniform(90, 280), rng.uniform(0.95, 1.3)
    parts = [("sil", _sound("ih", rng.uniform(0.3, 0.7), np.zeros(0), 1.0, scale, rng), 0.12)]
    pitch = base * np.linspace(1.2, 0.6, 8)
    length = rng.uniform(0.5, 1.2)
    out = _sound("aa", length, pitch, rng.uniform(0.5, 0.95), scale, rng) * np.linspace(1, 0.1, int(length * RATE))
    return _assemble([*parts, ("oh", out, 0.6)], "sigh", rng)


def breath(rng: np.random.Generator) -> Utterance:
    """One to three breaths: shaped noise that swells and fades."""
    parts: list[tuple[str, np.ndarray, float]] = []
    scale = rng.uniform(0.9, 1.4)
    for _ in range(int(rng.integers(1, 4))):
        length = rng.uniform(0.3, 1.0)
        noise = _sound(str(rng.choice(["aa", "E", "oh"])), length, np.zeros(0), 1.0, scale, rng)
        parts.append(("sil", noise * np.sin(np.linspace(0, np.pi, len(noise))), rng.uniform(0.3, 1.0)))
        parts.append(("sil", np.zeros(int(rng.uniform(0.1, 0.6) * RATE)), 0.0))
    return _assemble(parts, "breath", rng)


def sing(rng: np.random.Generator) -> Utterance:
    """Long vowels on a scale with vibrato, hummed m and n between them."""
    scale, note = rng.uniform(0.95, 1.3), rng.uniform(110, 330)
    parts: list[tuple[str, np.ndarray, float]] = []
    for _ in range(int(rng.integers(4, 9))):
        note = float(np.clip(note * 2 ** (rng.choice([-4, -2, 0, 2, 3, 5]) / 12), 90, 600))
        if rng.random() < 0.6:
            hummed = str(rng.choice(["PP", "DD"]))
            parts.append((hummed, _sound(hummed, rng.uniform(0.08, 0.16), np.full(2, note), 0.02, scale, rng), 0.35))
        length = rng.uniform(0.3, 1.4)
        time = np.arange(0, length, 0.01)
        vibrato = 1 + 0.015 * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * time) * np.minimum(time / 0.3, 1)
        shape = str(rng.choice(["aa", "E", "ih", "oh", "ou"]))
        parts.append((shape, _sound(shape, length, note * vibrato, 0.05, scale, rng), rng.uniform(0.6, 1.0)))
    return _assemble(parts, "sing", rng)


MAKERS = {"laugh": laugh, "sigh": sigh, "breath": breath, "sing": sing}
