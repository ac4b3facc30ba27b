"""The whole road: video -> clip -> track -> training -> figures -> avatar, each stage kept and resumed."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__, files
from ..capture.clip import capture
from ..capture.store import save_clip
from ..data import Clip, Track
from ..errors import InputError
from ..heads.head import Head
from ..splats.avatar import Avatar, Subject
from ..splats.model import AvatarModel, Pose
from ..tracking.personal import left_over, personalise
from ..tracking.track import load_track, save_track, track
from . import corrections
from .bite import seat_teeth
from .evaluate import Evaluation, evaluate
from .finish import finish
from .frames import apart, split
from .loop import Progress, Trainer
from .presets import Preset, suited

TESTS = ("tail", "fifth", "none")


class Listener:
    """What a stage tells the outside; the command line draws bars, tests ignore it."""

    def stage(self, name: str, detail: str = "") -> None:
        """A stage begins."""

    def progress(self, share: float, news: str = "") -> None:
        """Share of the present stage that is done, and a line of news."""

    def training(self, progress: Progress) -> None:
        """Training moved on."""


@dataclass
class Run:
    """Where a build keeps its stages, beside the avatar: `alice.run/` for `alice.avatar`."""

    directory: Path

    @staticmethod
    def of(avatar: Path) -> Run:
        """The run directory of an avatar path."""
        return Run(avatar.with_suffix(".run"))

    @property
    def clip(self) -> Path:
        """Captured clip."""
        return self.directory / "clip"

    @property
    def track(self) -> Path:
        """Landmark track."""
        return self.directory / "track.safetensors"


def build(
    video: Path,
    out: Path,
    head: Head,
    preset: Preset,
    *,
    name: str = "",
    consent: str = "",
    test: str = "tail",
    subject: str | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    footage: tuple[Clip, Track | None] | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Avatar, Evaluation | None]:
    """Build an avatar from a video and write it.

    Args:
        video: a file that `capture` reads.
        out: the `.avatar` directory to write.
        head: a head with its identity basis.
        preset: how much work to do.
        name: of the person; the video's stem if empty.
        consent: a sentence that the person agreed to, kept in the file.
        test: 'tail', 'fifth' or 'none': which frames are held out for the figures.
        subject: which face, where there are several (see `capture`).
        overwrite: replace an avatar of that name.
        footage: what `video`, a dataset then, holds: pictures, and their track if it has one for this head.
        device: where to train and evaluate (see `raster.device.choose`).

    Raises:
        AvatarError: bad input at any stage; nothing is written under `out` then.
    """
    if test not in TESTS:
        raise InputError(f"No such test split '{test}'", fix=f"Choose one of {', '.join(TESTS)}")
    listener = listener or Listener()
    out = Path(out)
    files.require_new(out, overwrite)
    files.require_writable(out, 200 << 20)
    run = Run.of(out)
    timings: dict[str, float] = {}

    started = time.monotonic()
    listener.stage("capture", str(video))
    clip, given = footage or (None, None)
    if clip is None:
        clip = capture(
            Path(video),
            run.clip,
            size=preset.size,
            subject=subject,
            progress=lambda news, share: listener.progress(share, news),
        )
    else:
        save_clip(clip, run.clip)
    timings["capture"] = time.monotonic() - started

    started = time.monotonic()
    tracked = tracked_clip(run, clip, head, listener, given=given)
    timings["track"] = time.monotonic() - started

    return trained(
        run, out, head, clip, tracked, preset, name=name or Path(video).stem, consent=consent, test=test,
        overwrite=overwrite, listener=listener, timings=timings, device=device,
    )  # fmt: skip


def trained(
    run: Run, out: Path, head: Head, clip: Clip, tracked: Track, preset: Preset, *, name: str, consent: str, test: str,
    overwrite: bool, listener: Listener, timings: dict[str, float] | None = None, device: torch.device | str = "cpu",
) -> tuple[Avatar, Evaluation | None]:  # fmt: skip
    """Train on a clip and its track, or go on with that; evaluate, report, and write the avatar.

    Args:
        timings: s of earlier stages.
    """
    timings = dict(timings or {})
    preset = suited(preset, len(split(thin(tracked, preset.frames).times, test)[0]))
    trainer, thinned, train_rows, test_rows = prepare(head, clip, tracked, preset, test, device)
    listener.stage("train", work(trainer))
    trainer.run(run.directory / training_name(preset, test, tracked), listener.training)
    timings["train"] = trainer.seconds

    started = time.monotonic()
    listener.stage("evaluate", f"{len(test_rows)} held-out frames")
    avatar, result = conclude(trainer, clip, thinned, train_rows, test_rows, listener.progress)
    timings["evaluate"] = time.monotonic() - started
    avatar.manifest = manifest(name, consent, clip, tracked, preset, test, timings, result)
    from .report import report  # pictures are drawn only when a build got this far

    listener.stage("report")
    page = report(avatar, clip, thinned, trainer, result, timings)
    avatar.save(out, overwrite=overwrite, extras={"report.html": page.encode()})
    return avatar, result


_TRACKING = 9
"""Raise it when tracks come out differently: those of older runs are made again."""


def tracked_clip(
    run: Run, clip: Clip, head: Head, listener: Listener, *, given: Track | None = None, again: bool = False
) -> Track:
    """The clip's track with this head: as given; else from disk where it is there and `again` is off; else made."""
    stamp = {
        "clip": clip.source.get("sha256", ""), "head": head.sha256, "frames": len(clip.times), "method": _TRACKING,
    }  # fmt: skip
    marker = run.directory / "track.json"
    if given is None:
        if not again and run.track.is_file() and marker.is_file() and files.read_json(marker) == stamp:
            return load_track(run.track)
        listener.stage("track", f"{int(clip.used.sum())} frames")
    found = track(clip, head, listener.progress) if given is None else given
    save_track(found, run.track)
    files.write_json(marker, stamp)
    return found


_TRAINING = 13
"""Raise it when a person's head, or what is seeded on it, comes out differently: half a training would not fit."""


def training_name(preset: Preset, test: str, tracked: Track) -> str:
    """Of a training's folder in its run: other settings, or another track, are another training."""
    words = [_TRAINING, preset.to_json(), test, tracked.camera.to_json(), tracked.head]
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for part in (
        tracked.identity, tracked.landmark_offsets, tracked.frame, tracked.expression, tracked.rotation,
        tracked.translation, tracked.torso_rotation, tracked.torso_translation,
    ):  # fmt: skip
        digest.update(np.ascontiguousarray(part).tobytes())
    return f"training-{digest.hexdigest()[:10]}"


def prepare(
    head: Head, clip: Clip, tracked: Track, preset: Preset, test: str, device: torch.device | str = "cpu"
) -> tuple[Trainer, Track, np.ndarray, np.ndarray]:
    """A training about to begin: trainer, thinned and personal track, training rows, test rows; deterministic.

    Args:
        head: generic head that the track refers to.
        test: 'tail', 'fifth' or 'none'.
    """
    person, thinned = personalise(head, thin(tracked, preset.frames))
    train_rows, test_rows = split(thinned.times, test)
    person = seat_teeth(person, clip, thinned, train_rows)
    return Trainer(person, clip, thinned, train_rows, preset, device), thinned, train_rows, test_rows


def work(trainer: Trainer) -> str:
    """What a training is about to do, in words."""
    preset, where = trainer.preset, "" if trainer.device.type == "cpu" else f" on {trainer.device}"
    return f"{len(trainer.rows)} frames, {preset.splats} splats, {preset.iterations} iterations{where}"


def thin(tracked: Track, most: int) -> Track:
    """At most `most` rows: farthest-point choice over expression and pose, so that rare openings stay.

    The order in time is kept; a shorter track is returned as it is.
    """
    count = len(tracked.frame)
    if count <= most:
        return tracked
    state = np.concatenate([tracked.expression * 2, tracked.rotation * 4, tracked.translation * 10], 1)
    # Half by coverage, half evenly in time: coverage alone would train on outliers.
    chosen = apart(state, max(1, most // 2))
    even = np.linspace(0, count - 1, most - len(chosen)).astype(int)
    return rows_of(tracked, np.unique(np.r_[chosen, even]))


def rows_of(tracked: Track, rows: np.ndarray) -> Track:
    """Some rows of a track."""
    names = (
        "frame",
        "times",
        "expression",
        "rotation",
        "translation",
        "torso_rotation",
        "torso_translation",
        "confidence",
    )
    return replace(tracked, **{name: getattr(tracked, name)[rows] for name in names})


def conclude(
    trainer: Trainer,
    clip: Clip,
    tracked: Track,
    train_rows: np.ndarray,
    test_rows: np.ndarray,
    progress: Callable[[float], None] | None = None,
) -> tuple[Avatar, Evaluation | None]:
    """From a finished training to an avatar with its corrections, subject statistics and figures."""
    head, splats, network = finish(trainer)
    learned = corrections.fit(trainer.tracked, trainer.poses.pose, train_rows, head.expression_names)
    corrected = corrections.apply(learned, trainer.tracked, head.expression_low, head.expression_high)
    result = None
    if len(test_rows):
        result = evaluate(
            AvatarModel(head, splats, network).to(trainer.device),
            trainer.store,
            trainer.camera,
            trainer.poses,
            learned,
            corrected,
            train_rows,
            test_rows,
            progress,
        )
    trainer.to_cpu()
    left = left_over(head, tracked.landmark_offsets, head.template - trainer.head.template)
    final = replace(with_poses(tracked, trainer.poses.pose, learned, trainer), landmark_offsets=left)
    avatar = Avatar(
        head=head,
        splats=splats,
        network=network,
        track=final,
        subject=Subject.of_track(rows_of(final, train_rows), head),
        plate=clip.plate,
    )
    return avatar, result


def with_poses(tracked: Track, pose: Pose, learned: dict[str, np.ndarray], trainer: Trainer) -> Track:
    """The track with refined poses, at the training's resolution."""
    from .. import geometry

    return replace(
        tracked,
        camera=trainer.camera,
        expression=pose.expression.numpy().copy(),
        rotation=geometry.rotvec_from_matrix(pose.rotation).numpy(),
        translation=pose.translation.numpy().copy(),
        torso_rotation=geometry.rotvec_from_matrix(pose.torso_rotation).numpy(),
        torso_translation=pose.torso_translation.numpy().copy(),
        corrections=learned,
    )


def manifest(
    name: str,
    consent: str,
    clip: Clip,
    tracked: Track,
    preset: Preset,
    test: str,
    timings: dict[str, float],
    result: Evaluation | None,
) -> dict[str, Any]:
    """Provenance and figures, as plain values."""
    versions = {p: metadata.version(p) for p in ("torch", "numpy", "mediapipe", "anny")}
    return {
        "name": name,
        "consent": consent or "not stated",
        "provenance": {
            "source": {k: clip.source[k] for k in ("name", "sha256") if k in clip.source},
            "built": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "program": f"avatars {__version__}",
            "versions": versions | {"python": platform.python_version()},
            "machine": {"processor": platform.machine(), "threads": torch.get_num_threads()},
        },
        "preset": preset.to_json(),
        "test": test,
        "seconds": {k: round(v, 2) for k, v in timings.items()},
        "figures": result.to_json() if result else {},
    }
