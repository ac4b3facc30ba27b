"""The 52 ARKit face coefficients: names, order, mirror images and groups.

Left and Right are the subject's own. Every coefficient lies in [0, 1].
"""

from __future__ import annotations

import numpy as np

NAMES = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight",
    "jawForward", "jawRight", "jawLeft", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight", "mouthLeft", "mouthSmileLeft", "mouthSmileRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""Order of the columns of a Live Link Face CSV (which adds nine head and eye angles after them)."""

INDEX = {name: i for i, name in enumerate(NAMES)}


def mirrored(name: str) -> str:
    """The coefficient that a left-right reflection turns `name` into."""
    if name.endswith("Left"):
        return name[:-4] + "Right"
    if name.endswith("Right"):
        return name[:-5] + "Left"
    return name


MIRROR = tuple(INDEX[mirrored(name)] for name in NAMES)
"""Column that each coefficient swaps with under reflection."""

EYES = tuple(i for i, name in enumerate(NAMES) if name.startswith("eye"))
GAZE = tuple(i for i, name in enumerate(NAMES) if name.startswith("eyeLook"))
LIDS = tuple(i for i in EYES if i not in GAZE)
JAW = tuple(i for i, name in enumerate(NAMES) if name.startswith("jaw"))
MOUTH = tuple(i for i, name in enumerate(NAMES) if name.startswith("mouth"))
BROWS = tuple(i for i, name in enumerate(NAMES) if name.startswith("brow"))
CHEEKS = tuple(i for i, name in enumerate(NAMES) if name.startswith(("cheek", "nose")))
TONGUE = (INDEX["tongueOut"],)


def admissible(coefficients: np.ndarray) -> np.ndarray:
    """Coefficients [..., 52] within [0, 1] and without combinations that no face makes.

    mouthClose says how far the lips close over an open jaw, so it cannot exceed jawOpen.
    """
    out = np.clip(coefficients, 0, 1)
    close, jaw = INDEX["mouthClose"], INDEX["jawOpen"]
    out[..., close] = np.minimum(out[..., close], out[..., jaw])
    return out
