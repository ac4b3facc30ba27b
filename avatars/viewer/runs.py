"""A training that runs or has run, seen from its files alone: the training never waits for whoever looks."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import files
from ..capture.clip import load_clip
from ..data import Track
from ..errors import FileFormatError, InputError
from ..heads.head import Head
from ..splats.avatar import Avatar, Subject
from ..tracking.track import load_track
from ..training import build, checkpoint
from ..training.loop import Trainer
from ..training.presets import Preset, parse_preset


@dataclass(frozen=True)
class Progress:
    """How far a training is."""

    iteration: int
    iterations: int
    seconds: float
    history: np.ndarray
    """[n, 2] iteration and smoothed loss."""


def newest_training(run: Path) -> Path:
    """The training of a run directory that was saved last.

    Raises:
        InputError: there is none.
    """
    found = sorted(run.glob(f"training-*/{checkpoint.NAME}"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        raise InputError(
            "No training has been saved here", where=run,
            fix="Give a run directory of `avatars build`, and wait for its training to begin",
        )  # fmt: skip
    return found[-1].parent


class Watched:
    """The newest training of a run directory.

    Args:
        run: such as `alice.run`.
        find_head: the head model of that name and sha256, from {"name": ..., "sha256": ...}.

    Raises:
        AvatarError: there is no training, or its clip, track or head cannot be read.
    """

    def __init__(self, run: Path, find_head: Callable[[dict[str, str]], Head]) -> None:
        self.run, self._find_head = Path(run), find_head
        self._directory = newest_training(self.run)
        self._stamp = (0, 0)
        self._trainer: Trainer | None = None
        self._track: Track | None = None

    @property
    def name(self) -> str:
        """Of the run."""
        return self.run.stem

    def changed(self) -> bool:
        """Whether there is something newer than what `load` gave last."""
        try:
            return newest_training(self.run) != self._directory or self._signature() != self._stamp
        except (InputError, OSError):
            return False

    def _signature(self) -> tuple[int, int]:
        state = (self._directory / checkpoint.NAME).stat()
        return state.st_mtime_ns, state.st_size

    def load(self) -> tuple[Avatar, Progress]:
        """The avatar as last saved.

        Raises:
            AvatarError: the files do not fit together.
        """
        newest = newest_training(self.run)
        if newest != self._directory or self._trainer is None:
            self._directory = newest
            self._trainer, self._track = self._prepare()
        self._stamp = self._signature()
        trainer, track = self._trainer, self._track
        assert track is not None
        checkpoint.restore(self._directory, trainer)
        now = build.with_poses(track, trainer.poses.pose, {}, trainer)
        avatar = Avatar(
            head=trainer.head,
            splats=trainer.model.splats(trainer.seeded),
            network=copy.deepcopy(trainer.model.network),
            track=now,
            subject=Subject.of_track(build.rows_of(now, trainer.rows)),
            manifest={"name": self.name},
            plate=None,
        )
        history = np.array(trainer.history, float).reshape(-1, 2)
        return avatar, Progress(trainer.iteration, trainer.preset.iterations, trainer.seconds, history)

    def _prepare(self) -> tuple[Trainer, Track]:
        """The training as it began; deterministic, so it fits what was saved."""
        preset = _preset(self._directory / checkpoint.NAME)
        run = build.Run(self.run)
        clip, track = load_clip(run.clip), load_track(run.track)
        head = self._find_head(track.head)
        if head.sha256 != track.head.get("sha256"):
            raise InputError("The run was made with another head model", where=self.run, fix="Install that head")
        return build.prepare(head, clip, track, preset, _split_of(preset, self._directory.name))[:2]


def _preset(path: Path) -> Preset:
    _, words = files.load_tensors(path, finite=False)
    try:
        return parse_preset(json.loads(words["preset"]), path)
    except (KeyError, ValueError, TypeError) as error:
        raise FileFormatError(f"Not a checkpoint: {error}", where=path) from error


def _split_of(preset: Preset, name: str) -> str:
    """The test split that the name of a training's directory stands for."""
    for test in build.TESTS:
        if build._training_name(preset, test) == name:
            return test
    raise FileFormatError("The training's directory does not bear the name of its settings", where=name)
