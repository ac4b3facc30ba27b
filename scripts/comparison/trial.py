"""One clip and one budget: ours first, then each baseline for the same processor time, all measured alike."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from avatars.capture.clip import capture, load_clip
from avatars.data import Clip, Track
from avatars.heads.anny import default_head
from avatars.heads.head import Head
from avatars.synthetic.truth import GroundTruth
from avatars.tracking.track import load_track, save_track, track
from avatars.training import build
from avatars.training.loop import Progress
from avatars.training.presets import Preset

from .budget import within
from .measure import Measured, measured
from .pictures import of_film, of_method, shown
from .shelf import FILM, Shelf
from .train import Baseline, Offset, Rigid, Trained, ours

BASELINES: tuple[type[Baseline], ...] = (Rigid, Offset)
OURS = "ours"
Say = Callable[[str], None]


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


def trial(
    path: Path, work: Path, preset: Preset, test: str, frames: int, say: Say,
    minutes: float | None = None, cores: float | None = None,
) -> Shelf:  # fmt: skip
    """Train and measure everything on one clip that is not there yet.

    Args:
        path, work: see `source`; what is finished lies in `work/trials`, and an unfinished method begins anew.
        preset: of ours; its processor time is what the baselines get.
        test: which frames are held out.
        frames: most held-out frames that are measured.
        minutes: by the clock of an idle machine, that ours may take; as many steps as the preset has if None.
        cores: see `budget.within`.
    """
    head = default_head()
    name, clip, tracked, truth = source(path, work, head)
    digest = build.training_name(replace(preset, iterations=1) if minutes else preset, test, tracked)
    label = f"{name}-{minutes:g}min" if minutes else name
    shelf = Shelf(work / "trials" / f"{label}-{frames}-{digest.rpartition('-')[2]}")
    if not shelf.begun:
        words = {"name": name, "minutes": minutes, "test": test, "iterations": preset.iterations}
        if minutes:
            fit = within(lambda p: build.prepare(head, clip, tracked, p, test)[0], preset, minutes, cores)
            say(f"{name}: {minutes:g} min are {fit.processor:.0f} s of processor time and {fit.iterations} steps")
            words |= {"iterations": fit.iterations, "cores": fit.cores, "processor_seconds": fit.processor}
        shelf.begin(words)
    preset = replace(preset, iterations=int(shelf.words["iterations"]))
    wanted = [OURS, *(kind.name for kind in BASELINES)]
    if all(shelf.has(method) for method in wanted):
        say(f"{shelf.title}: finished before")
        return shelf

    shop, thinned, train_rows, test_rows = build.prepare(head, clip, tracked, preset, test)
    start = copy.deepcopy(shop.poses)
    if len(test_rows) > frames:
        test_rows = test_rows[np.linspace(0, len(test_rows) - 1, frames).astype(int)]
    known = None if truth is None else (truth, head)
    if not shelf.has(FILM):
        shelf.keep(FILM, {}, of_film(shop, test_rows))

    def finish(done: Trained) -> None:
        found = measured(shop, thinned, done, train_rows, test_rows, known)
        shelf.keep(done.name, figures(found, wanted.index(done.name)), of_method(shop, found))
        say(f"  {done.iterations} steps, {done.processor:.0f} s: {found.figures['psnr']:.2f} dB")

    def watch(progress: Progress) -> None:
        if progress.iteration % 1000 == 0:
            say(f"  step {progress.iteration}, {progress.rate:.1f}/s")

    if not shelf.has(OURS):
        say(f"{shelf.title}: ours, {preset.iterations} steps")
        with tempfile.TemporaryDirectory() as directory:
            finish(ours(shop, directory, watch))
    processor = float(shelf.figures()[OURS]["processor_seconds"])
    for kind in BASELINES:
        if not shelf.has(kind.name):
            say(f"{shelf.title}: {kind.name}, as long")
            finish(kind(shop, start).train(processor))
    return shelf


def figures(found: Measured, order: int) -> dict[str, object]:
    """What is kept of a method: every figure, its place in the table, and the PSNR of the frames that are shown."""
    rows = found.result.photometric_rows
    each = [rows[int(i)]["psnr"] for i in shown(found.result.rows)]
    return {**found.figures, "order": order, "shown_psnr": each}
