"""`avatars speech corpus | train | teacher | distil | evaluate | personalize`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ..speech.cli import SpeechCorpus, SpeechDistil, SpeechEvaluate, SpeechPersonalize, SpeechTeacher, SpeechTrain

if TYPE_CHECKING:
    from ..data import Clip, Motion
    from ..splats.avatar import Avatar
    from ..training.build import Run


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
    weights: Annotated[Path | None, tyro.conf.arg(metavar="WEIGHTS.safetensors")] = None
    """Score these weights instead of the ones that ship."""

    def run(self) -> None:
        """Print, and write what was asked for."""
        if not _is_avatar(self.source):
            SpeechEvaluate(self.source, self.motion, self.style, self.json, self.output, self.weights).run()
            return
        import tempfile

        from ..files import require_writable, write_json
        from ..motion.voice import style_of
        from ..speech.evaluate import evaluate_clip
        from ..speech.report import write_report
        from ..speech.runtime import default_weights
        from ..speech.style import Style
        from .speech_film import write_side_by_side

        for path in (self.json, self.output):
            if path is not None:
                require_writable(path)
        avatar, clip, run = _with_clip(self.source, self.run_directory)
        assert clip.audio is not None
        style = style_of(avatar) if self.style is None else Style.load(self.style)
        weights = None if self.weights is None else default_weights(self.weights)
        result = evaluate_clip(clip.audio, whole_movement(avatar, clip, run), style, weights)
        for name, value in result.figures.items():
            print(f"{name}: {value}")
        if self.json is not None:
            write_json(self.json, result.figures)
        if self.output is not None:
            with tempfile.TemporaryDirectory() as folder:
                film = Path(folder) / "side.mp4"
                write_side_by_side(film, avatar, clip, style)
                caption = "Left: the clip. Right: what `avatars drive` makes of its sound alone. Curves: live speech."
                write_report(self.output, f"Speech: {self.source.name}", result, {caption: film})


@dataclass(frozen=True)
class Personalize:
    """Learn the subject's way of speaking from the clip that their avatar was made of.

    Each step is kept only if seconds of the clip that it did not learn from get better. The result and its scores are
    kept in the avatar, where `avatars drive` finds them; `avatars build` does the same at its end. With a sound file,
    --motion and -o take the place of the avatar.
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
        from ..motion.voice import learn_style, save_style, taken

        avatar, clip, run = _with_clip(self.source, self.run_directory)
        style = learn_style(avatar, clip.audio, print, whole_movement(avatar, clip, run))
        save_style(style, self.source)
        print(f"{self.source}: {taken(style)}")


@dataclass(frozen=True)
class Speech:
    """Train, score and personalise what turns sound into a moving face."""

    task: (
        Annotated[SpeechCorpus, tyro.conf.subcommand("corpus")]
        | Annotated[SpeechTrain, tyro.conf.subcommand("train")]
        | Annotated[SpeechTeacher, tyro.conf.subcommand("teacher")]
        | Annotated[SpeechDistil, tyro.conf.subcommand("distil")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[Personalize, tyro.conf.subcommand("personalize")]
    )

    def run(self) -> None:
        """Do the task."""
        self.task.run()


def _is_avatar(path: Path) -> bool:
    return path.suffix == ".avatar" or (path / "manifest.json").is_file()


def _with_clip(path: Path, run_directory: Path | None) -> tuple[Avatar, Clip, Run]:
    """(avatar, its clip, which has sound, where it was made).

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
    return avatar, clip, run


def whole_movement(avatar: Avatar, clip: Clip, run: Run) -> Motion:
    """All of a clip's motion as movement from the subject's rest: from the avatar, or, where training took only some of
    the frames, from the track of them all.

    Raises:
        InputError: the run directory holds no track, or the head model has changed since.
    """
    from ..motion.sources import motion_of_track
    from ..motion.voice import from_rest, movement
    from ..tracking.personal import personalise
    from ..training.build import Listener
    from .stages import head_of, track_of

    if len(avatar.track.frame) >= clip.used.sum():
        return movement(avatar)
    landmark = track_of(run)
    person, tracked = personalise(head_of(landmark, Listener()), landmark)
    return from_rest(motion_of_track(tracked, person))
