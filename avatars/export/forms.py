"""Each exported form by name: how it is written, and how it is read back to measure what it lost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import files
from ..splats.model import Pose
from . import fidelity, splat_transform
from .bundle import Bundle, read_bundle, rebuilt
from .displayable import changed
from .fidelity import Fidelity
from .gltf import read_splats, save_splats
from .ply import read_ply, save_ply
from .posed import PosedSplats, posed
from .scene import Scene
from .spz import read_spz, save_spz


@dataclass(frozen=True)
class Static:
    """A file of one pose's splats."""

    ending: str
    save: Callable[[PosedSplats, Path], None]
    read: Callable[[Path], PosedSplats] | None
    """None where only other programs read it."""


def _tool(name: str) -> Callable[[PosedSplats, Path], None]:
    return lambda splats, path: splat_transform.convert(splats, path, name)


def _read_by_tool(path: Path) -> PosedSplats:
    """A form of splat-transform's, turned into .ply by it and read."""
    with tempfile.TemporaryDirectory() as directory:
        plain = Path(directory, "out.ply")
        splat_transform.run(splat_transform.find(), ["-q", "-w", "-g", "cpu", str(path), str(plain)])
        return read_ply(plain)


STATIC: dict[str, Static] = {
    "ply": Static(".ply", save_ply, read_ply),
    "spz": Static(".spz", save_spz, read_spz),
    "glb": Static(".glb", save_splats, read_splats),
    "sog": Static(".sog", _tool("sog"), _read_by_tool),
    "compressed-ply": Static(".compressed.ply", _tool("compressed-ply"), _read_by_tool),
    "html": Static(".html", _tool("html"), None),
}


def save_sequence(
    scene: Scene,
    pose: Pose,
    directory: Path,
    ending: str,
    save: Callable[[PosedSplats, Path], None],
    progress: Callable[[float], None] | None = None,
) -> int:
    """Write `frame0001.ply` ... of T poses into a folder that appears when complete; returns T.

    Colours are fitted to what viewers show in the face at rest alone, and all frames changed like it (see
    displayable.py): a fit of their own would take seconds each.
    """
    with files.atomic_directory(directory) as temporary:
        for i in range(len(pose)):
            splats = changed(posed(scene.avatar, pose[i], scene.model), scene.change)
            save(splats, temporary / f"frame{i + 1:04d}{ending}")
            if progress:
                progress((i + 1) / len(pose))
    return len(pose)


def measure(scene: Scene, name: str, count: int) -> Fidelity | None:
    """What a static form loses over some held-out poses; None if nothing reads it back. Measured once per scene."""
    form = STATIC[name]
    read = form.read
    if read is None:
        return None

    def again(splats: PosedSplats) -> tuple[PosedSplats, int]:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, f"a{form.ending}")
            form.save(splats, path)
            return read(path), path.stat().st_size

    return scene.once(("measured", name), lambda: fidelity.measure_static(scene, again, count))


def measure_web(scene: Scene, packed: Bundle) -> Fidelity:
    """What packing the web bundle loses over held-out poses."""
    with tempfile.TemporaryDirectory() as directory:
        packed.save(directory)
        again = rebuilt(scene.avatar, read_bundle(directory)[1])
    return fidelity.measure_web(scene, again, packed.size)
