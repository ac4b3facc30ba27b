"""`avatars build`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ..training.evaluate import Evaluation

Output = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="X.avatar")]


@dataclass(frozen=True)
class Build:
    """Build an avatar from a video: the one command.

    A short film of one person (10 to 60 seconds: face the camera, talk, smile, turn slowly left and right, close the
    eyes once) becomes a head that can be posed, driven, viewed and exported.

    Stages: capture (read the video, find the face, cut the person out), track (fit a 3D head to every frame), train
    (the Gaussian splats, by far the longest), evaluate (on frames that training never saw), report.

    Writes X.avatar (the avatar: manifest.json, avatar.safetensors, report.html) and X.run beside it (what the stages
    made). A build that was stopped goes on where it was when the same command is given again; finished stages are not
    repeated. X.run can be deleted once you are content; `evaluate` and `render --path compare` read it.
    """

    video: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="VIDEO")]
    """The film: mp4, mov, mkv, webm or avi."""
    output: Output
    """The avatar to write."""
    preset: str = "fast"
    """How much work: tiny (to try things out), fast (minutes on two cores), best (for a GPU), or a .json file."""
    name: str = ""
    """Of the person; the video's name by default."""
    consent: str = ""
    """A sentence that says the person agreed to this avatar. It is kept in the file."""
    test: Literal["tail", "fifth", "none"] = "tail"
    """Which frames are kept from training, for the figures: the film's last fifth, every fifth frame, or none."""
    subject: Literal["largest", "left", "right"] | None = None
    """Whom to take where several people are in view."""
    head: str = "default"
    """The head model; `avatars head list` names them."""
    overwrite: bool = False
    """Replace an avatar of that name."""
    from_scratch: bool = False
    """Repeat every stage instead of going on from what X.run holds."""

    def run(self) -> None:
        """Build, and print what came out."""
        from ..capture.probe import probe
        from ..files import require_new, require_writable
        from ..training.build import Run, build
        from ..training.presets import load_preset
        from .heads import find_head
        from .lock import exclusive
        from .progress import Bars

        output = avatar_path(self.output)
        require_new(output, self.overwrite)
        preset = load_preset(self.preset)
        probe(self.video)  # a wrong file is refused before the head is built
        require_writable(output)
        run = Run.of(output)
        with exclusive(run.directory), Bars() as bars:
            if self.from_scratch:
                forget(run.directory)
            bars.stage("head", self.head)
            head = find_head(self.head, bars.progress)
            avatar, result = build(
                self.video, output, head, preset, name=self.name, consent=self.consent, test=self.test,
                subject=self.subject, overwrite=self.overwrite, listener=bars,
            )  # fmt: skip
        summarise(output, len(avatar.splats), result)


def avatar_path(path: Path) -> Path:
    """`path` with the ending that avatars have; another ending is refused."""
    from ..errors import InputError

    if path.suffix == "":
        return path.with_name(path.name + ".avatar")
    if path.suffix != ".avatar":
        raise InputError("An avatar's name ends in .avatar", where=path, fix=f"Pass -o {path.stem}.avatar")
    return path


def forget(run: Path) -> None:
    """Delete what the stages of an earlier build left in a run directory."""
    for part in (run / "clip", *run.glob("training-*")):
        shutil.rmtree(part, ignore_errors=True)
    for part in (run / "track.safetensors", run / "track.json"):
        part.unlink(missing_ok=True)


def summarise(output: Path, splats: int, result: Evaluation | None) -> None:
    """Say what was made."""
    print(f"{output}: {splats} splats")
    if result is not None:
        figures = result.to_json()
        print(
            f"held-out frames: PSNR {figures['psnr']:.1f} dB, SSIM {figures['ssim']:.3f}; "
            f"from landmarks alone {figures['psnr_landmark']:.1f} dB"
        )
    print(f"look at {output / 'report.html'}")
