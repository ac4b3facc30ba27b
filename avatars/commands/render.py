"""`avatars render`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    import numpy as np

    from ..splats.avatar import Avatar
    from .drawing import Shot
    from .progress import Bars


@dataclass(frozen=True)
class Render:
    """Draw an avatar along a camera path or a motion of its own.

    Paths: *front* (at rest, seen straight on), *orbit* (the camera swings 30 degrees to both sides and 10 up and
    down), *sides* (-30, -15, 0, 15, 30 degrees), *sweep* (each facial action up to full strength and back), *track*
    (the captured motion again, from the capture's camera), *compare* (held-out frames: captured, avatar, and four times
    their difference, side by side; reads X.run).

    Writes a film (.mp4), a folder of PNGs (a name without ending), or one sheet of pictures (.png).
    """

    avatar: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="X.avatar")]
    """The avatar."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT")]
    """What to write: OUT.mp4, OUT.png, or a folder."""
    path: Literal["front", "orbit", "sides", "sweep", "track", "compare"] = "orbit"
    """What to show."""
    size: int = 512
    """Longer side, px."""
    background: str = "white"
    """white, black, gray, green, #rrggbb, 'plate' (what the capture saw behind), or 'none' (transparent PNG)."""
    seconds: float = 4.0
    """Length of an orbit."""
    fps: float = 25.0
    """Frames per second; track and compare keep the film's own."""
    expressions: tuple[str, ...] = ()
    """For sweep: which ARKit actions, all 52 by default (jawOpen, mouthSmileLeft, ...)."""
    run_directory: Annotated[Path | None, tyro.conf.arg(name="run", metavar="RUN")] = None
    """For compare: the run directory the avatar was made in; X.run beside it by default."""
    overwrite: bool = False
    """Replace what has that name."""

    def run(self) -> None:
        """Draw and write."""
        from ..errors import InputError
        from ..splats.avatar import Avatar
        from .pictures import require_output
        from .progress import Bars

        require_output(self.output, self.overwrite)
        if not (1 <= self.fps <= 240 and 0 < self.seconds <= 600):
            raise InputError(f"{self.seconds} s at {self.fps} frames/s", fix="Choose up to 600 s at 1 to 240 frames/s")
        if self.background == "none" and self.output.suffix == ".mp4":
            raise InputError("A film cannot be transparent", where="--background", fix="Write a folder of PNGs")
        avatar = Avatar.load(self.avatar)
        with Bars() as bars:
            bars.stage("render", f"{self.path} of {self.avatar}")
            count = self._compare(avatar, bars) if self.path == "compare" else self._draw(avatar, bars)
        print(f"{self.output}: {count} frames")

    def _draw(self, avatar: Avatar, bars: Bars) -> int:
        from .drawing import Drawer, chosen, sheet
        from .pictures import reported, write_frames

        shots, rate = self._shots(avatar)
        if self.output.suffix == ".png":
            shots = [shots[i] for i in chosen(len(shots))]
        draw = Drawer(avatar, self.background, shots[0].camera)
        frames = reported(len(shots), lambda i: draw(shots[i]), bars.progress)
        if self.output.suffix == ".png":
            frames = [sheet(list(frames))]
        write_frames(self.output, frames, rate, overwrite=self.overwrite)
        return len(shots)

    def _shots(self, avatar: Avatar) -> tuple[list[Shot], float]:
        """What to draw, and the frame rate."""
        from ..heads.arkit import NAMES
        from ..splats.model import Pose
        from ..training.views import around, expressed, rest_pose
        from .drawing import Shot, fitted

        rest = rest_pose(avatar)
        if self.path == "track":
            camera, pose = fitted(avatar.camera, self.size), Pose.of_track(avatar.track)
            return [Shot(pose[i], camera) for i in range(len(pose))], rate_of(avatar.track.times)
        if self.path == "sweep":
            camera = fitted(around(avatar, 0.0), self.size)
            steps = max(2, round(self.fps))
            strength = [math.sin(math.pi * i / steps) ** 2 for i in range(steps)]
            if self.output.suffix == ".png":
                strength = [1.0]
            names = self.expressions or NAMES
            together = {"mouthClose": ("mouthClose", "jawOpen")}  # lips close over an open jaw or not at all
            faces = [dict.fromkeys(together.get(name, (name,)), amount) for name in names for amount in strength]
            poses = [expressed(avatar.head, rest, face) for face in faces]
            return [Shot(pose, camera) for pose in poses], self.fps
        if self.path == "front":
            angles = [(0.0, 0.0)]
        elif self.path == "sides":
            angles = [(degrees, 0.0) for degrees in (-30.0, -15.0, 0.0, 15.0, 30.0)]
        else:
            count = max(2, round(self.seconds * self.fps))
            turn = [2 * math.pi * i / count for i in range(count)]
            angles = [(30 * math.sin(t), 10 * math.sin(2 * t)) for t in turn]
        cameras = [around(avatar, math.radians(yaw), math.radians(pitch)) for yaw, pitch in angles]
        return [Shot(rest, fitted(camera, self.size)) for camera in cameras], self.fps

    def _compare(self, avatar: Avatar, bars: Bars) -> int:
        """Held-out frames: captured, drawn, difference."""
        import numpy as np

        from ..training.build import Run
        from ..training.figures import rows_like, settings
        from ..training.frames import FrameStore, split
        from .drawing import Comparison, chosen, sheet
        from .pictures import reported, write_frames
        from .stages import clip_of, track_of

        run = Run(self.run_directory) if self.run_directory else Run.of(self.avatar)
        clip, track = clip_of(run), rows_like(track_of(run), avatar)
        preset, test = settings(avatar)
        rows = split(track.times, test)[1]
        if not len(rows):
            rows = np.arange(len(track.frame))
        if self.output.suffix == ".png":
            rows = rows[chosen(len(rows))]
        rate = rate_of(track.times[rows])
        draw = Comparison(avatar, FrameStore(clip, track.frame, self.size, preset.focus))
        frames = reported(len(rows), lambda i: draw(int(rows[i])), bars.progress)
        if self.output.suffix == ".png":
            frames = [sheet(list(frames))]
        write_frames(self.output, frames, rate, overwrite=self.overwrite)
        return len(rows)


def rate_of(times: np.ndarray) -> float:
    """Frames per second of times [T] in s, by their usual distance."""
    import numpy as np

    return float(np.clip(1 / np.median(np.diff(times)), 1, 240)) if len(times) > 1 else 25.0
