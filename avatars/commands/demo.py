"""`avatars demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from ..synthetic.synthesize import Settings

_EXPRESSIONS = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthPucker", "browInnerUp", "eyeBlinkLeft")


@dataclass(frozen=True)
class Demo:
    """Show the whole road offline, in a few minutes on two cores: a film, an avatar of it, and the avatar's own films.

    Nobody has to be filmed: the film is synthetic (see `avatars synth`), which also tells how far the avatar is from
    the truth. What an earlier demo left in the folder is used where it still fits and replaced where it does not.

    Writes into the folder: person.mp4 and person.truth (the film and the truth about it), person.avatar (with
    report.html), person.run (the stages), orbit.mp4, expressions.mp4, compare.mp4, and figures.json.
    """

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = Path("out")
    """The folder to write into."""
    seed: int = 7
    """Whom to make up."""
    preset: str = "demo"
    """How much work the avatar is: demo, fast, tiny, best, or a .json file."""

    def run(self) -> None:
        """Synthesise, build, render, measure, and say where to look."""
        from ..synthetic.synthesize import Settings
        from .build import Build
        from .render import Render

        out = self.output
        film, avatar = out / "person.mp4", out / "person.avatar"
        self._film(film, Settings(seed=self.seed, seconds=8.0, fps=20.0, size=384).validate())
        consent = "This person does not exist; the film is synthetic"
        Build(avatar, film, preset=self.preset, name="nobody", consent=consent, overwrite=True).run()
        size = 384
        Render(avatar, out / "orbit.mp4", path="orbit", size=size, background="gray", overwrite=True).run()
        sweep = out / "expressions.mp4"
        Render(avatar, sweep, path="sweep", size=size, expressions=_EXPRESSIONS, overwrite=True).run()
        Render(avatar, out / "compare.mp4", path="compare", size=size, overwrite=True).run()
        self._measure(film, avatar)
        print(
            f"\nLook at\n  {film}  the film\n  {out / 'orbit.mp4'}  the avatar from all sides\n"
            f"  {sweep}  its expressions\n  {out / 'compare.mp4'}  held-out frames: film, avatar, difference\n"
            f"  {avatar / 'report.html'}  everything else, in a browser"
        )

    def _film(self, film: Path, settings: Settings) -> None:
        """The film, unless the very same one lies there."""
        from ..errors import FileFormatError
        from ..synthetic.synthesize import synthesize
        from ..synthetic.truth import GroundTruth
        from .heads import DEFAULT, find_head
        from .progress import Bars

        with Bars() as bars:
            bars.stage("head", DEFAULT)
            head = find_head(DEFAULT, bars.progress)
            try:
                truth = GroundTruth.load(film.with_suffix(".truth"))
                known = truth.track.head["sha256"] == head.sha256 and settings.made(truth.settings)
            except FileFormatError:
                known = False
            if not (known and film.is_file()):
                bars.stage("synth", str(film))
                synthesize(film, head, settings, overwrite=True, progress=bars.progress)

    def _measure(self, film: Path, avatar: Path) -> None:
        """How far tracking and looks are from the truth: printed, and written to figures.json."""
        from .. import files
        from ..splats.avatar import Avatar
        from ..synthetic.accuracy import tracking_errors
        from ..synthetic.truth import GroundTruth
        from ..tracking.track import load_track
        from ..training.build import Run
        from ..training.novel_views import novel_view_psnr
        from .heads import DEFAULT, find_head

        head = find_head(DEFAULT, lambda share, news: None)
        truth, made = GroundTruth.load(film.with_suffix(".truth")), Avatar.load(avatar)
        errors = tracking_errors(load_track(Run.of(avatar).track), truth, head).summary()
        refined = tracking_errors(made.track, truth, head, made.head).summary()
        sides = {f"{yaw:+.0f}": value for yaw, value in novel_view_psnr(made, truth, head).items()}
        files.write_json(
            self.output / "figures.json",
            {
                "tracking": errors,
                "refined": refined,
                "novel_view_psnr": sides,
            },
        )
        for name, found in (("landmarks", errors), ("refined", refined)):
            print(
                f"against the truth, {name}: head rotation {found['rotation_deg']:.1f} degrees, place "
                f"{found['translation_percent']:.1f} %, face {found['vertices_mm']:.1f} mm"
            )
        print("seen from the side: " + ", ".join(f"{value:.1f} dB from {yaw} degrees" for yaw, value in sides.items()))
