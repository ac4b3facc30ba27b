"""`avatars speech corpus | train | evaluate | personalize`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..speech.cli import SpeechCorpus, SpeechEvaluate, SpeechPersonalize, SpeechTrain

if TYPE_CHECKING:
    import numpy as np

    from ..splats.avatar import Avatar


@dataclass(frozen=True)
class Evaluate:
    """Score speech to face: on an avatar's own clip, on a corpus' test sets, or on a sound with its tracked motion."""

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="X.avatar|CORPUS|SOUND")]
    """An avatar (its clip is read from X.run), a corpus directory, or a sound file."""
    run_directory: Annotated[Path | None, tyro.conf.arg(name="run", metavar="RUN")] = None
    """The run directory the avatar was made in; X.run beside it by default."""
    motion: Annotated[Path | None, tyro.conf.arg(metavar="MOTION.safetensors")] = None
    """Tracked motion of a sound file: safetensors with times, arkit, rotation, translation."""
    style: Annotated[Path | None, tyro.conf.arg(metavar="STYLE.safetensors")] = None
    """The subject's style; an avatar's own by default."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json")] = None
    """Write the figures here."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="PAGE.html")] = None
    """Write an HTML page here."""

    def run(self) -> None:
        """Print, and write what was asked for."""
        if not _is_avatar(self.source):
            SpeechEvaluate(self.source, self.motion, self.style, self.json, self.output).run()
            return
        from ..files import write_json
        from ..motion.voice import movement, style_of
        from ..speech.evaluate import evaluate_clip
        from ..speech.report import write_report
        from ..speech.style import Style

        avatar, sound = _with_sound(self.source, self.run_directory)
        style = style_of(self.source) if self.style is None else Style.load(self.style)
        result = evaluate_clip(sound, movement(avatar), style)
        for name, value in result.figures.items():
            print(f"{name}: {value}")
        if self.json is not None:
            write_json(self.json, result.figures)
        if self.output is not None:
            write_report(self.output, f"Speech: {self.source.name}", result)


@dataclass(frozen=True)
class Personalize:
    """Learn the subject's way of speaking from the clip that their avatar was made of.

    Each step is kept only if seconds of the clip that it did not learn from get better. The result lies in the avatar
    (style.safetensors, style.json), where `avatars drive` finds it. With a sound file, --motion and -o take the place
    of the avatar.
    """

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="X.avatar|SOUND")]
    """The avatar, or a sound or video file."""
    run_directory: Annotated[Path | None, tyro.conf.arg(name="run", metavar="RUN")] = None
    """The run directory the avatar was made in, for its clip's sound; X.run beside it by default."""
    motion: Annotated[Path | None, tyro.conf.arg(metavar="MOTION.safetensors")] = None
    """For a sound: its tracked motion, safetensors with times, arkit, rotation, translation."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="STYLE.safetensors")] = None
    """For a sound: the style file to write, with a .json beside it."""

    def run(self) -> None:
        """Learn, report, write."""
        from ..errors import InputError

        if not _is_avatar(self.source):
            if self.motion is None or self.output is None:
                raise InputError("Neither an avatar nor a sound with its motion", where=self.source,
                                 fix="Give an avatar, or a sound with --motion FILE and -o FILE")  # fmt: skip
            SpeechPersonalize(self.source, self.motion, self.output).run()
            return
        from ..motion.voice import learn_style, save_style

        avatar, sound = _with_sound(self.source, self.run_directory)
        style = learn_style(avatar, sound, report=print)
        path = save_style(style, self.source)
        taken = ", ".join(style.facts["accepted"]) or "blinks, gaze and head only; the usual way of speaking is as good"
        print(f"{path}: {taken}")


@dataclass(frozen=True)
class Speech:
    """Train, score and personalise what turns sound into a moving face."""

    task: (
        Annotated[SpeechCorpus, tyro.conf.subcommand("corpus")]
        | Annotated[SpeechTrain, tyro.conf.subcommand("train")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Personalize, tyro.conf.subcommand("personalize")]
    )

    def run(self) -> None:
        """Do the task."""
        self.task.run()


def _is_avatar(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _with_sound(path: Path, run_directory: Path | None) -> tuple[Avatar, np.ndarray]:
    """(avatar, [samples] of its clip at 16 kHz).

    Raises:
        InputError: the run directory holds no clip, one of another film, or one without sound.
    """
    from ..errors import InputError
    from ..splats.avatar import Avatar
    from ..training.build import Run
    from .stages import clip_of

    avatar = Avatar.load(path)
    run = Run.of(path) if run_directory is None else Run(run_directory)
    clip = clip_of(run)
    made_of = avatar.manifest.get("provenance", {}).get("source", {}).get("sha256")
    if made_of is not None and made_of != clip.source.get("sha256"):
        raise InputError("The clip is not the one that the avatar was made from", where=run.clip, fix="Pass --run RUN")
    if clip.audio is None:
        raise InputError("The clip has no sound", where=run.clip, fix="Build from a film in which the subject speaks")
    return avatar, clip.audio
