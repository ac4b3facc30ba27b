"""The stages of a build one by one, on a run directory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .. import files
from ..capture.clip import load_clip
from ..errors import InputError
from ..tracking.track import load_track, save_track, track
from ..training import build, checkpoint
from ..training.figures import settings
from .heads import DEFAULT, find_head

if TYPE_CHECKING:
    from ..data import Clip, Track
    from ..heads.head import Head
    from ..splats.avatar import Avatar
    from ..training.evaluate import Evaluation
    from ..training.presets import Preset


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
    path = run.directory / build._training_name(preset, test) / checkpoint.NAME
    if not path.is_file():
        return []
    tensors, _ = files.load_tensors(path, finite=False)
    return [(int(iteration), float(loss)) for iteration, loss in tensors["history"]]


def tracked(run: build.Run, clip: Clip, head: Head, listener: build.Listener, *, again: bool) -> Track:
    """The clip's track with this head: from disk where it is there and `again` is off, made otherwise."""
    marker = run.directory / "track.json"
    stamp = {"clip": clip.source.get("sha256", ""), "head": head.sha256, "frames": len(clip.times)}
    if not again and run.track.is_file() and marker.is_file() and files.read_json(marker) == stamp:
        return load_track(run.track)
    listener.stage("track", f"{int(clip.used.sum())} frames")
    found = track(clip, head, listener.progress)
    save_track(found, run.track)
    files.write_json(marker, stamp)
    return found


def trained(
    run: build.Run,
    out: Path,
    head: Head,
    preset: Preset,
    *,
    name: str,
    consent: str,
    test: str,
    overwrite: bool,
    listener: build.Listener,
    device: torch.device | str = "cpu",
) -> tuple[Avatar, Evaluation | None]:
    """Train on a run directory's clip and track, evaluate, report, and write the avatar."""
    from ..training.report import report

    clip = clip_of(run)
    track = tracked(run, clip, head, listener, again=False)
    trainer, thinned, train_rows, test_rows = build.prepare(head, clip, track, preset, test, device)
    listener.stage("train", build.work(trainer))
    trainer.run(run.directory / build._training_name(preset, test), listener.training)
    started = time.monotonic()
    listener.stage("evaluate", f"{len(test_rows)} held-out frames")
    avatar, result = build.conclude(trainer, clip, thinned, train_rows, test_rows, listener.progress)
    timings = {"train": trainer.seconds, "evaluate": time.monotonic() - started}
    avatar.manifest = build.manifest(name, consent, clip, track, preset, test, timings, result)
    listener.stage("report")
    page = report(avatar, clip, thinned, trainer, result, timings)
    avatar.save(out, overwrite=overwrite, extras={"report.html": page.encode()})
    return avatar, result
