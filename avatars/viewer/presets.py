"""Faces to start from, as ARKit coefficients; the subject's own left and right."""

from __future__ import annotations

import numpy as np

from ..heads.arkit import INDEX, NAMES


def _both(**values: float) -> dict[str, float]:
    """Coefficients of both sides."""
    return {f"{name}{side}": value for name, value in values.items() for side in ("Left", "Right")}


FACES: dict[str, dict[str, float]] = {
    "Smile": _both(mouthSmile=0.75, cheekSquint=0.4, eyeSquint=0.25),
    "Laugh": _both(mouthSmile=0.8, cheekSquint=0.6, eyeSquint=0.45, mouthUpperUp=0.3) | {"jawOpen": 0.35},
    "Surprise": _both(eyeWide=0.8, browOuterUp=0.8) | {"browInnerUp": 0.9, "jawOpen": 0.35},
    "Sad": _both(mouthFrown=0.6, eyeSquint=0.2) | {"browInnerUp": 0.8, "mouthShrugLower": 0.3},
    "Angry": _both(browDown=0.9, noseSneer=0.4, eyeSquint=0.3, mouthPress=0.4),
    "Kiss": {"mouthPucker": 0.9, "mouthFunnel": 0.2},
    "Wink": {"eyeBlinkLeft": 1.0, "mouthSmileLeft": 0.5, "cheekSquintLeft": 0.5},
    "Asleep": _both(eyeBlink=1.0),
}


def face(name: str) -> np.ndarray:
    """[52] coefficients of a preset."""
    out = np.zeros(len(NAMES))
    for key, value in FACES[name].items():
        out[INDEX[key]] = value
    return out
