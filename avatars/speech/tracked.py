"""Motion files: safetensors with times, arkit, rotation and translation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatars.data import Motion
from avatars.errors import FileFormatError
from avatars.files import load_tensors, save_tensors

_FIELDS = ("times", "arkit", "rotation", "translation")


def save_motion(path: Path, motion: Motion) -> None:
    """Write a motion."""
    save_tensors(path, {name: np.asarray(getattr(motion, name)) for name in _FIELDS})


def load_motion(path: Path) -> Motion:
    """Inverse of `save_motion`.

    Raises:
        FileFormatError: missing, damaged or not a motion.
    """
    tensors, _ = load_tensors(path)
    if set(_FIELDS) - set(tensors):
        raise FileFormatError(f"Not a motion: it lacks {', '.join(sorted(set(_FIELDS) - set(tensors)))}", where=path)
    return Motion(*(tensors[name] for name in _FIELDS)).validate()
