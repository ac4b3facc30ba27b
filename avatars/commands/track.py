"""`avatars track`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Track:
    """The second stage alone: fit a 3D head to every frame of a captured clip.

    Finds the person's head shape and the camera's focal length, and for each frame head and torso pose, gaze, eyelids
    and expression. Says how well the landmarks fit, what the footage covers, and what to film again.

    Reads RUN/clip (see `avatars capture`), writes RUN/track.safetensors and RUN/track.json.
    """

    run_directory: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run directory of a captured clip."""
    head: str = "default"
    """The head model; `avatars head list` names them."""

    def run(self) -> None:
        """Track, and print the quality."""
        from ..tracking.personal import personalise
        from ..tracking.report import quality
        from ..training.build import Run, tracked_clip
        from .heads import find_head
        from .lock import exclusive
        from .progress import Bars
        from .stages import clip_of

        run = Run(self.run_directory)
        clip = clip_of(run)
        with exclusive(run.directory), Bars() as bars:
            bars.stage("head", self.head)
            head = find_head(self.head, bars.progress)
            track = tracked_clip(run, clip, head, bars, again=True)
        person, own = personalise(head, track)
        found = quality(own, clip, person)
        rmse = ", ".join(f"{name} {value:.2f}" for name, value in found["landmark_rmse_px"].items())
        print(f"{found['frames']} frames; landmark error in px at 512: {rmse}")
        low, high = found["yaw_deg"]
        print(f"trembling of a still head: {found['jitter_px']:.2f} px; the head turns {low:+.0f}° to {high:+.0f}°")
        for line in found["advice"]:
            print(f"  {line}")
