"""One clip: ours first, then each baseline for the same processor time, all measured alike."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatars import files
from avatars.capture.clip import capture, load_clip
from avatars.data import Clip, Track
from avatars.heads.anny import default_head
from avatars.heads.head import Head
from avatars.synthetic.truth import GroundTruth
from avatars.tracking.track import load_track, save_track, track
from avatars.training import build
from avatars.training.loop import Progress, Trainer
from avatars.training.presets import Preset

from .measure import Measured, measured
from .train import Baseline, Offset, Rigid, ours

BASELINES: tuple[type[Baseline], ...] = (Rigid, Offset)
Say = Callable[[str], None]


@dataclass
class Trial:
    """A clip with all methods measured on it."""

    name: str
    clip: Clip
    shop: Trainer
    methods: list[Measured]

    def figures(self) -> dict[str, dict[str, float]]:
        """By method."""
        return {m.trained.name: m.figures for m in self.methods}


def source(path: Path, work: Path, head: Head) -> tuple[str, Clip, Track, GroundTruth | None]:
    """(name, clip, landmark track, truth) of a video or of a run directory; captured and tracked where need be.

    Args:
        path: a video, or a directory with `clip/`. `NAME.truth` beside a video makes it a synthetic one.
        work: where what is captured is kept.
    """
    run = build.Run(path if path.is_dir() else work / f"{path.stem}.run")
    clip = load_clip(run.clip) if (run.clip / "clip.json").is_file() else capture(path, run.clip)
    tracked = load_track(run.track) if run.track.is_file() else None
    if tracked is None or tracked.head.get("sha256") != head.sha256:
        tracked = track(clip, head)
        if not path.is_dir():
            save_track(tracked, run.track)
    beside = path.with_suffix(".truth")
    truth = GroundTruth.load(beside) if beside.is_dir() else None
    return run.directory.stem, clip, tracked, truth


def trial(path: Path, work: Path, preset: Preset, test: str, frames: int, say: Say) -> Trial:
    """Train and measure everything on one clip.

    Args:
        path, work: see `source`.
        preset: of ours; its processor time is what the baselines get.
        test: which frames are held out.
        frames: most held-out frames that are measured.
    """
    head = default_head()
    name, clip, tracked, truth = source(path, work, head)
    shop, thinned, train_rows, test_rows = build.prepare(head, clip, tracked, preset, test)
    start = copy.deepcopy(shop.poses)
    if len(test_rows) > frames:
        test_rows = test_rows[np.linspace(0, len(test_rows) - 1, frames).astype(int)]
    known = None if truth is None else (truth, head)
    say(f"{name}: ours, {preset.iterations} steps")

    def watch(progress: Progress) -> None:
        if progress.iteration % 1000 == 0:
            say(f"  step {progress.iteration}, {progress.rate:.1f}/s")

    with tempfile.TemporaryDirectory() as directory:
        first = ours(shop, directory, watch)
    methods = [measured(shop, thinned, first, train_rows, test_rows, known)]
    say(f"  {first.processor:.0f} s of processor time: {methods[0].figures['psnr']:.2f} dB")
    for kind in BASELINES:
        baseline = kind(shop, start)
        say(f"{name}: {kind.name}, as long")
        done = baseline.train(first.processor)
        methods.append(measured(shop, thinned, done, train_rows, test_rows, known))
        say(f"  {done.iterations} steps: {methods[-1].figures['psnr']:.2f} dB")
    return Trial(name, clip, shop, methods)


def save(trials: list[Trial], out: Path) -> None:
    """Write `compare.json`."""
    files.write_json(out / "compare.json", {t.name: t.figures() for t in trials})
