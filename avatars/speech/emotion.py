"""Emotions on the face: additive ARKit offsets, full in the upper face, yielding to speech around the mouth."""

from __future__ import annotations

import numpy as np

from avatars.heads.arkit import INDEX, NAMES

from .condition import EMOTIONS

YIELD = 0.65
"""Share of an emotion's mouth that speech takes away."""

_FACES: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {"mouthSmile*": 0.55, "cheekSquint*": 0.45, "eyeSquint*": 0.25, "browOuterUp*": 0.1, "mouthDimple*": 0.15},
    "sad": {"browInnerUp": 0.55, "mouthFrown*": 0.45, "eyeSquint*": 0.1, "mouthShrugLower": 0.25, "eyeLookDown*": 0.15,
            "browDown*": 0.05},
    "angry": {"browDown*": 0.7, "eyeSquint*": 0.3, "noseSneer*": 0.35, "mouthPress*": 0.3, "mouthFrown*": 0.2,
              "jawForward": 0.1},
    "fear": {"browInnerUp": 0.6, "browOuterUp*": 0.3, "eyeWide*": 0.6, "mouthStretch*": 0.35},
    "disgust": {"noseSneer*": 0.7, "browDown*": 0.35, "mouthUpperUp*": 0.25, "eyeSquint*": 0.25, "mouthFrown*": 0.25},
    "surprise": {"browInnerUp": 0.6, "browOuterUp*": 0.65, "eyeWide*": 0.55, "jawOpen": 0.18},
    "contempt": {"mouthSmileLeft": 0.3, "mouthDimpleLeft": 0.45, "mouthPressLeft": 0.15, "browOuterUpLeft": 0.15,
                 "eyeSquint*": 0.1},
}  # fmt: skip


def row(face: dict[str, float]) -> np.ndarray:
    """[52] coefficients of a face by name; `*` stands for Left and Right."""
    out = np.zeros(len(NAMES), np.float32)
    for name, value in face.items():
        for full in (name[:-1] + "Left", name[:-1] + "Right") if name.endswith("*") else (name,):
            out[INDEX[full]] = value
    return out


OFFSETS = np.stack([row(_FACES[name]) for name in EMOTIONS])
"""[8, 52] what each emotion adds at intensity 1."""
_IS_MOUTH = np.array([name.startswith(("mouth", "jaw", "tongue")) for name in NAMES], np.float32)


def offsets(emotion: np.ndarray, speaking: np.ndarray, arousal: np.ndarray) -> np.ndarray:
    """[T, 52] to add for emotion vectors [T, 8], speaking [T] and arousal [T], the latter two in [0, 1].

    Arousal changes the strength by +-20 %; which emotion it is never comes from the voice.
    """
    strength = (0.8 + 0.4 * arousal)[:, None]
    return (emotion @ OFFSETS) * strength * (1 - YIELD * speaking[:, None] * _IS_MOUTH)
