"""`avatars synth`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Synth:
    """Render a film of somebody who does not exist, together with the truth about it.

    The default head with a random identity talks, blinks, looks about and turns in a painted room: input for trying
    things out, and the measure for tests, since every parameter is known.

    Writes OUT.mp4 and OUT.truth beside it: truth.json and truth.safetensors (face state, poses, identity, camera,
    mattes) and views from the sides as PNG.
    """

    output: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT.mp4")]
    """The film to write."""
    seed: int = 0
    """Decides all that chance decides: the person, their clothes, the room, what they do and say."""
    seconds: float = 8.0
    """Length."""
    fps: float = 25.0
    """Frames per second."""
    size: int = 384
    """Side of the square picture, px."""
    yaw: float = 30.0
    """How far the head turns to either side, degrees."""
    ambient: float = 0.42
    """Share of the light that comes from all around, 0.05 to 1; the rest comes from one lamp."""
    light: tuple[float, float, float] | None = None
    """Direction towards the lamp: right, down and away as the camera sees them. By chance if not given."""
    focal: float | None = None
    """Focal length in units of the picture's side. By chance between 1.9 and 2.6 if not given."""
    silent: bool = False
    """Leave out the sound."""
    views: int = 4
    """How many frames are also drawn from 30 and 45 degrees on both sides."""
    overwrite: bool = False
    """Replace what has these names."""

    def run(self) -> None:
        """Render and write."""
        from ..synthetic.synthesize import Settings, require_outputs, synthesize
        from .heads import DEFAULT, find_head
        from .progress import Bars

        settings = Settings(
            seed=self.seed, seconds=self.seconds, fps=self.fps, size=self.size, yaw_deg=self.yaw, ambient=self.ambient,
            light=self.light, focal=self.focal, sound=not self.silent, views=self.views,
        ).validate()  # fmt: skip
        truth_path = require_outputs(self.output, self.overwrite)
        with Bars() as bars:
            bars.stage("head", DEFAULT)
            head = find_head(DEFAULT, bars.progress)
            bars.stage("synth", str(self.output))
            truth = synthesize(self.output, head, settings, overwrite=self.overwrite, progress=bars.progress)
        print(f"{self.output}: {len(truth.track.frame)} frames; the truth is in {truth_path}")
