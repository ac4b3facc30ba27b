"""How far an actor's lids are closed, by the opening of their own eyes.

A solver that fits the avatar's head cannot know how large the actor's eyes are; the eye's height over its width
against its value at rest does. Measured on two people: 0.26 to 0.32 at rest, 0.05 to 0.12 shut.
"""

from __future__ import annotations

import numpy as np

from ...heads.arkit import INDEX

BLINKS = (INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"])
_SHUT, _LEAST = 0.4, 0.05
"""Opening of a shut eye, as a share of that at rest; and the least opening at rest that is believed."""
_QUIET, _FULL = 0.2, 0.9
"""Shares of the way from rest to shut that count as not begun, and as shut."""


def closing(now: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """[2] blinks in [0, 1] for openings [2] now and at rest."""
    rest = np.maximum(rest, _LEAST)
    gone = (1 - now / rest) / (1 - _SHUT)
    return np.clip((gone - _QUIET) / (_FULL - _QUIET), 0, 1)
