"""`avatars export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    import numpy as np

    from ..data import Motion
    from ..splats.avatar import Avatar
    from ..splats.model import Pose
    from .progress import Bars


@dataclass(frozen=True)
class Export:
    """Write an avatar as other programs read it: for the web, VR, game engines, splat viewers, video.

    *web*: a folder with a page that shows the head and lets anyone move it: sliders, a recording, ARKit coefficients
    from a script or a socket, a headset. It needs no server of its own, only a web host (`python -m http.server`).
    *glb*: splats by KHR_gaussian_splatting, and in a second scene the rig as a mesh with 52 ARKit morph targets.
    *ply*, *spz*: one pose's splats (metres, y up, facing +z); with --motion a folder of numbered files.
    *sog*, *compressed-ply*, *html*: the same by PlayCanvas' splat-transform (needs node 22).
    *dataset*: tracked frames in nerfstudio's layout (needs the run directory that the avatar was made in).
    *mp4*, *png*: the motion drawn; PNGs are transparent.

    Prints the size, and what the form lost against the native render over held-out frames.
    """

    avatar: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="X.avatar")]
    """The avatar."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT")]
    """File or folder to write."""
    format: Literal["web", "glb", "ply", "spz", "sog", "compressed-ply", "html", "dataset", "mp4", "png"] = "web"
    """What to write."""
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
    """For mp4: white, black, gray, green or #rrggbb."""
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

        files.require_new(self.output, self.overwrite)
        files.require_writable(self.output)
        if self.format in ("sog", "compressed-ply", "html"):
            from ..export import splat_transform

            splat_transform.find()
        avatar = Avatar.load(self.avatar)
        with Bars() as bars:
            bars.stage("export", f"{self.format} of {self.avatar}")
            lines = self._write(avatar, bars)
        print("\n".join(lines))

    def _write(self, avatar: Avatar, bars: Bars) -> list[str]:
        if self.format == "web":
            return self._web(avatar)
        if self.format == "glb":
            return self._glb(avatar)
        if self.format == "dataset":
            return self._dataset(avatar, bars)
        if self.format in ("mp4", "png"):
            return self._pictures(avatar, bars)
        return self._static(avatar, bars)

    def _web(self, avatar: Avatar) -> list[str]:
        from ..export import fidelity, forms
        from ..export.web import save_web
        from ..motion.voice import style_of

        motion = self._motion(avatar, None)
        packed = save_web(avatar, self.output, motion, style=style_of(avatar), overwrite=self.overwrite)
        lines = [f"{self.output}: serve it with `python -m http.server -d {self.output}` or copy it to any web host"]
        if self.measure:
            lines.append(forms.measure_web(avatar, packed, fidelity.held_out(avatar)).line("bundle"))
        return lines

    def _glb(self, avatar: Avatar) -> list[str]:
        from ..export import fidelity, forms
        from ..export.gltf import save_gltf
        from ..motion.coefficients import to_arkit

        motion = self._motion(avatar, None)
        if motion is not None:
            motion = (*motion, to_arkit(avatar.head, motion[1].expression.numpy()))
        save_gltf(avatar, self.output, motion)
        lines = [f"{self.output}: {self.output.stat().st_size / 1e6:.2f} MB, splats and a rig with 52 morph targets"]
        found = forms.measure(avatar, "glb", fidelity.held_out(avatar, 2)) if self.measure else None
        return [*lines, found.line("splats")] if found else lines

    def _static(self, avatar: Avatar, bars: Bars) -> list[str]:
        from functools import partial

        from ..errors import InputError
        from ..export import fidelity, forms
        from ..export.ply import save_ply

        form = forms.STATIC[self.format]
        save = partial(save_ply, axes=self.axes, sh_degree=self.sh_degree) if self.format == "ply" else form.save
        motion = self._motion(avatar, None)
        if motion is None:
            forms.save_static(avatar, self._pose(avatar), self.output, save)
            lines = [f"{self.output}: {self.output.stat().st_size / 1e6:.2f} MB"]
        elif self.format in ("ply", "spz"):
            count = forms.save_sequence(avatar, motion[1], self.output, form.ending, save, bars.progress)
            lines = [f"{self.output}: {count} files"]
        else:
            raise InputError(f"A sequence cannot be written as {self.format}", fix="Use ply, spz, glb or web")
        read = "sog" if self.format == "html" else self.format  # such a page holds a .sog
        count = 2 if self.format in ("ply", "spz") else 1  # the tool takes seconds
        found = forms.measure(avatar, read, fidelity.held_out(avatar, count)) if self.measure else None
        return [*lines, found.line("the .sog in it" if read != self.format else read)] if found else lines

    def _dataset(self, avatar: Avatar, bars: Bars) -> list[str]:
        from ..capture.clip import load_clip
        from ..export.dataset import save_dataset

        clip = load_clip((self.run_directory or self.avatar.with_suffix(".run")) / "clip")
        test = str(avatar.manifest.get("test", "tail"))
        count = save_dataset(
            clip, avatar.track, avatar.head, self.output, test=test, overwrite=self.overwrite, progress=bars.progress
        )
        return [f"{self.output}: {count} frames"]

    def _pictures(self, avatar: Avatar, bars: Bars) -> list[str]:
        import numpy as np

        from ..errors import InputError
        from ..export import fidelity
        from .drawing import Drawer, Shot, fitted
        from .pictures import reported, write_frames
        from .render import rate_of

        if self.format == "mp4" and self.output.suffix.lower() != ".mp4":
            raise InputError("A film's name ends in .mp4", where=self.output)
        motion = self._motion(avatar, "track")
        assert motion is not None
        times, poses = motion
        camera = fitted(avatar.camera, self.size)
        draw = Drawer(avatar, "none" if self.format == "png" else self.background, camera)
        kept = set(np.linspace(0, len(poses) - 1, fidelity.POSES).astype(int).tolist())
        shown: dict[int, np.ndarray] = {}

        def frame(number: int) -> np.ndarray:
            picture = draw(Shot(poses[number], camera))
            if number in kept:
                shown[number] = picture
            return picture

        frames = reported(len(poses), frame, bars.progress)
        count = write_frames(self.output, frames, rate_of(times), overwrite=self.overwrite)
        lines = [f"{self.output}: {count} frames"]
        if self.format == "mp4" and self.measure:
            lines.append(fidelity.measure_film(self.output, shown).line("film"))
        return lines

    def _pose(self, avatar: Avatar) -> Pose:
        from ..export.posed import neutral_pose, pose_of_row

        if self.pose == "neutral":
            return neutral_pose(avatar)
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

    def _motion(self, avatar: Avatar, default: str | None) -> tuple[np.ndarray, Pose] | None:
        """Times and poses of what plays, or None."""
        from ..motion.retarget import Manner, Retarget
        from ..motion.smooth import steady
        from ..splats.model import Pose

        chosen = self.motion or default
        if chosen is None:
            return None
        if chosen == "track":
            return avatar.track.times, Pose.of_track(avatar.track)
        smooth = steady(self._read_motion(Path(chosen)))
        return smooth.times, Retarget(avatar, Manner.of(smooth))(smooth)

    @staticmethod
    def _read_motion(path: Path) -> Motion:
        from ..motion.sources import load_motion, motion_of_csv

        return motion_of_csv(path) if path.suffix.lower() == ".csv" else load_motion(path)
