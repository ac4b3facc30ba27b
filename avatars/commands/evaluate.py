"""`avatars evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

_SHOWN = (
    ("psnr", "PSNR, poses fitted to the pixels", "dB"),
    ("ssim", "SSIM, poses fitted to the pixels", ""),
    ("psnr_landmark", "PSNR, poses from landmarks", "dB"),
    ("psnr_face", "PSNR of the face", "dB"),
    ("psnr_mouth", "PSNR of the mouth", "dB"),
    ("psnr_eyes", "PSNR of the eyes", "dB"),
    ("psnr_below_chin", "PSNR below the chin", "dB"),
    ("landmark_rmse_px", "landmark error at 512", "px"),
    ("splats", "splats", ""),
    ("train_seconds", "training", "s"),
)


@dataclass(frozen=True)
class Evaluate:
    """Measure an avatar on the frames that its training never saw.

    Two protocols, always both: *photometric* poses each held-out frame by fitting it with the avatar frozen, as the
    field's trackers do; *landmark* poses it from its face landmarks alone, as a live driver would. Everything is drawn
    and measured anew from the avatar's file and its clip.

    Reads X.avatar and X.run beside it (see `avatars build`). Prints a table; writes nothing unless asked to.
    """

    avatar: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="X.avatar")]
    """The avatar."""
    run_directory: Annotated[Path | None, tyro.conf.arg(name="run", metavar="RUN")] = None
    """The run directory it was made in; X.run beside it by default."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="OUT.json")] = None
    """Write all figures here: psnr, ssim, psnr_landmark, psnr_face, landmark_rmse_px, splats, train_seconds, ..."""
    html: Annotated[Path | None, tyro.conf.arg(metavar="OUT.html")] = None
    """Write the report page here: pictures, curves, coverage, figures."""

    def run(self) -> None:
        """Measure, print, and write what was asked for."""
        from .. import files
        from ..splats.avatar import Avatar
        from ..training.build import Run
        from ..training.figures import all_figures, remeasure
        from ..training.report import page
        from .progress import Bars
        from .stages import clip_of, head_of, history_of, track_of

        for target in (self.json, self.html):
            if target is not None:
                files.require_writable(target)
        avatar = Avatar.load(self.avatar)
        run = Run(self.run_directory) if self.run_directory else Run.of(self.avatar)
        clip, landmark = clip_of(run), track_of(run)
        with Bars() as bars:
            bars.stage("evaluate", str(self.avatar))
            head = head_of(landmark, bars)
            result, track = remeasure(avatar, clip, landmark, head, bars.progress)
            bars.progress(0.9, "figures")
            figures = all_figures(avatar, clip, landmark, head, result)
            if self.html is not None:
                bars.stage("report", str(self.html))
                past, spent = history_of(run, avatar), avatar.manifest.get("seconds", {})
                words = page(avatar, clip, track, result, history=past, timings=spent)
                files.write_bytes(self.html, words.encode())
        if self.json is not None:
            files.write_json(self.json, figures)
        for name, words, unit in _SHOWN:
            if name in figures:
                print(f"{words:<36} {figures[name]:>9.4g} {unit}")
