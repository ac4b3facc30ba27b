"""`avatars evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from ..training.build import Run
    from .progress import Bars


@dataclass(frozen=True)
class Evaluate:
    """Measure an avatar on the frames that its training never saw.

    Two protocols, always both: *photometric* poses each held-out frame by fitting it with the avatar frozen, as the
    field's trackers do; *landmark* poses it by its face landmarks and by features followed on the torso, with no other
    use of its pixels. Everything is drawn and measured anew from the avatar's file and its clip. The face detector then
    looks for landmarks on what was drawn and on the film: how far apart lips, lids and irises are, and whether lids and
    lips open together.

    Reads X.avatar and X.run beside it (see `avatars build`). Prints a table; writes nothing unless asked to.
    """

    avatar: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="X.avatar")]
    """The avatar."""
    run_directory: Annotated[Path | None, tyro.conf.arg(name="run", metavar="RUN")] = None
    """The run directory it was made in; X.run beside it by default."""
    against: tuple[Path, ...] = ()
    """Other avatars to measure beside it, each on its own run: Y.run beside Y.avatar, or else this one's."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="OUT.json")] = None
    """Write all figures here: psnr, ssim, psnr_landmark, psnr_face, redetected_px, landmark_rmse_px, splats,
    train_seconds, ...; those of other avatars under `against`, by name."""
    html: Annotated[Path | None, tyro.conf.arg(metavar="OUT.html")] = None
    """Write the report page here: pictures, curves, coverage, figures."""

    def run(self) -> None:
        """Measure, print, and write what was asked for."""
        from .. import files
        from ..training.build import Run
        from ..training.columns import table
        from .progress import Bars

        for target in (self.json, self.html):
            if target is not None:
                files.require_writable(target)
        run = Run(self.run_directory) if self.run_directory else Run.of(self.avatar)
        with Bars() as bars:
            figures = measured(self.avatar, run, bars, self.html)
            others = {}
            for path in self.against:
                own = Run.of(path)
                others[_name(path, others)] = measured(path, own if own.directory.is_dir() else run, bars)
        if self.json is not None:
            files.write_json(self.json, figures | ({"against": others} if others else {}))
        print(table({self.avatar.stem: figures} | others))


def _name(path: Path, taken: Mapping[str, object]) -> str:
    """The stem, or the whole path where that is taken."""
    return str(path) if path.stem in taken else path.stem


def measured(path: Path, run: Run, bars: Bars, html: Path | None = None) -> dict[str, Any]:
    """Every figure of one avatar, by name.

    Args:
        run: it was made in.
        html: where to write its report page.
    """
    import torch

    from .. import files
    from ..splats.avatar import Avatar
    from ..splats.model import Pose
    from ..training import corrections
    from ..training.figures import all_figures, remeasure, settings
    from ..training.frames import FrameStore
    from ..training.rates import drawing_rate
    from ..training.redetect import redetect
    from ..training.report import page
    from .stages import clip_of, head_of, history_of, track_of

    avatar = Avatar.load(path)
    clip, landmark = clip_of(run), track_of(run)
    bars.stage("evaluate", str(path))
    head = head_of(landmark, bars)
    result, track = remeasure(avatar, clip, landmark, head, bars.progress)
    bars.progress(0.8, "landmarks found again")
    preset, _ = settings(avatar)
    store, model = FrameStore(clip, track.frame, preset.size, preset.focus), avatar.model()
    low, high = avatar.head.expression_low, avatar.head.expression_high
    corrected = corrections.apply(avatar.track.corrections, Pose.of_track(track), low, high)
    protocols = {"": result.fitted, "landmark_": corrected[torch.from_numpy(result.rows)]}
    again = redetect(model, store, avatar.camera, protocols, result.rows)
    bars.progress(0.95, "figures")
    figures = all_figures(avatar, clip, landmark, head, result) | {k: round(v, 4) for k, v in again.items()}
    figures["frames_per_second"] = round(drawing_rate(model, avatar.camera, result.fitted), 2)
    parts = [path] if path.is_file() else [part for part in path.iterdir() if part.is_file()]
    figures["file_megabytes"] = round(sum(part.stat().st_size for part in parts) / 1e6, 3)
    if figures.get("train_seconds"):
        figures["iterations_per_second"] = round(preset.iterations / figures["train_seconds"], 2)
    if html is not None:
        bars.stage("report", str(html))
        past, spent = history_of(run, avatar), avatar.manifest.get("seconds", {})
        files.write_bytes(html, page(avatar, clip, track, result, history=past, timings=spent).encode())
    return figures
