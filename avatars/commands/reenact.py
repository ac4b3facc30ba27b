"""`avatars reenact`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    import numpy as np

    from ..data import Motion
    from .progress import Bars


@dataclass(frozen=True)
class Reenact:
    """Somebody else's motion on this avatar: from a film, an ARKit recording, or a motion file.

    What is carried over is movement, not looks: the driver's resting face is subtracted, ranges are matched, what the
    subject never showed is limited softly; blinks, jaw and gaze keep their full range. The head moves relative to the
    driver's usual pose, and the torso goes along a little. Trembling is averaged out without delaying anything.

    Writes OUT.mp4 (with the film's sound) or a folder of PNGs. For a film, OUT.run beside it keeps the captured clip,
    so that drawing again is quick; it can be deleted.
    """

    avatar: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="X.avatar")]
    """The avatar to move."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT")]
    """What to write: OUT.mp4, or a folder for PNGs."""
    video: Annotated[Path | None, tyro.conf.arg(metavar="VIDEO")] = None
    """A film of the driver's face."""
    csv: Annotated[Path | None, tyro.conf.arg(metavar="LIVELINK.csv")] = None
    """A recording of the Live Link Face app: 52 ARKit coefficients and head angles."""
    motion: Annotated[Path | None, tyro.conf.arg(metavar="MOTION.safetensors")] = None
    """A motion file (times, arkit, rotation, translation)."""
    subject: Literal["largest", "left", "right"] | None = None
    """Whom to follow where several people are in the film."""
    size: int = 512
    """Longer side, px."""
    background: str = "white"
    """white, black, gray, green, #rrggbb, 'plate' (what the capture saw behind), or 'none' (transparent PNG)."""
    fps: float | None = None
    """Frames per second; the driver's own by default, 60 at most."""
    overwrite: bool = False
    """Replace what has that name."""

    def run(self) -> None:
        """Find the motion, carry it over, draw and write."""
        from ..errors import InputError
        from ..motion.retarget import Manner, Retarget
        from ..motion.smooth import steady
        from ..motion.sources import resample
        from ..splats.avatar import Avatar
        from .drawing import Drawer, Shot, fitted
        from .pictures import reported, require_output, write_frames
        from .progress import Bars
        from .render import rate_of

        given = [source for source in (self.video, self.csv, self.motion) if source is not None]
        if len(given) != 1:
            raise InputError("One driver is needed", fix="Pass one of --video, --csv and --motion")
        if self.fps is not None and not 1 <= self.fps <= 240:
            raise InputError(f"{self.fps} frames/s", where="--fps", fix="Choose 1 to 240")
        if self.background == "none" and self.output.suffix == ".mp4":
            raise InputError("A film cannot be transparent", where="--background", fix="Write a folder of PNGs")
        require_output(self.output, self.overwrite)
        avatar = Avatar.load(self.avatar)
        with Bars() as bars:
            motion, sound = self._motion(bars)
            rate = self.fps or min(60.0, rate_of(motion.times))
            smooth = steady(motion)
            retarget = Retarget(avatar, Manner.of(smooth))
            poses = retarget(resample(smooth, rate))
            camera = fitted(avatar.camera, self.size)
            draw = Drawer(avatar, self.background, camera)
            bars.stage("render", f"{len(poses)} frames")
            frames = reported(len(poses), lambda i: draw(Shot(poses[i], camera)), bars.progress)
            count = write_frames(self.output, frames, rate, overwrite=self.overwrite, sound=sound)
        print(f"{self.output}: {count} frames at {rate:g} frames/s")

    def _motion(self, bars: Bars) -> tuple[Motion, np.ndarray | None]:
        """The driver's motion, and the sound that belongs to it from its first frame on."""
        from ..motion.sources import load_motion, motion_of_csv, motion_of_video
        from .heads import DEFAULT, find_head
        from .lock import exclusive
        from .pictures import SOUND_RATE

        if self.video is None:
            if self.motion is not None:
                return load_motion(self.motion), None
            assert self.csv is not None
            warnings: list[str] = []
            found = motion_of_csv(self.csv, warnings)
            for line in warnings:
                bars.say(line)
            return found, None
        from ..capture.probe import probe

        probe(self.video)
        run = self.output.with_suffix(".run")
        with exclusive(run):
            bars.stage("head", DEFAULT)
            head = find_head(DEFAULT, bars.progress)
            bars.stage("follow", str(self.video))
            found, clip = motion_of_video(self.video, run / "clip", head, subject=self.subject, progress=bars.step)
            sound = None if clip.audio is None else clip.audio[round(float(found.times[0]) * SOUND_RATE) :]
        return found, sound
