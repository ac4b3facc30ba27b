"""What a synthetic person looks like, and the light and room that they are filmed in: drawn from one seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Color = tuple[float, float, float]
"""sRGB in [0, 1]."""

_SKIN = ((0.90, 0.74, 0.66), (0.84, 0.66, 0.56), (0.76, 0.57, 0.45), (0.60, 0.42, 0.31), (0.43, 0.29, 0.21))
_HAIR = (
    (0.09, 0.07, 0.06),
    (0.17, 0.11, 0.08),
    (0.27, 0.17, 0.11),
    (0.40, 0.25, 0.14),
    (0.62, 0.47, 0.28),
    (0.55, 0.54, 0.52),
)
_IRIS = ((0.30, 0.19, 0.11), (0.40, 0.27, 0.13), (0.42, 0.40, 0.22), (0.33, 0.45, 0.33), (0.35, 0.48, 0.58))
_CLOTH = (
    (0.20, 0.26, 0.38),
    (0.46, 0.18, 0.18),
    (0.22, 0.36, 0.30),
    (0.72, 0.70, 0.66),
    (0.30, 0.30, 0.33),
    (0.62, 0.50, 0.32),
)
_WALL = ((0.72, 0.72, 0.70), (0.58, 0.64, 0.68), (0.70, 0.65, 0.58), (0.55, 0.60, 0.55), (0.45, 0.47, 0.52))
PATTERNS = ("plain", "stripes", "checks", "knit")


@dataclass(frozen=True)
class Look:
    """One person, one room."""

    identity_spread: float
    """Standard deviations of the head's identity axes. The default head's population is about 1.45 times as varied as
    people are (face height, width, mouth, nose, eyes: standard deviations against anthropometric tables), so 0.7."""
    skin: Color
    melanin: float
    """0 pale to 1 dark: how much redness shows and how much light scatters."""
    hair: Color
    hair_length: float
    """m."""
    hair_volume: float
    """m above the scalp."""
    parting: float
    """Where the hair parts, from -1 (the person's right) to 1."""
    fringe: float
    """How far hair falls over the forehead, 0 for brushed back to 1."""
    iris: Color
    beard: float
    """Strength of a beard's shadow, 0 for none."""
    makeup: float
    """How much redder than skin the lips are."""
    cloth: Color
    trim: Color
    pattern: str
    wall: Color
    light: tuple[float, float, float]
    """Towards the lamp, in camera coordinates (x right, y down, z away), unit length."""
    lamp: Color
    """Linear colour and strength of the lamp."""
    ambient: Color
    """Linear colour and strength of the light from everywhere."""
    focal: float
    """Focal length in units of the picture's side."""


def draw_look(
    rng: np.random.Generator, ambient: float, light: tuple[float, float, float] | None, focal: float | None
) -> Look:
    """A random look; what is given is not drawn."""
    tone = rng.uniform(0, len(_SKIN) - 1.001)
    low = int(tone)
    skin = np.array(_SKIN[low]) * (1 - tone + low) + np.array(_SKIN[low + 1]) * (tone - low)
    melanin = tone / (len(_SKIN) - 1)
    hair = _HAIR[int(rng.integers(len(_HAIR) if melanin < 0.5 else 2))]
    iris = _IRIS[int(rng.integers(len(_IRIS) if melanin < 0.4 else 2))]
    side, warm = rng.choice([-1.0, 1.0]), rng.uniform(-0.08, 0.12)
    drawn = np.array([side * rng.uniform(0.35, 0.8), -rng.uniform(0.4, 0.8), -0.9])
    toward = drawn if light is None else np.array(light, float)
    cloth, trim = rng.permutation(len(_CLOTH))[:2]
    values = {
        "identity_spread": 0.7,
        "skin": _color(skin * rng.uniform(0.96, 1.04)),
        "melanin": float(melanin),
        "hair": hair,
        "hair_length": float(rng.uniform(0.04, 0.075)),
        "hair_volume": float(rng.uniform(0.010, 0.020)),
        "parting": float(rng.choice([-0.4, -0.3, 0.3, 0.4])),
        "fringe": float(rng.uniform(0.0, 0.35)),
        "iris": iris,
        "beard": float(max(0.0, rng.uniform(-0.5, 0.5))),
        "makeup": float(rng.uniform(0.1, 0.6)),
        "cloth": _CLOTH[int(cloth)],
        "trim": _CLOTH[int(trim)],
        "pattern": PATTERNS[int(rng.integers(len(PATTERNS)))],
        "wall": _WALL[int(rng.integers(len(_WALL)))],
        "light": _color(toward / np.linalg.norm(toward)),
        "lamp": _color(np.array([1 + warm, 1.0, 1 - warm]) * (1.0 - ambient) * 1.45),
        "ambient": _color(np.array([1 - warm / 2, 1.0, 1 + warm / 2]) * ambient),
        "focal": float(rng.uniform(1.9, 2.6)) if focal is None else focal,
    }
    return Look(**values)


def _color(value: np.ndarray) -> Color:
    return (float(value[0]), float(value[1]), float(value[2]))


def linear(srgb: Color | np.ndarray) -> np.ndarray:
    """sRGB to linear light (IEC 61966-2-1)."""
    c = np.asarray(srgb, np.float32)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)
