"""One .glb with both of an avatar: its splats by KHR_gaussian_splatting and its rig as an ordinary animated mesh.

The extension has no words for skins or morphs, so the splats stand still in the neutral pose and the mesh moves. They
are two scenes of one file: the default one shows the splats, or the mesh where a motion is given for it to play.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__, files
from ..errors import FileFormatError
from ..splats.avatar import Avatar
from ..splats.model import Pose
from . import rig
from .glb import ARRAY_BUFFER, Buffer, array, pack, unpack
from .ply import SH0
from .posed import PosedSplats, Rest, neutral_pose
from .scene import Scene

EXTENSION = "KHR_gaussian_splatting"
_ROTATION, _SCALE, _OPACITY = (f"{EXTENSION}:{name}" for name in ("ROTATION", "SCALE", "OPACITY"))
_DC = f"{EXTENSION}:SH_DEGREE_0_COEF_0"


def gltf_bytes(scene: Scene, motion: tuple[np.ndarray, Pose, np.ndarray] | None = None) -> bytes:
    """The whole .glb, with colours that any viewer can show.

    Args:
        motion: times [T] s, T poses and their ARKit coefficients [T, 52].
    """
    buffer, avatar, splats = Buffer(), scene.avatar, scene.neutral
    with torch.no_grad():
        vertices = scene.model.vertices(neutral_pose(avatar))[0].numpy()
    frame = Rest.of(avatar).canonical_from_world
    vertices = vertices @ frame[:3, :3].T + frame[:3, 3]
    meshes = [_splat_mesh(buffer, splats), rig.add_mesh(buffer, avatar, splats, vertices)]
    nodes: list[dict[str, Any]] = [{"name": "splats", "mesh": 0}]
    bones, skin = rig.add_nodes(buffer, avatar, 1, 1)
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": f"avatars {__version__}", "extras": _words(avatar)},
        "extensionsUsed": [EXTENSION],
        "scene": 0 if motion is None else 1,
        "scenes": [{"name": "splats", "nodes": [0]}, {"name": "rig", "nodes": [1, 7]}],
        "nodes": nodes + bones,
        "meshes": meshes,
        "skins": [skin],
        "materials": [
            {
                "name": "skin",
                "doubleSided": True,
                "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8},
            }
        ],
    }
    if motion is not None:
        times, pose, coefficients = motion
        document["animations"] = [rig.add_animation(buffer, avatar, pose, coefficients, times, 1)]
    return pack(document, buffer)


def _words(avatar: Avatar) -> dict[str, Any]:
    names = ("name", "consent", "license", "provenance")
    return {key: avatar.manifest[key] for key in names if key in avatar.manifest}


def _splat_mesh(buffer: Buffer, splats: PosedSplats) -> dict[str, Any]:
    colors = splats.colors.astype(np.float64)

    def vertex(values: np.ndarray, **kind: bool) -> int:
        return buffer.add(values, target=ARRAY_BUFFER, **kind)

    fallback = np.c_[rig.linear(colors.clip(0, 1)), splats.opacities]
    return {
        "name": "splats",
        "primitives": [
            {
                "mode": 0,
                "attributes": {
                    "POSITION": vertex(splats.means, bounds=True),
                    "COLOR_0": vertex(np.round(fallback * 255).astype(np.uint8), normalized=True),
                    _ROTATION: vertex(splats.wxyz[:, [1, 2, 3, 0]]),
                    _SCALE: vertex(splats.scales),
                    _OPACITY: vertex(splats.opacities),
                    _DC: vertex(((colors - 0.5) / SH0).astype(np.float32)),
                },
                "extensions": {
                    EXTENSION: {
                        "kernel": "ellipse",
                        "colorSpace": "srgb_rec709_display",
                        "projection": "perspective",
                        "sortingMethod": "cameraDistance",
                    }
                },
            }
        ],
    }


def read_splats(path: Path | str) -> PosedSplats:
    """Splats of a .glb that `save_gltf` wrote.

    Raises:
        FileFormatError: not such a file.
    """
    document, data = unpack(path)
    try:
        attributes = document["meshes"][document["nodes"][0]["mesh"]]["primitives"][0]["attributes"]
        names = ("POSITION", _ROTATION, _SCALE, _OPACITY, _DC)
        means, xyzw, scales, opacities, dc = (array(document, data, attributes[name]) for name in names)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FileFormatError(f"Not a file of Gaussians: {error}", where=path) from error
    return PosedSplats(means, xyzw[:, [3, 0, 1, 2]], scales, opacities, (dc * SH0 + 0.5).astype(np.float32))


def save_splats(splats: PosedSplats, path: Path | str) -> None:
    """Write a .glb with splats alone, of any pose."""
    buffer = Buffer()
    document = {
        "asset": {"version": "2.0", "generator": f"avatars {__version__}"},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "meshes": [_splat_mesh(buffer, splats)],
        "nodes": [{"name": "splats", "mesh": 0}],
    }
    files.write_bytes(path, pack(document, buffer))


def save_gltf(scene: Scene, path: Path | str, motion: tuple[np.ndarray, Pose, np.ndarray] | None = None) -> None:
    """Write a .glb (see `gltf_bytes`)."""
    files.write_bytes(path, gltf_bytes(scene, motion))
