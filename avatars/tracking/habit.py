"""Where the detector puts its landmarks, beside where the head has them.

A detector has habits: its brows sit high, its contour behind the silhouette; it underrates nods, takes a turned face
for a nodding one, and its chin and cheeks follow a jaw or a smile in their own way. Measured on synthetic people, whose
true faces are known, they hold for real ones too: tracks of real clips come nearer to their landmarks, and splats that
do not bend fit the pictures better along them. `scripts/measure_habit.py` measures them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from .. import files
from ..data import LANDMARKS
from ..heads.head import Head

FILE = Path(__file__).with_name("habit.safetensors")
ASPECTS = 2
"""How many numbers `aspects` gives."""
SHRINK = 0.8
"""Share of what was measured that is believed of somebody new."""


@dataclass(frozen=True, eq=False)
class Habit:
    """From the head's landmarks to where the detector sees them, in head coordinates."""

    offset: np.ndarray
    """[478, 3] m, whatever the face does."""
    aspect: np.ndarray
    """[ASPECTS, 478, 3] m per unit of each of `aspects`."""
    expression: np.ndarray
    """[E, 478, 3] m per unit of expression."""

    @staticmethod
    def of(head: Head) -> Habit:
        """Known for the default head; zero for others."""
        if head.name == "default":
            return _measured()
        count = len(head.expression_names)
        return Habit(*(np.zeros((*n, LANDMARKS, 3)) for n in ((), (ASPECTS,), (count,))))

    def moves(self, expression: np.ndarray, rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
        """All of it, [T, 478, 3] m, for faces [T, E] at rotations [T, 3, 3] and places [T, 3] m before the camera."""
        seen = np.tensordot(aspects(rotation, translation), self.aspect, 1)
        return self.offset + seen + np.tensordot(expression, self.expression, 1)


def aspects(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """[T, ASPECTS] from where heads at rotations [T, 3, 3] and places [T, 3] m in camera coordinates are seen.

    The sine of the angle by which the camera stands above the head's horizon, and the square of that by which it stands
    to one side. (What grows with the side itself cannot be told from another depth of the landmark.)
    """
    toward = -translation / np.linalg.norm(translation, axis=1, keepdims=True)
    height, side = (np.einsum("tk,tk->t", rotation[:, :, axis], toward) for axis in (1, 0))
    return np.stack([height, side**2], 1)


@cache
def _measured() -> Habit:
    tensors = files.load_tensors(FILE)[0]
    for value in tensors.values():
        value.flags.writeable = False
    return Habit(*(tensors[name].astype(float) for name in ("offset", "aspect", "expression")))
