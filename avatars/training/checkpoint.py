"""Checkpoints that are complete by construction: every tensor the step reads, and where it stood.

Beside them lies the avatar as it was seeded, written once. It and a checkpoint together are the avatar as it is now,
so whoever watches a training (`snapshot`) needs neither its footage nor a trainer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from .. import files, geometry
from ..errors import FileFormatError
from ..splats.avatar import Avatar, Subject
from ..splats.bases import BasisNetwork
from ..splats.model import PARAMETERS, Pose
from ..splats.rebind import rebound
from ..tracking.personal import left_over
from .optimizer import shaped

if TYPE_CHECKING:
    from .loop import Trainer

NAME = "checkpoint.safetensors"
START = "start.avatar"
FORMAT = 1


def save(directory: Path, trainer: Trainer) -> None:
    """Write the trainer's state atomically."""
    tensors = trainer.optimizer.tensors() | trainer.poses.tensors()
    tensors["history"] = np.array(trainer.history, np.float64).reshape(-1, 2)
    tensors["peeks"] = np.array(trainer.peeks, np.float64).reshape(-1, 2)
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
        trainer.peeks = [(int(i), float(v)) for i, v in tensors.get("peeks", np.zeros((0, 2)))]
        trainer.iteration, trainer.bad = int(words["iteration"]), int(words["bad"])
        trainer.seconds, trainer.smooth = float(words["seconds"]), float(words["smooth"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise FileFormatError(
            f"The checkpoint does not fit this run: {error}", where=path, fix="Delete it to start afresh"
        ) from error
    return True


def begin(directory: Path, trainer: Trainer) -> None:
    """Write what a checkpoint leaves out because it never changes: head, seats of the splats, times, camera."""
    track = replace(trainer.track, camera=trainer.camera)
    Avatar(
        head=trainer.head,
        splats=trainer.seeded,
        network=trainer.model.network,
        track=track,
        subject=Subject.of_track(track, trainer.head),
        manifest={
            "training_rows": [int(row) for row in trainer.rows],
            "iterations": trainer.preset.iterations,
        },
    ).save(directory / START, overwrite=True)


@dataclass
class Snapshot:
    """A training as it was last saved."""

    avatar: Avatar
    iteration: int
    iterations: int
    seconds: float
    history: np.ndarray
    """[n, 2] iteration and smoothed loss."""
    peeks: np.ndarray
    """[n, 2] iteration and PSNR of a few held-out frames, dB (see `loop.Progress`)."""


def snapshot(directory: Path, start: Avatar) -> Snapshot:
    """Read a checkpoint for looking at it.

    Args:
        directory: of the training.
        start: the avatar in `START` beside it.

    Raises:
        FileFormatError: missing, damaged, newer, or of another start.
    """
    path = directory / NAME
    tensors, words = files.load_tensors(path, finite=False)
    if int(words.get("format", "0")) > FORMAT:
        raise FileFormatError("The checkpoint was written by a newer program", where=path, fix="Update avatars")
    try:
        splats = replace(
            start.splats, bases=tensors["bases"], **{name: tensors[f"splat.{name}"] for name in PARAMETERS}
        )
        head = shaped(start.head, tensors)
        network = BasisNetwork.from_tensors(start.network.tensors())
        flat = torch.from_numpy(tensors["network"])
        torch.nn.utils.vector_to_parameters(flat, network.net.parameters())
        pose = Pose(*(torch.from_numpy(tensors[f"pose.{name}"]) for name in Pose.__dataclass_fields__))
        track = replace(
            start.track,
            landmark_offsets=left_over(head, start.track.landmark_offsets, head.template - start.head.template),
            expression=pose.expression.numpy(),
            rotation=geometry.rotvec_from_matrix(pose.rotation).numpy(),
            translation=pose.translation.numpy(),
            torso_rotation=geometry.rotvec_from_matrix(pose.torso_rotation).numpy(),
            torso_translation=pose.torso_translation.numpy(),
        )
        subject = Subject.of_track(track, head)
        splats = rebound(splats, start.head, head)
        avatar = replace(start, head=head, splats=splats, network=network, track=track, subject=subject)
        return Snapshot(
            avatar.validate(), int(words["iteration"]), int(json.loads(words["preset"])["iterations"]),
            float(words["seconds"]), tensors["history"], tensors.get("peeks", np.zeros((0, 2))),
        )  # fmt: skip
    except (KeyError, RuntimeError, ValueError, TypeError) as error:
        raise FileFormatError(f"The checkpoint does not fit its start: {error}", where=path) from error
