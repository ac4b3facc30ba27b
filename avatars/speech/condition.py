"""What the network is told besides the sound: style, emotion, language and how far it may look ahead. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from avatars.errors import InputError

from .articulation import ARTICULATORS
from .phonemes import LANGUAGES

EMOTIONS = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise", "contempt")
MAX_INTENSITY = 1.5

STYLE = len(ARTICULATORS) + 5
"""Style vector: a log gain for each articulator (halves of e), a resting smile, then the four of `Manner`."""
STYLE_REST = len(ARTICULATORS)
STYLE_MANNER = slice(STYLE_REST + 1, STYLE)
GAIN_UNIT, REST_UNIT = 0.5, 0.15

LOOK_AHEADS = (0, 2, 3, 4, 8)
"""Network frames of 20 ms that an answer may wait for."""
DEFAULT_LOOK_AHEAD = 3
LONGEST_LOOK_AHEAD = LOOK_AHEADS[-1]
"""For sound that is there as a whole: nobody waits for the answer."""
LONGEST_MS = 20 * LONGEST_LOOK_AHEAD
"""The same in ms, as `Stream` takes it."""
SIZE = STYLE + len(EMOTIONS) + len(LANGUAGES) + len(LOOK_AHEADS)
"""Length of the condition vector."""

_ARTICULATION = {
    "happy": {"stretch": 0.3, "smile": 0.5, "pucker": -0.2, "jaw": 0.1},
    "sad": {"jaw": -0.25, "gap": -0.15, "stretch": -0.2},
    "angry": {"jaw": 0.15, "lower_down": 0.4, "press": 0.3, "stretch": 0.2},
    "fear": {"stretch": 0.4, "jaw": -0.05},
    "disgust": {"upper_up": 0.5},
    "surprise": {"jaw": 0.25, "gap": 0.2},
    "contempt": {"smile": 0.2},
}
EMOTION_GAIN = np.array(
    [[_ARTICULATION.get(emotion, {}).get(name, 0.0) for name in ARTICULATORS] for emotion in EMOTIONS], np.float32
)
"""[8, 11] log gain of each articulator at intensity 1: how an emotion changes articulation itself."""


def emotion_vector(weights: Mapping[str, float], intensity: float = 1.0) -> np.ndarray:
    """[8] float32 of named weights (they are scaled to a sum of at most 1) times an intensity in [0, 1.5].

    Raises:
        InputError: an unknown emotion, a negative or non-finite number, an intensity out of range.
    """
    out = np.zeros(len(EMOTIONS), np.float32)
    for name, value in weights.items():
        if name not in EMOTIONS:
            raise InputError(f"Unknown emotion '{name}'", fix=f"Choose from: {', '.join(EMOTIONS)}")
        if not (np.isfinite(value) and value >= 0):
            raise InputError(f"Weight of emotion '{name}' must be a number of at least 0, not {value}")
        out[EMOTIONS.index(name)] = value
    if not (np.isfinite(intensity) and 0 <= intensity <= MAX_INTENSITY):
        raise InputError(f"Emotion intensity must lie between 0 and {MAX_INTENSITY}, not {intensity}")
    return out / max(float(out.sum()), 1.0) * np.float32(intensity)


def condition(
    style: np.ndarray | None = None,
    emotion: np.ndarray | None = None,
    language: str | None = None,
    look_ahead: int = DEFAULT_LOOK_AHEAD,
) -> np.ndarray:
    """[SIZE] float32 condition vector; None means usual (zeros).

    Raises:
        InputError: `look_ahead` is not one that the network was trained for.
    """
    if look_ahead not in LOOK_AHEADS:
        allowed = ", ".join(str(20 * n) for n in LOOK_AHEADS)
        raise InputError(f"The look-ahead cannot be {20 * look_ahead} ms", fix=f"Choose from {allowed} ms")
    ahead = np.zeros(len(LOOK_AHEADS), np.float32)
    ahead[LOOK_AHEADS.index(look_ahead)] = 1
    spoken = np.array([name == language for name in LANGUAGES], np.float32)
    feeling = np.zeros(len(EMOTIONS), np.float32) if emotion is None else np.asarray(emotion, np.float32)
    manner = np.zeros(STYLE, np.float32) if style is None else style
    return np.concatenate([manner, feeling, spoken, ahead]).astype(np.float32)


def styled(curves: np.ndarray, style: np.ndarray, emotion: np.ndarray) -> np.ndarray:
    """Articulators [..., T, 11] of a usual speaker, as this style [..., 16] in this emotion [..., 8] makes them."""
    gain = np.exp(GAIN_UNIT * style[..., :STYLE_REST] + emotion @ EMOTION_GAIN)
    out = curves * gain[..., None, :]
    out[..., ARTICULATORS.index("smile")] += REST_UNIT * np.maximum(style[..., STYLE_REST], 0)[..., None]
    return np.minimum(out, 1.5)
