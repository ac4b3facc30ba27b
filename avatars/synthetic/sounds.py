"""A small stock of speech sounds: how the mouth makes them, and what is heard."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Sound:
    """One speech sound."""

    mouth: dict[str, float]
    """ARKit coefficients at its middle; a name without side stands for both."""
    formants: tuple[float, float, float]
    """Hz (Peterson and Barney 1952 for the vowels)."""
    voice: float = 1.0
    """Strength of the vibrating folds."""
    noise: float = 0.0
    """Strength of turbulent noise."""
    noise_at: float = 4000.0
    """Hz: centre of the noise."""
    seconds: tuple[float, float] = (0.06, 0.10)
    """Shortest and longest."""
    firm: float = 1.0
    """How strongly it holds its shape against its neighbours."""
    burst: bool = False
    """Silence that ends in a click of noise."""


_VOWEL = (0.10, 0.19)
VOWELS = {
    "a": Sound({"jawOpen": 0.48, "mouthLowerDown": 0.18, "mouthUpperUp": 0.10}, (730, 1090, 2440), seconds=_VOWEL),
    "æ": Sound({"jawOpen": 0.38, "mouthStretch": 0.25, "mouthUpperUp": 0.22}, (660, 1720, 2410), seconds=_VOWEL),
    "e": Sound({"jawOpen": 0.28, "mouthStretch": 0.20, "mouthLowerDown": 0.12}, (530, 1840, 2480), seconds=_VOWEL),
    "i": Sound({"jawOpen": 0.10, "mouthSmile": 0.28, "mouthStretch": 0.25}, (270, 2290, 3010), seconds=_VOWEL),
    "o": Sound({"jawOpen": 0.27, "mouthFunnel": 0.50, "mouthPucker": 0.15}, (570, 840, 2410), seconds=_VOWEL),
    "u": Sound({"jawOpen": 0.12, "mouthFunnel": 0.25, "mouthPucker": 0.60}, (300, 870, 2240), seconds=_VOWEL),
    "ɝ": Sound({"jawOpen": 0.18, "mouthFunnel": 0.25}, (490, 1350, 1690), seconds=_VOWEL),
}
_PRESSED = {"jawOpen": 0.03, "mouthPress": 0.35, "mouthRollLower": 0.12, "mouthRollUpper": 0.10}
_BITE = {"jawOpen": 0.05, "mouthRollLower": 0.40, "mouthUpperUp": 0.18}
CONSONANTS = {
    "m": Sound(_PRESSED, (250, 1000, 2200), voice=0.45, firm=3.0),
    "b": Sound(_PRESSED, (250, 900, 2200), voice=0.15, noise=0.25, noise_at=1200, firm=3.0, burst=True),
    "p": Sound(_PRESSED, (300, 900, 2200), voice=0.0, noise=0.5, noise_at=1200, firm=3.0, burst=True),
    "f": Sound(_BITE, (350, 1300, 2400), voice=0.0, noise=0.25, noise_at=5500, firm=2.0),
    "v": Sound(_BITE, (350, 1300, 2400), voice=0.5, noise=0.10, noise_at=5500, firm=2.0),
    "s": Sound({"jawOpen": 0.04, "mouthStretch": 0.22, "mouthLowerDown": 0.10}, (350, 1700, 2600), voice=0.0,
               noise=0.45, noise_at=6000, seconds=(0.08, 0.13), firm=1.5),
    "ʃ": Sound({"jawOpen": 0.07, "mouthFunnel": 0.50, "mouthPucker": 0.15}, (350, 1600, 2400), voice=0.0, noise=0.5,
               noise_at=3000, seconds=(0.08, 0.13), firm=1.5),
    "t": Sound({"jawOpen": 0.08, "mouthLowerDown": 0.08}, (400, 1700, 2600), voice=0.0, noise=0.5, noise_at=4500,
               burst=True),
    "d": Sound({"jawOpen": 0.10, "mouthLowerDown": 0.08}, (400, 1700, 2600), voice=0.2, noise=0.2, noise_at=4000,
               burst=True),
    "n": Sound({"jawOpen": 0.12, "mouthLowerDown": 0.08}, (300, 1500, 2500), voice=0.45),
    "k": Sound({"jawOpen": 0.16}, (400, 1900, 2300), voice=0.0, noise=0.5, noise_at=2000, burst=True),
    "l": Sound({"jawOpen": 0.20, "mouthLowerDown": 0.10}, (380, 1200, 2600), voice=0.7),
    "w": Sound({"jawOpen": 0.08, "mouthPucker": 0.70, "mouthFunnel": 0.15}, (300, 700, 2200), voice=0.7, firm=1.5),
}  # fmt: skip
SILENCE = Sound({}, (500, 1500, 2500), voice=0.0, firm=0.7)


@dataclass(frozen=True)
class Spoken:
    """One sound said at a time."""

    sound: Sound
    start: float
    """s."""
    end: float
    stress: float = 1.0
    """How far the mouth opens for it, and how loud it is."""
    phrase: float = field(default=0.0)
    """Place within the phrase, 0 to 1: pitch falls along it."""


def babble(seconds: float, rng: np.random.Generator) -> list[Spoken]:
    """Random phrases of plausible syllables with pauses between them, covering [0, seconds]."""
    out: list[Spoken] = []
    vowels, consonants = list(VOWELS.values()), list(CONSONANTS.values())
    now = _pause(out, 0.0, rng.uniform(0.15, 0.35))
    while now < seconds:
        count = int(rng.integers(5, 13))
        for k in range(count):
            stress = float(rng.uniform(0.7, 1.2) * (1.15 if k % 3 == 1 else 0.9))
            for stock in (consonants, vowels) if rng.uniform() < 0.85 else (vowels, consonants):
                sound = stock[int(rng.integers(len(stock)))]
                length = float(rng.uniform(*sound.seconds)) * (1.3 if k == count - 1 else 1.0)
                out.append(Spoken(sound, now, now + length, stress, k / count))
                now += length
        now = _pause(out, now, float(rng.uniform(0.25, 0.7)))
    return out


def _pause(out: list[Spoken], now: float, length: float) -> float:
    out.append(Spoken(SILENCE, now, now + length))
    return now + length
