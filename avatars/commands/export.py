"""`avatars export`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    import numpy as np

    from ..data import Clip, Motion
    from ..export.writers import Writers
    from ..splats.avatar import Avatar
    from ..splats.model import Pose

Form = Literal["web", "glb", "ply", "spz", "sog", "compressed-ply", "html", "dataset", "mp4", "png"]
_TOOL = ("sog", "compressed-ply", "html")


@dataclass(frozen=True)
class Export:
    """Write an avatar as other programs read it: for the web, VR, game engines, splat viewers, video.

    *web*: a folder with a page that shows the head and lets anyone move it: sliders, a recording, ARKit coefficients
    from a script or a socket, a headset. It needs no server of its own, only a web host (`python -m http.server`).
    *glb*: splats by KHR_gaussian_splatting, and in a second scene the rig as a mesh with 52 ARKit morph targets.
    *ply*, *spz*: one pose's splats (metres, y up, facing +z); with --motion a folder of numbered files.
    *sog*, *compressed-ply*, *html*: the same by PlayCanvas' splat-transform (needs node 22).
    *dataset*: tracked frames in nerfstudio's layout (needs the run directory that the avatar was made in).
    *mp4*, *png*: the motion drawn; PNGs are transparent, and OUT.png is one picture of --pose.

    --format given several times, or *all*, writes a folder of forms at once, which shares most of the work; ply and spz
    then hold one pose. *all* leaves out what cannot be had here, and says why.

    Prints the size, and what the form lost against the native render over held-out frames.
    """

    avatar: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="X.avatar")]
    """The avatar."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT")]
    """File or folder to write."""
    format: tyro.conf.UseAppendAction[tuple[Literal[Form, "all"], ...]] = ()
    """What to write, web by default; may be given several times."""
    pose: str = "neutral"
    """For one pose: neutral, a frame of the captured motion by number, or a JSON file of ARKit coefficients by name."""
    motion: Annotated[str | None, tyro.conf.arg(metavar="MOTION")] = None
    """What plays: 'track' (the captured motion), a Live Link Face .csv, or a motion .safetensors. The web page, mp4 and
    png take the captured motion by default."""
    axes: Literal["y-up", "colmap"] = "y-up"
    """For ply: y up and facing +z, or y down and facing -z; noted in the file."""
    sh_degree: Literal[0, 3] = 0
    """For ply: 3 pads with zeros, for importers that insist on spherical harmonics of degree 3."""
    size: int = 512
    """For mp4 and png: longer side, px."""
    background: str = "gray"
    """For mp4: white, black, gray, green or #rrggbb; 'none' makes a film twice as wide, on the left over black, on the
    right the opacity, since mp4 holds no transparency."""
    run_directory: Annotated[Path | None, tyro.conf.arg(name="run", metavar="RUN")] = None
    """For dataset: the run directory the avatar was made in; X.run beside it by default."""
    measure: bool = True
    """Read the form back and print what it lost."""
    overwrite: bool = False
    """Replace what has that name."""

    def run(self) -> None:
        """Write, measure, and say so."""
        from .. import files
        from ..splats.avatar import Avatar
        from .progress import Bars

        began = time.monotonic()
        files.require_new(self.output, self.overwrite)
        files.require_writable(self.output)
        forms, missing = self._forms()
        avatar = Avatar.load(self.avatar)
        writers = self._writers(avatar, forms)
        with Bars() as bars:
            for line in missing:
                bars.say(line)
            bars.stage("export", f"{', '.join(forms)} of {self.avatar}")
            with self._paths(forms) as paths:
                said = writers.write(paths, bars.progress)
        for name, lines in said.items():
            place = self.output / paths[name].name if len(forms) > 1 else self.output
            print("\n".join([f"{place}: {lines[0]}", *lines[1:]]))
        if len(forms) > 1:
            print(f"{len(forms)} forms in {time.monotonic() - began:.1f} s, {_processor():.1f} s of processor time")

    def _forms(self) -> tuple[list[Form], list[str]]:
        """What to write, each once, and why some of 'all' cannot be; what was named must be possible."""
        from typing import get_args

        from ..errors import BackendError, InputError
        from ..export import splat_transform

        forms: list[Form] = list(get_args(Form)) if "all" in self.format else list(dict.fromkeys(self.format))  # type: ignore[arg-type]
        missing = []
        try:
            if any(name in forms for name in _TOOL):
                splat_transform.find()
        except BackendError as error:
            if "all" not in self.format:
                raise
            forms = [name for name in forms if name not in _TOOL]
            missing.append(f"left out: {', '.join(_TOOL)}. {error}")
        if "all" in self.format and not self._run.is_dir():
            forms.remove("dataset")
            missing.append(f"left out: dataset. There is no run directory {self._run}")
        forms = forms or ["web"]
        if forms == ["mp4"] and self.output.suffix.lower() != ".mp4":
            raise InputError("A film's name ends in .mp4", where=self.output)
        return forms, missing

    @property
    def _run(self) -> Path:
        return self.run_directory or self.avatar.with_suffix(".run")

    def _writers(self, avatar: Avatar, forms: list[Form]) -> Writers:
        """Everything that the forms are made of, so that nothing wrong is found out half-way."""
        from ..export.scene import Scene
        from ..export.writers import Writers
        from .drawing import fitted
        from .pictures import parse_color, write_frames
        from .render import rate_of

        motion = self._motion(avatar)
        return Writers(
            Scene(avatar), self._pose(avatar), motion, fitted(avatar.camera, self.size), self.output,
            lambda path, frames, rate: write_frames(path, frames, rate, overwrite=True),
            rate=rate_of(motion[0] if motion else avatar.track.times),
            background=None if self.background == "none" else parse_color(self.background),
            axes=self.axes, sh_degree=self.sh_degree, clip=self._clip() if "dataset" in forms else None,
            alone=len(forms) == 1, measure=self.measure,
        )  # fmt: skip

    def _clip(self) -> Clip:
        from ..capture.clip import load_clip

        return load_clip(self._run / "clip")

    @contextmanager
    def _paths(self, forms: list[Form]) -> Iterator[dict[str, Path]]:
        """Where to write each form: one form to the output itself, several into a folder that appears when complete."""
        from .. import files
        from ..export.writers import NAMES

        if len(forms) == 1:
            yield {forms[0]: self.output}
            return
        with files.atomic_directory(self.output) as folder:
            yield {name: folder / f"{self.avatar.stem}{NAMES[name]}" for name in forms}

    def _pose(self, avatar: Avatar) -> Pose | None:
        from ..export.posed import pose_of_row

        if self.pose == "neutral":
            return None
        if self.pose.isdigit():
            return pose_of_row(avatar, int(self.pose))
        return self._pose_of_json(avatar, Path(self.pose))

    def _pose_of_json(self, avatar: Avatar, path: Path) -> Pose:
        """A file such as {"jawOpen": 0.4, "rotation": [0, 0.2, 0]}."""
        import numpy as np

        from .. import files
        from ..errors import InputError
        from ..export.posed import pose_of_arkit
        from ..heads.arkit import INDEX

        words = files.read_json(path, 1 << 20)
        if not isinstance(words, dict):
            raise InputError("A pose is a JSON object of coefficients by name", where=path)
        placed = {k: np.array([words.pop(k, [0, 0, 0])], float) for k in ("rotation", "translation")}
        row = np.zeros((1, 52))
        for name, value in words.items():
            if name not in INDEX or isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"'{name}' is not an ARKit coefficient with a number", where=path)
            row[0, INDEX[name]] = value
        return pose_of_arkit(avatar, row, **placed)

    def _motion(self, avatar: Avatar) -> tuple[np.ndarray, Pose] | None:
        """Times and poses of what plays, or None."""
        from ..motion.retarget import Manner, Retarget
        from ..motion.smooth import steady
        from ..splats.model import Pose

        if self.motion is None:
            return None
        if self.motion == "track":
            return avatar.track.times, Pose.of_track(avatar.track)
        smooth = steady(self._read_motion(Path(self.motion)))
        return smooth.times, Retarget(avatar, Manner.of(smooth))(smooth)

    @staticmethod
    def _read_motion(path: Path) -> Motion:
        from ..motion.sources import load_motion, motion_of_csv

        return motion_of_csv(path) if path.suffix.lower() == ".csv" else load_motion(path)


def _processor() -> float:
    """s that all cores together worked for this program and those it called."""
    return sum(os.times()[:4])
