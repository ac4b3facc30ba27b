"""The stages of a build one by one, on a run directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import files
from ..capture.clip import load_clip
from ..errors import InputError
from ..tracking.track import load_track
from ..training import build, checkpoint
from ..training.figures import settings
from .heads import DEFAULT, find_head

if TYPE_CHECKING:
    from ..data import Clip, Track
    from ..heads.head import Head
    from ..splats.avatar import Avatar


def clip_of(run: build.Run) -> Clip:
    """The captured clip of a run directory.

    Raises:
        InputError: there is none.
    """
    if not (run.clip / "clip.json").is_file():
        raise InputError(
            "There is no captured clip",
            where=run.directory,
            fix=f"Run `avatars capture VIDEO -o {run.directory}` first",
        )
    return load_clip(run.clip)


def track_of(run: build.Run) -> Track:
    """The track of a run directory.

    Raises:
        InputError: there is none.
    """
    if not run.track.is_file():
        raise InputError("There is no track", where=run.directory, fix=f"Run `avatars track {run.directory}` first")
    return load_track(run.track)


def head_of(landmark: Track, listener: build.Listener) -> Head:
    """The generic head that a run's track refers to.

    Raises:
        InputError: the head model has changed since.
    """
    head = find_head(landmark.head.get("name", DEFAULT), listener.progress)
    if head.sha256 != landmark.head.get("sha256"):
        raise InputError(
            f"The track was made with another version of the head '{head.name}'", fix="Build the avatar again"
        )
    return head


def history_of(run: build.Run, avatar: Avatar) -> list[tuple[int, float]]:
    """(iteration, loss) of the training that made an avatar, where its checkpoint is still there."""
    preset, test = settings(avatar)
    if not run.track.is_file():
        return []
    path = run.directory / build.training_name(preset, test, load_track(run.track)) / checkpoint.NAME
    if not path.is_file():
        return []
    tensors, _ = files.load_tensors(path, finite=False)
    return [(int(iteration), float(loss)) for iteration, loss in tensors["history"]]
