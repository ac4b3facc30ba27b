"""A training that runs or has run, seen from its files alone: the training never waits for whoever looks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ..capture.clip import load_clip
from ..data import Clip
from ..errors import AvatarError, FileFormatError, InputError
from ..splats.avatar import MANIFEST, Avatar
from ..training import build, checkpoint
from ..training.checkpoint import Snapshot


def newest_training(run: Path) -> Path:
    """The training of a run directory that was written last.

    Raises:
        InputError: there is none.
    """
    if not run.is_dir():
        raise InputError("No such run", where=run, fix="Give a run directory of `avatars build`, such as alice.run")
    found = sorted(run.glob("training-*"), key=lambda path: max(_stamp(path)))
    if not found or not any(_stamp(found[-1])):
        raise InputError("No training has begun here", where=run, fix="Wait for the training of `avatars build`")
    return found[-1]


def _stamp(training: Path) -> tuple[int, int]:
    """When its checkpoint and its start were written, ns; 0 for what is not there."""

    def written(path: Path) -> int:
        try:
            return path.stat().st_mtime_ns
        except OSError:
            return 0

    return written(training / checkpoint.NAME), written(training / checkpoint.START / MANIFEST)


@dataclass(frozen=True)
class Film:
    """The footage that an avatar is made from, row by row of its track."""

    clip: Clip
    frame: np.ndarray
    """[T] index into the clip's frames."""
    held: frozenset[int]
    """Rows that training never sees."""

    def picture(self, row: int, width: int, height: int) -> np.ndarray:
        """[height, width, 3] uint8, the captured frame of a row."""
        return _resized(self.clip.frames[self.frame[row]], width, height)

    def plate(self, width: int, height: int) -> np.ndarray | None:
        """[height, width, 3] uint8, what the person was filmed before; None where the camera moved."""
        return None if self.clip.plate is None else _resized(self.clip.plate, width, height)


def _resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    shrinks = width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


class Watched:
    """The newest training of a run directory.

    Args:
        run: such as `alice.run`.

    Raises:
        AvatarError: there is no training, or its files cannot be read.
    """

    def __init__(self, run: Path) -> None:
        self.run = Path(run)
        self._directory = newest_training(self.run)
        self._seen: tuple[Path, tuple[int, int]] | None = None
        self._start: tuple[int, Avatar] | None = None
        self._clip: Clip | None = None

    @property
    def name(self) -> str:
        """Of the run."""
        return self.run.stem

    def changed(self) -> bool:
        """Whether there is something newer than what `load` gave last."""
        try:
            newest = newest_training(self.run)
        except InputError:
            return False
        return (newest, _stamp(newest)) != self._seen

    def load(self) -> Snapshot:
        """The avatar as last saved; as it was seeded, before the first checkpoint.

        Raises:
            AvatarError: the files do not fit together, or a program that left out the start wrote them.
        """
        self._directory = newest_training(self.run)
        saved, began = stamp = _stamp(self._directory)
        start = self._beginning(began)
        if saved:
            found = checkpoint.snapshot(self._directory, start)
        else:
            total = int(start.manifest.get("iterations", 0))
            found = Snapshot(start, 0, total, 0.0, np.zeros((0, 2)), np.zeros((0, 2)))
        self._seen = (self._directory, stamp)
        plate = self.clip.plate if self.clip is not None else None
        return replace(found, avatar=replace(found.avatar, manifest={"name": self.name}, plate=plate))

    def _beginning(self, written: int) -> Avatar:
        if not written:
            raise FileFormatError(
                "This training was begun by an older program, which did not keep what viewing needs",
                where=self._directory,
                fix="Continue it with `avatars build`, or view the finished .avatar",
            )
        if self._start is None or self._start[0] != written:
            self._start = written, Avatar.load(self._directory / checkpoint.START)
        return self._start[1]

    @property
    def clip(self) -> Clip | None:
        """The footage, None where it was deleted."""
        if self._clip is None:
            try:
                self._clip = load_clip(build.Run(self.run).clip)
            except AvatarError:
                return None
        return self._clip

    def film(self, avatar: Avatar) -> Film | None:
        """The captured frames of what `load` gave, None where the footage was deleted."""
        clip, start = self.clip, self._start
        if clip is None or start is None or int(avatar.track.frame.max(initial=0)) >= len(clip.frames):
            return None
        trained = start[1].manifest.get("training_rows", [])
        held = frozenset(range(len(avatar.track.frame))) - frozenset(int(row) for row in trained)
        return Film(clip, avatar.track.frame, held)
