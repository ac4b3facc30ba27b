"""`avatars drive`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    import numpy as np

    from ..data import Camera, Motion
    from ..speech.habits import Amounts
    from ..splats.avatar import Avatar


@dataclass(frozen=True)
class Drive:
    """Make an avatar speak: a sound file or a text in, a film with sound out.

    The lips follow the sound; blinks, gaze, brows and the head move as the subject's do. What `avatars speech
    personalize` learned is used where it is there.

    Writes OUT.mp4 with the sound (mono, 48 kHz), or a folder of PNGs.
    """

    avatar: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="X.avatar")]
    """The avatar."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT")]
    """What to write: OUT.mp4, or a folder for PNGs."""
    audio: Annotated[Path | None, tyro.conf.arg(metavar="SPEECH.wav")] = None
    """Speech: any sound file, or a film's sound."""
    text: Annotated[str | None, tyro.conf.arg(metavar="WORDS")] = None
    """Words to speak instead, through espeak-ng or flite where installed."""
    voice: Annotated[str | None, tyro.conf.arg(metavar="VOICE")] = None
    """For --text: a language of espeak-ng with an optional variant (en, de+f2), or a voice of flite (slt)."""
    emotion: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME:AMOUNT")] = ()
    """Such as happy:0.6, or several; neutral, happy, sad, angry, fear, disgust, surprise, contempt."""
    style: Annotated[Path | None, tyro.conf.arg(metavar="STYLE.safetensors")] = None
    """Speak as this subject; the avatar's own style by default, if it has one."""
    still: bool = False
    """Keep the head still; the face goes on moving."""
    amount: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME:AMOUNT")] = ()
    """Such as head:0.5 blinks:0: how much of each movement is made, from 0 (none) over 1 (the subject's own) to 2;
    blinks, gaze, head, brows, nonverbal."""
    camera: Literal["front", "orbit"] = "front"
    """From straight ahead, or swinging 30 degrees to both sides."""
    motion_out: Annotated[Path | None, tyro.conf.arg(metavar="MOTION.csv")] = None
    """Also write the 52 ARKit coefficients and head angles, as the Live Link Face app does."""
    size: Annotated[int | None, tyro.conf.arg(metavar="PX")] = None
    """Longer side, px; the avatar's own by default."""
    background: str = "white"
    """white, black, gray, green, #rrggbb, 'plate' (what the capture saw behind, from its camera), or 'none'
    (transparent PNG)."""
    fps: float = 25.0
    """Frames per second."""
    overwrite: bool = False
    """Replace what has these names."""

    def run(self) -> None:
        """Listen, carry over, draw and write."""
        from ..motion.livelink import write_csv
        from ..motion.retarget import Retarget
        from ..splats.avatar import Avatar
        from .drawing import Drawer, Shot
        from .pictures import reported, write_frames
        from .progress import Bars

        self._check()
        weights, intensity = parse_emotion(self.emotion)
        amounts = parse_amounts(self.amount, self.still)
        sound, played, rate = self._sound()
        avatar = Avatar.load(self.avatar)
        with Bars() as bars:
            bars.stage("listen", f"{len(sound) / 16000:.1f} s")
            motion = self._motion(avatar, sound, weights, intensity, amounts)
            poses = Retarget(avatar)(motion)
            cameras = self._cameras(avatar, len(poses))
            draw = Drawer(avatar, self.background, cameras[0])
            bars.stage("render", f"{len(poses)} frames")
            frames = reported(len(poses), lambda i: draw(Shot(poses[i], cameras[i])), bars.progress)
            count = write_frames(self.output, frames, self.fps, overwrite=self.overwrite, sound=played, sound_rate=rate)
            if self.motion_out is not None:
                write_csv(motion, self.motion_out)
        print(f"{self.output}: {count} frames at {self.fps:g} frames/s")

    def _check(self) -> None:
        """Refuse what cannot be done, before any work."""
        from ..errors import InputError
        from .pictures import require_output

        if (self.audio is None) == (self.text is None):
            raise InputError("One speech is needed", fix="Pass either --audio or --text")
        if self.voice is not None and self.text is None:
            raise InputError("A voice needs a text to speak", where="--voice", fix="Pass --text")
        if not 1 <= self.fps <= 240:
            raise InputError(f"{self.fps} frames/s", where="--fps", fix="Choose 1 to 240")
        if self.output.suffix.lower() == ".png":
            raise InputError("Speech makes more than one picture", where=self.output, fix="Name a .mp4 or a folder")
        if self.background == "none" and self.output.suffix.lower() == ".mp4":
            raise InputError("A film cannot be transparent", where="--background", fix="Write a folder of PNGs")
        if self.background == "plate" and self.camera == "orbit":
            raise InputError("What was behind is known from the front only", where="--background", fix="Pass a colour")
        require_output(self.output, self.overwrite)
        if self.motion_out is not None:
            from ..files import require_new, require_writable

            if self.motion_out.suffix.lower() != ".csv":
                raise InputError("Motion is written as CSV", where=self.motion_out, fix="Name a .csv")
            require_new(self.motion_out, self.overwrite)
            require_writable(self.motion_out)

    def _sound(self) -> tuple[np.ndarray, np.ndarray, int]:
        """([samples] float32 mono at 16 kHz to speak, the same as it will be heard, its rate in Hz)."""
        from ..capture.audio import SAMPLE_RATE, read_audio
        from ..errors import InputError
        from ..speech.speak import speak

        if self.text is not None:
            spoken = speak(self.text, self.voice or "en")
            return spoken, spoken, SAMPLE_RATE
        assert self.audio is not None
        sound, played = read_audio(self.audio), read_audio(self.audio, _HEARD)
        if sound is None or played is None:
            raise InputError("The video has no sound", where=self.audio, fix="Give a sound file")
        return sound, played, _HEARD

    def _motion(
        self, avatar: Avatar, sound: np.ndarray, emotion: dict[str, float], intensity: float, amounts: Amounts
    ) -> Motion:
        """The subject's face and head while they say this."""
        from ..motion.voice import voice_of
        from ..speech.condition import LONGEST_MS
        from ..speech.evaluate import joined
        from ..speech.loudness import raised
        from ..speech.stream import Stream
        from ..speech.style import Style

        style = voice_of(avatar) if self.style is None else Style.load(self.style)
        stream = Stream(
            self.fps,
            LONGEST_MS,
            style=style,
            habits=style.habits,
            amounts=amounts,
        )
        stream.set_emotion(emotion, intensity)
        stream.reset()  # the emotion is there from the first frame on
        return joined([stream.feed(raised(sound), 16000), stream.flush()])

    def _cameras(self, avatar: Avatar, count: int) -> list[Camera]:
        """One for each frame."""
        from ..training.views import around
        from .drawing import fitted

        own = avatar.camera
        size = self.size or max(own.width, own.height)
        if self.background == "plate":
            return [fitted(own, size)] * count
        if self.camera == "front":
            return [fitted(around(avatar, 0.0), size)] * count
        turns = [2 * math.pi * i / (_ORBIT * self.fps) for i in range(count)]
        swing = [around(avatar, math.radians(30) * math.sin(t), math.radians(10) * math.sin(2 * t)) for t in turns]
        return [fitted(camera, size) for camera in swing]


_HEARD = 48000
"""Hz of the sound in the film."""
_ORBIT = 8.0
"""s for the camera to go to both sides and back."""


def parse_emotion(words: tuple[str, ...]) -> tuple[dict[str, float], float]:
    """(weights that sum to 1, intensity) of words such as happy:0.6; an amount left out is 1.

    Raises:
        InputError: an amount that is no number, or an emotion that is named twice.
    """
    from ..errors import InputError

    amounts: dict[str, float] = {}
    for word in words:
        name, _, amount = word.partition(":")
        if name in amounts:
            raise InputError(f"Emotion '{name}' is given twice", where="--emotion")
        try:
            amounts[name] = float(amount) if amount or ":" in word else 1.0
        except ValueError:
            raise InputError(f"'{word}' is no emotion and amount", where="--emotion", fix="Write happy:0.6") from None
    total = sum(amounts.values())
    # Unusable numbers go on as they are: the stream names them.
    shared = amounts if not (math.isfinite(total) and total > 0) else {k: v / total for k, v in amounts.items()}
    return shared, total if math.isfinite(total) and total > 0 else 1.0


def parse_amounts(words: tuple[str, ...], still: bool = False) -> Amounts:
    """How much of each movement, of words such as head:0.5; `still` is head:0.

    Raises:
        InputError: another movement, one that is named twice, or an amount that is no number from 0 to 2.
    """
    from dataclasses import fields

    from ..errors import InputError
    from ..speech.habits import Amounts

    known = [f.name for f in fields(Amounts)]
    found: dict[str, float] = {"head": 0.0} if still else {}
    for word in words:
        name, _, amount = word.partition(":")
        if name not in known:
            raise InputError(f"Unknown movement '{name}'", where="--amount", fix=f"Choose from: {', '.join(known)}")
        if name in found:
            raise InputError(f"The amount of {name} is given twice", where="--amount")
        try:
            found[name] = float(amount)
        except ValueError:
            raise InputError(f"'{word}' is no amount", where="--amount", fix=f"Write {name}:0.5") from None
    return Amounts(**found)
