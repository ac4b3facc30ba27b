"""Faces of sounds that are no speech: laughter, sighs, breath, singing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .emotion import row
from .vocal import CLASSES

_FACES: dict[str, dict[str, float]] = {
    "quiet": {},
    "speech": {},
    "laugh": {"mouthSmile*": 0.5, "cheekSquint*": 0.6, "eyeSquint*": 0.4, "mouthUpperUp*": 0.15, "browOuterUp*": 0.1},
    "sigh": {"browInnerUp": 0.25, "eyeBlink*": 0.2, "mouthFunnel": 0.1, "cheekPuff": 0.1},
    "breath": {"jawOpen": 0.07, "noseSneer*": 0.06, "browInnerUp": 0.05},
    "sing": {"browInnerUp": 0.2, "browOuterUp*": 0.15, "eyeSquint*": 0.05},
}


FACES = np.stack([row(_FACES[name]) for name in CLASSES])
"""[6, 52] added at full certainty."""
LAUGH, SING = CLASSES.index("laugh"), CLASSES.index("sing")
BACK = 0.08
"""rad, how far the head goes back in full laughter."""
_ATTACK = 0.12
"""s; a class must last about this long to be seen."""


class Nonverbal:
    """Smoothed certainty of each class, tick by tick."""

    def __init__(self) -> None:
        self._certainty = [0.0] * len(CLASSES)

    def tick(self, probability: Sequence[float], step: float = 0.02) -> list[float]:
        """[6] after 20 ms more of class probabilities [6]; a class counts from a probability of one half."""
        for i, p in enumerate(probability):
            goal = min(max(2.5 * (p - 0.5), 0.0), 1.0)
            self._certainty[i] += (goal - self._certainty[i]) * step / (_ATTACK if goal > self._certainty[i] else 0.25)
        return list(self._certainty)
