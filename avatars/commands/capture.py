"""`avatars capture`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ..data import Clip


@dataclass(frozen=True)
class Capture:
    """The first stage alone: read a video, find the face, cut the person out.

    Finds whose clip it is, crops around the head, and keeps frames, true times, sound, 478 face landmarks per frame,
    a matte, and the background where the camera stood still. Frames that cannot be used are marked with a reason.

    Writes RUN/clip. The same video and options are not captured twice.
    """

    video: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="VIDEO")]
    """The film: mp4, mov, mkv, webm or avi."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="RUN")]
    """The run directory, by custom named X.run."""
    size: int = 512
    """Longer side of the working frames, px. Nothing is enlarged."""
    subject: Literal["largest", "left", "right"] | None = None
    """Whom to take where several people are in view."""

    def run(self) -> None:
        """Capture, and print what was found."""
        from ..capture.clip import capture
        from ..training.build import Run
        from .lock import exclusive
        from .progress import Bars

        run = Run(self.output)
        with exclusive(run.directory), Bars() as bars:
            bars.stage("capture", str(self.video))
            clip = capture(self.video, run.clip, size=self.size, subject=self.subject, progress=bars.step)
        describe(clip)


def describe(clip: Clip) -> None:
    """Say what a clip holds."""
    count, (width, height) = int(clip.used.sum()), clip.size
    print(f"{count} of {len(clip.times)} frames usable, {width} x {height}, {clip.times[-1]:.1f} s")
    for reason, number in Counter(reason for reason in clip.rejects if reason).most_common():
        print(f"  {number} frames: {reason}")
    for line in [*clip.source.get("warnings", []), *clip.source.get("quality", {}).get("advice", [])]:
        print(f"  {line}")
    print("background: " + ("seen, the camera stands still" if clip.plate is not None else "none, the camera moves"))
