"""Every form that an avatar is exported in: how it is written, and the lines that say what was.

Several forms of one run are written side by side in threads: drawing, compressing and waiting for other programs all
happen outside of Python's lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .. import files
from ..data import Camera, Clip
from ..errors import InputError
from ..motion.coefficients import to_arkit
from ..motion.voice import style_of
from ..raster.threads import native_threads
from ..splats.avatar import Avatar
from ..splats.model import Pose
from . import fidelity, forms
from .dataset import save_dataset
from .frames import Frame
from .gltf import save_gltf
from .ply import save_ply
from .png import png_bytes
from .posed import PosedSplats, neutral_pose
from .scene import POSES, Scene
from .web import save_web

NAMES = {
    "web": "-web", "glb": ".glb", "ply": ".ply", "spz": ".spz", "sog": ".sog", "compressed-ply": ".compressed.ply",
    "html": ".html", "dataset": "-dataset", "mp4": ".mp4", "png": "-frames",
}  # fmt: skip
"""Form -> what its name ends in where several lie in one folder."""
_MOST_WORKERS = 4
_WAITING = 8
"""Pictures that may wait to be compressed."""

Progress = Callable[[float, str], None]
FilmWriter = Callable[[Path, Iterable[np.ndarray], float], int]


@dataclass(frozen=True)
class Writers:
    """What is to be written, checked."""

    scene: Scene
    pose: Pose | None
    """What forms hold that hold one pose; None for the face at rest."""
    motion: tuple[np.ndarray, Pose] | None
    """Times [T] s and T poses of forms that play."""
    camera: Camera
    """Of films and pictures."""
    output: Path
    """Where all will lie in the end: the form itself, or the folder of several."""
    film: FilmWriter
    """Writes pictures [H, W, 3 or 4] uint8 at a rate in 1/s as the path's ending says; returns how many."""
    rate: float = 25.0
    """1/s, of films."""
    background: tuple[float, float, float] | None = (0.5, 0.5, 0.5)
    """sRGB behind films; None for the opacity beside."""
    axes: str = "y-up"
    sh_degree: int = 0
    clip: Clip | None = None
    """For datasets."""
    alone: bool = True
    """One form; then a motion makes a folder of numbered files of .ply and .spz."""
    measure: bool = True

    def write(self, paths: dict[str, Path], progress: Progress) -> dict[str, list[str]]:
        """Write forms, by name, to their paths; what to say about each."""
        parts = self._parts(paths)
        if len(parts) == 1:
            return next(iter(parts.values()))(progress)
        said: dict[str, list[str]] = {}
        workers = min(os.cpu_count() or 1, _MOST_WORKERS, len(parts))
        with ThreadPoolExecutor(workers) as pool:
            futures = {pool.submit(_alone, part): name for name, part in parts.items()}
            try:
                for future in as_completed(futures):
                    said |= future.result()
                    progress(len(said) / len(paths), futures[future])
            finally:
                pool.shutdown(cancel_futures=True)
        return {name: said[name] for name in paths}

    def _parts(self, paths: dict[str, Path]) -> dict[str, Callable[[Progress], dict[str, list[str]]]]:
        """What can be done at the same time; the longest first."""
        pictures = {name: paths[name] for name in ("mp4", "png") if name in paths}
        parts: dict[str, Callable[[Progress], dict[str, list[str]]]] = {}
        if pictures:
            parts["+".join(pictures)] = partial(self._pictures, pictures)
        alone = {
            "sog": self._static,
            "html": self._static,
            "web": self._web,
            "dataset": self._dataset,
            "glb": self._glb,
        }
        for name in sorted(paths.keys() - pictures, key=lambda name: [*alone, name].index(name)):
            parts[name] = partial(self._one, alone.get(name, self._static), name, paths[name])
        return parts

    @staticmethod
    def _one(
        write: Callable[[str, Path, Progress], list[str]], name: str, path: Path, progress: Progress
    ) -> dict[str, list[str]]:
        return {name: write(name, path, progress)}

    def _web(self, _: str, path: Path, __: Progress) -> list[str]:
        avatar = self.scene.avatar
        packed = save_web(avatar, path, self.motion, style=style_of(avatar), overwrite=True)
        place = self.output if self.alone else self.output / path.name
        words = [f"serve it with `python -m http.server -d {place}` or copy it to any web host"]
        return [*words, forms.measure_web(self.scene, packed).line("bundle")] if self.measure else words

    def _glb(self, _: str, path: Path, __: Progress) -> list[str]:
        moving = None
        if self.motion is not None:
            moving = (*self.motion, to_arkit(self.scene.avatar.head, self.motion[1].expression.numpy()))
        save_gltf(self.scene, path, moving)
        return [f"{_megabytes(path)}, splats and a rig with 52 morph targets", *self._figures("glb", "splats", 2)]

    def _static(self, name: str, path: Path, progress: Progress) -> list[str]:
        form = forms.STATIC[name]
        save = partial(save_ply, axes=self.axes, sh_degree=self.sh_degree) if name == "ply" else form.save
        if self.motion is None or not self.alone:
            save(self._splats(), path)
            words = [_megabytes(path)]
        elif name in ("ply", "spz"):
            count = forms.save_sequence(self.scene, self.motion[1], path, form.ending, save, _share(progress))
            words = [f"{count} files"]
        else:
            raise InputError(f"A sequence cannot be written as {name}", fix="Use ply, spz, glb or web")
        if name == "html":  # such a page holds a .sog
            return [*words, *self._figures("sog", "the .sog in it", 1)]
        return [*words, *self._figures(name, name, 2 if name in ("ply", "spz") else 1)]  # the tool takes seconds

    def _splats(self) -> PosedSplats:
        pose = self.pose
        return self.scene.neutral if pose is None else self.scene.once("posed", lambda: self.scene.shown(pose))

    def _figures(self, name: str, called: str, count: int) -> list[str]:
        found = forms.measure(self.scene, name, count) if self.measure else None
        return [found.line(called)] if found else []

    def _dataset(self, _: str, path: Path, progress: Progress) -> list[str]:
        avatar = self.scene.avatar
        assert self.clip is not None
        test = str(avatar.manifest.get("test", "tail"))
        count = save_dataset(
            self.clip, avatar.track, avatar.head, path, test=test, overwrite=True, progress=_share(progress)
        )
        return [f"{count} frames"]

    def _pictures(self, paths: dict[str, Path], progress: Progress) -> dict[str, list[str]]:
        """Film and PNGs: each pose is drawn once for both."""
        single = "png" in paths and paths["png"].suffix.lower() == ".png"
        avatar = self.scene.avatar
        poses = (self.pose or neutral_pose(avatar)) if single else self._moving(avatar)
        drawn = self._drawn(poses, progress)
        if "mp4" not in paths:
            if single:
                files.write_bytes(paths["png"], png_bytes(next(drawn).transparent()))
                return {"png": [_megabytes(paths["png"])]}
            with files.atomic_directory(paths["png"]) as folder:
                return {"png": [f"{sum(1 for _ in _saved(drawn, folder))} pictures"]}
        kept = set(np.linspace(0, len(poses) - 1, POSES).astype(int).tolist())
        shown: dict[int, np.ndarray] = {}

        def film(frames: Iterator[Frame]) -> Iterator[np.ndarray]:
            for number, frame in enumerate(frames):
                picture = frame.with_matte() if self.background is None else frame.over(self.background)
                if number in kept:
                    shown[number] = picture
                yield picture

        if "png" in paths:
            with files.atomic_directory(paths["png"]) as folder:
                count = self.film(paths["mp4"], film(_saved(drawn, folder)), self.rate)
        else:
            count = self.film(paths["mp4"], film(drawn), self.rate)
        words = f"{count} frames" + ("; on the right their opacity" if self.background is None else "")
        said = {"mp4": [words], "png": [f"{count} pictures"]}
        if self.measure:
            said["mp4"].append(fidelity.measure_film(paths["mp4"], shown).line("film"))
        return {name: said[name] for name in paths}

    def _moving(self, avatar: Avatar) -> Pose:
        return self.motion[1] if self.motion else Pose.of_track(avatar.track)

    def _drawn(self, poses: Pose, progress: Progress) -> Iterator[Frame]:
        for number in range(len(poses)):
            yield Frame.draw(self.scene.model, poses[number], self.camera)
            progress((number + 1) / len(poses), f"frame {number + 1} of {len(poses)}")


def _alone(part: Callable[[Progress], dict[str, list[str]]]) -> dict[str, list[str]]:
    """One part in a thread of its own, which has no say in what the bar shows."""
    with native_threads():
        return part(lambda share, news: None)


def _share(progress: Progress) -> Callable[[float], None]:
    return lambda share: progress(share, "")


def _saved(frames: Iterable[Frame], folder: Path) -> Iterator[Frame]:
    """The same frames, each also as a numbered PNG with alpha; compressed in other threads."""

    def save(number: int, frame: Frame) -> None:
        (folder / f"{number:05d}.png").write_bytes(png_bytes(frame.transparent()))

    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(2) as pool:
        for number, frame in enumerate(frames):
            waiting.append(pool.submit(save, number, frame))
            yield frame
            if len(waiting) >= _WAITING:
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.2f} MB"
