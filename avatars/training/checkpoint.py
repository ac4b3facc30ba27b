"""Checkpoints that are complete by construction: every tensor the step reads, and where it stood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import files
from ..errors import FileFormatError

if TYPE_CHECKING:
    from .loop import Trainer

NAME = "checkpoint.safetensors"
FORMAT = 1


def save(directory: Path, trainer: Trainer) -> None:
    """Write the trainer's state atomically."""
    tensors = trainer.optimizer.tensors() | trainer.poses.tensors()
    tensors["history"] = np.array(trainer.history, np.float64).reshape(-1, 2)
    words = {
        "format": str(FORMAT),
        "iteration": str(trainer.iteration),
        "seconds": repr(trainer.seconds),
        "bad": str(trainer.bad),
        "smooth": repr(trainer.smooth),
        "preset": json.dumps(trainer.preset.to_json(), sort_keys=True),
    }
    files.save_tensors(directory / NAME, tensors, words)


def restore(directory: Path, trainer: Trainer) -> bool:
    """Continue from the checkpoint in `directory`, if there is one.

    Raises:
        FileFormatError: damaged, newer, or of a run with other settings.
    """
    path = directory / NAME
    if not path.exists():
        return False
    tensors, words = files.load_tensors(path, finite=False)
    if int(words.get("format", "0")) > FORMAT:
        raise FileFormatError("The checkpoint was written by a newer program", where=path, fix="Update avatars")
    if words.get("preset") != json.dumps(trainer.preset.to_json(), sort_keys=True):
        raise FileFormatError(
            "The checkpoint belongs to a run with other settings", where=path,
            fix="Delete it to start afresh, or run with the same settings",
        )  # fmt: skip
    try:
        trainer.optimizer.restore(tensors)
        trainer.poses.restore(tensors)
        trainer.history = [(int(i), float(v)) for i, v in tensors["history"]]
        trainer.iteration, trainer.bad = int(words["iteration"]), int(words["bad"])
        trainer.seconds, trainer.smooth = float(words["seconds"]), float(words["smooth"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise FileFormatError(
            f"The checkpoint does not fit this run: {error}", where=path, fix="Delete it to start afresh"
        ) from error
    return True
