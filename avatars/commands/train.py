"""`avatars train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .build import Output


@dataclass(frozen=True)
class Train:
    """The last stages alone: train splats on a captured and tracked clip, evaluate them, write the avatar.

    Useful to try another preset or another test split without capturing again.

    Reads RUN/clip and RUN/track.safetensors (tracking is done here where it is missing, or was done with another
    head); keeps checkpoints in RUN/training-*, one directory per preset, split and track; writes X.avatar. Stopping and
    giving the same command again continues the training to the bit.
    """

    run_directory: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run directory of a captured clip."""
    output: Output
    """The avatar to write."""
    preset: str = "fast"
    """How much work: tiny, fast, default, best, or a .json file."""
    name: str = ""
    """Of the person; the video's name by default."""
    consent: str = ""
    """A sentence that says the person agreed to this avatar. It is kept in the file."""
    test: Literal["tail", "fifth", "none"] = "tail"
    """Which frames are held out of training for the figures."""
    head: str = "default"
    """The head model; `avatars head list` names them."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where to train: auto takes a CUDA GPU where there is one; `avatars doctor` says what this machine has. The CUDA
    kernels are tested under an emulator and have not run on a GPU yet: until they have, they must be asked for."""
    overwrite: bool = False
    """Replace an avatar of that name."""

    def run(self) -> None:
        """Train, and print what came out."""
        from ..files import require_new, require_writable
        from ..raster.device import choose
        from ..training.build import Run, tracked_clip, trained
        from ..training.presets import load_preset
        from .build import avatar_path, summarise
        from .heads import find_head
        from .lock import exclusive
        from .progress import Bars
        from .stages import clip_of

        output = avatar_path(self.output)
        require_new(output, self.overwrite)
        preset, device = load_preset(self.preset), choose(self.device)
        run = Run(self.run_directory)
        clip = clip_of(run)
        name = self.name or Path(clip.source.get("name", output.stem)).stem
        require_writable(output)
        with exclusive(run.directory), Bars() as bars:
            bars.stage("head", self.head)
            head = find_head(self.head, bars.progress)
            track = tracked_clip(run, clip, head, bars)
            avatar, result = trained(
                run, output, head, clip, track, preset, name=name, consent=self.consent, test=self.test,
                overwrite=self.overwrite, listener=bars, device=device,
            )  # fmt: skip
        summarise(output, len(avatar.splats), result)
