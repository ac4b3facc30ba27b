"""Where the detector puts its landmarks, beside where the head has them.

A detector has habits: its brows sit high, its contour behind the silhouette. Measured on synthetic people, whose true
faces are known, they hold for real ones too: tracks of real clips come nearer to their landmarks, and need a third
less of a correction by person. `scripts/measure_habit.py` measures them again.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from .. import files
from ..data import LANDMARKS
from ..heads.head import Head

FILE = Path(__file__).with_name("habit.safetensors")
SHRINK = 0.8
"""Share of what was measured that is believed of somebody new."""


def detector_habit(head: Head) -> np.ndarray:
    """[478, 3] m in head coordinates, from the head's landmarks to where the detector sees them.

    Known for the default head; zero for others.
    """
    return _measured() if head.name == "default" else np.zeros((LANDMARKS, 3))


@cache
def _measured() -> np.ndarray:
    habit = files.load_tensors(FILE)[0]["habit"].astype(float)
    habit.flags.writeable = False
    return habit
