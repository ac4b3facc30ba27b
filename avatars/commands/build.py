"""`avatars build`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ..data import Clip, Track
    from ..heads.head import Head
    from ..training.evaluate import Evaluation
    from .progress import Bars

Output = Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="X.avatar")]


@dataclass(frozen=True)
class Build:
    """Build an avatar from a video: the one command.

    A short film of one person (10 to 60 seconds: face the camera, talk, smile, turn slowly left and right, close the
    eyes once) becomes a head that can be posed, driven, viewed and exported.

    Stages: capture (read the video, find the face, cut the person out), track (fit a 3D head to every frame), train
    (the Gaussian splats, by far the longest), evaluate (on frames that training never saw), report, speech (the
    subject's way of speaking, from the film's sound where there is enough speech; see `avatars speech personalize`).

    Writes X.avatar (the avatar: manifest.json, avatar.safetensors, report.html) and X.run beside it (what the stages
    made). A build that was stopped goes on where it was when the same command is given again; finished stages are not
    repeated. X.run can be deleted once you are content; `evaluate` and `render --path compare` read it.
    """

    output: Output
    """The avatar to write."""
    video: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="VIDEO")] = None
    """The film: mp4, mov, mkv, webm or avi."""
    dataset: Annotated[Path | None, tyro.conf.arg(name="from", metavar="DATASET")] = None
    """Instead of a film: pictures with masks and a camera in nerfstudio's layout, as `export --format dataset` writes
    them. What was tracked in them is taken over where it is of the same head (ours, or FLAME parameters as VHAP writes
    them); else they are tracked anew."""
    preset: str = "fast"
    """How much work: tiny (to try things out), fast (minutes on two cores), default (two to three times as long), best
    (for a GPU), or a .json file."""
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
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where to train: auto takes a CUDA GPU where there is one; `avatars doctor` says what this machine has. The CUDA
    kernels are tested under an emulator and have not run on a GPU yet: until they have, they must be asked for."""
    overwrite: bool = False
    """Replace an avatar of that name."""
    from_scratch: bool = False
    """Repeat every stage instead of going on from what X.run holds."""
    view: bool = False
    """Show the training in a browser while it goes on (`avatars view X.run` does so too). It runs as a process of its
    own, from the files that the training saves, and ends with the build."""

    def run(self) -> None:
        """Build, and print what came out."""
        from ..capture.clip import load_clip
        from ..files import require_new, require_writable
        from ..motion.voice import teach
        from ..raster.device import choose
        from ..training.build import Run, build
        from ..training.presets import load_preset
        from .heads import find_head
        from .lock import exclusive
        from .progress import Bars
        from .speech import whole_movement
        from .watching import watching

        output = avatar_path(self.output)
        require_new(output, self.overwrite)
        preset, device = load_preset(self.preset), choose(self.device)
        source = self._source()
        require_writable(output)
        run = Run.of(output)
        with exclusive(run.directory), Bars() as bars:
            if self.from_scratch:
                forget(run.directory)
            bars.stage("head", self.head)
            head = find_head(self.head, bars.progress)
            with watching(run.directory if self.view else None, bars.say):
                avatar, result = build(
                    source, output, head, preset, name=self.name, consent=self.consent, test=self.test,
                    subject=self.subject, overwrite=self.overwrite, listener=bars,
                    footage=self._footage(head, bars), device=device,
                )  # fmt: skip
            bars.stage("speech", "the subject's way of speaking")
            clip = load_clip(run.clip)
            spoken = teach(
                output,
                clip.audio,
                lambda news: bars.progress(0.0, news),
                lambda avatar: whole_movement(avatar, clip, run),
            )
        summarise(output, len(avatar.splats), result)
        print(f"speech: {spoken}")

    def _source(self) -> Path:
        """The film or dataset; a wrong one is refused before the head is built."""
        from ..capture.probe import probe
        from ..errors import InputError

        if (self.video is None) == (self.dataset is None):
            raise InputError("One source is needed", fix="Pass either a film or --from DATASET")
        if self.video is not None:
            probe(self.video)
            return self.video
        assert self.dataset is not None
        if not any(self.dataset.glob("transforms*.json")):
            raise InputError("No dataset: there is no transforms.json", where=self.dataset)
        return self.dataset

    def _footage(self, head: Head, bars: Bars) -> tuple[Clip, Track | None] | None:
        """What the dataset holds."""
        from ..export.dataset import load_dataset

        if self.dataset is None:
            return None
        bars.stage("read", str(self.dataset))
        return load_dataset(self.dataset, head, bars.progress)


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
            f"from landmarks {figures['psnr_landmark']:.1f} dB"
        )
    print(f"look at {output / 'report.html'}")
