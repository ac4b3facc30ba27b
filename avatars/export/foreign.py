"""Datasets of other tools in nerfstudio's layout: images and masks, and FLAME parameters per frame as VHAP writes them.

A FLAME head takes those parameters as its track (see vhap.py). For any other head, or where there are none, the
pictures are tracked anew; their landmarks are found again in any case, since training refers to them. Of several
cameras the one is taken that looks from the middle of them all, since rigs stand round the face.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import files
from ..capture.faces import FaceMesh
from ..data import LANDMARKS, Camera, Clip, Track
from ..errors import FileFormatError, InputError
from ..heads.head import Head
from .vhap import flame_track, read_parameters, stacked

GL_FROM_CV = np.diag([1.0, -1.0, -1.0, 1.0])
_LISTS = ("transforms.json", "transforms_train.json", "transforms_val.json", "transforms_test.json")
_RATE = 25.0
"""Frames/s; such datasets do not say."""
_MOST_BYTES = 16 << 30
_MODELS = ("", "OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
_LENS = ("k1", "k2", "p1", "p2", "k3")
"""Distortion, in OpenCV's order."""


@dataclass
class _Entry:
    """One picture of the list."""

    image: Path
    mask: Path | None
    parameters: Path | None
    step: int
    camera: Camera
    lens: tuple[float, ...]
    """OpenCV's distortion coefficients; empty for none."""


def load_foreign(
    directory: Path, head: Head, progress: Callable[[float, str], None] | None = None
) -> tuple[Clip, Track | None]:
    """Read a dataset: one camera's pictures in order, and their track where `head` is the FLAME of its parameters.

    Raises:
        FileFormatError: missing, damaged or hostile.
        InputError: no masks, a fisheye's pictures, or more of them than fit into memory.
    """
    try:
        entries, digest = _entries(directory)
        clip = _clip(entries, directory, digest, progress)
        tracked = [entry.parameters for entry in entries]
        if "expression000" not in head.expression_names or not all(tracked):
            return clip, None
        parameters = [read_parameters(path) for path in tracked if path is not None]
        cameras = [entry.camera for entry in entries]
        if any(not np.allclose(camera.intrinsics, cameras[0].intrinsics, rtol=1e-3) for camera in cameras):
            raise InputError("The camera zooms", where=directory, fix="Use pictures of one focal length")
        return clip, flame_track(head, stacked(parameters), cameras, clip)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, np.linalg.LinAlgError) as error:
        raise FileFormatError(f"The dataset is incomplete: {error}", where=directory) from error


def _entries(directory: Path) -> tuple[list[_Entry], str]:
    """The pictures of one camera in order of time, and a digest of the lists."""
    found: dict[int, dict[str, _Entry]] = defaultdict(dict)
    frames, digest = _frames(directory)
    for words in frames:
        pictures = found[int(words.get("camera_index", 0))]
        entry = _entry(directory, words, len(pictures))
        pictures[str(entry.image)] = entry
    if not found:
        raise FileFormatError("No dataset: there is no transforms.json with frames", where=directory)
    kept = sorted(found[_middle(found)].values(), key=lambda entry: entry.step)
    if len({entry.step for entry in kept}) != len(kept):
        raise ValueError("two pictures of one camera have the same time step")
    return kept, digest


def _frames(directory: Path) -> tuple[list[dict[str, Any]], str]:
    """The entries of all lists with what their lists say for all, and a digest; without time steps by time or name."""
    out, digest = [], hashlib.sha256()
    whole = (directory / _LISTS[0]).is_file()
    for name in _LISTS[:1] if whole else _LISTS[1:]:
        if not (directory / name).is_file():
            continue
        document = files.read_json(directory / name)
        digest.update(json.dumps(document, sort_keys=True).encode())
        shared = {key: value for key, value in document.items() if key != "frames"}
        out += [shared | frame for frame in document["frames"]]

    def order(frame: dict[str, Any]) -> tuple[float, list[tuple[int, str]]]:
        parts = re.findall(r"\d+|\D+", str(frame.get("file_path")))
        return float(frame.get("time", 0)), [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]

    return out if all("timestep_index" in frame for frame in out) else sorted(out, key=order), digest.hexdigest()


def _middle(cameras: dict[int, dict[str, _Entry]]) -> int:
    """Of those cameras that saw the most, the one nearest to the middle of all."""
    places = {
        index: np.asarray(next(iter(pictures.values())).camera.world_from_camera, float)[:3, 3]
        for index, pictures in cameras.items()
    }
    middle = np.mean(list(places.values()), 0)
    most = max(len(pictures) for pictures in cameras.values())
    full = [index for index, pictures in cameras.items() if len(pictures) >= 0.9 * most]
    return min(sorted(full), key=lambda index: round(float(np.linalg.norm(places[index] - middle)), 6))


def _entry(directory: Path, words: dict[str, Any], step: int) -> _Entry:
    def path(*names: str) -> Path | None:
        name = next((str(words[n]) for n in names if words.get(n)), None)
        if name is not None and name.startswith("../"):
            # VHAP joins sequences of one person by lists that refer to the folders of each.
            fix = "Pass one of the folders that it refers to"
            raise FileFormatError("The dataset refers to files outside of its folder", where=name[:100], fix=fix)
        return None if name is None else files.safe_join(directory, name.removeprefix("./"))

    image = path("file_path")
    if image is None:
        raise ValueError("a frame without file_path")
    if str(words.get("camera_model", "")).upper() not in _MODELS:
        model = str(words["camera_model"])[:40]
        raise InputError(f"Pictures of a '{model}' camera cannot be used", where=directory, fix="Undistort them")
    pose = np.array(words["transform_matrix"], float) @ GL_FROM_CV
    height, width = (int(words["h"]), int(words["w"])) if "w" in words else _read(image, cv2.IMREAD_COLOR).shape[:2]
    fx = float(words["fl_x"]) if "fl_x" in words else width / 2 / np.tan(float(words["camera_angle_x"]) / 2)
    numbers = (fx, float(words.get("fl_y", fx)), float(words.get("cx", width / 2)), float(words.get("cy", height / 2)))
    lens = tuple(float(words.get(name, 0.0)) for name in _LENS)
    if not np.isfinite(lens).all():
        raise ValueError("a lens that makes no sense")
    camera = Camera(*numbers, width, height, pose).validate()
    mask, parameters = path("fg_mask_path", "mask_path"), path("flame_param_path")
    return _Entry(image, mask, parameters, int(words.get("timestep_index", step)), camera, lens if any(lens) else ())


def _clip(entries: list[_Entry], directory: Path, digest: str, progress: Callable[[float, str], None] | None) -> Clip:
    first, _ = _picture(entries[0], None)
    height, width = first.shape[:2]
    if len(entries) * height * width * 4 > _MOST_BYTES:
        raise InputError(f"{len(entries)} pictures of {width} x {height} do not fit", fix="Make them smaller or fewer")
    frames = np.empty((len(entries), height, width, 3), np.uint8)
    matte = np.empty((len(entries), height, width), np.uint8)
    landmarks = np.full((len(entries), LANDMARKS, 3), np.nan, np.float32)
    rejects = []
    with FaceMesh(static=False) as mesh:
        for i, entry in enumerate(entries):
            frames[i], matte[i] = _picture(entry, (height, width))
            faces = mesh.detect(frames[i])
            rejects.append("" if len(faces) else "no face")
            if len(faces):
                landmarks[i] = faces[0]
            if progress:
                progress((i + 1) / len(entries), entry.image.name)
    times = np.array([entry.step for entry in entries]) / _RATE
    source = {"name": directory.resolve().name, "sha256": digest}
    return Clip(frames, times - times[0], landmarks, matte, rejects, source=source).validate()


def _picture(entry: _Entry, size: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray]:
    """([H, W, 3], [H, W]) uint8 of a picture and its mask, without the lens' distortion."""
    image = _read(entry.image, cv2.IMREAD_UNCHANGED)
    if image.ndim == 3 and image.shape[2] == 4 and entry.mask is None:
        mask = image[..., 3]
    elif entry.mask is not None:
        mask = _read(entry.mask, cv2.IMREAD_GRAYSCALE)
    else:
        raise InputError("The dataset has no masks", where=entry.image, fix="Add fg_mask_path or pictures with alpha")
    image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image[..., :3]
    if image.dtype != np.uint8 or mask.shape != image.shape[:2] or (size and size != image.shape[:2]):
        raise FileFormatError("A picture or its mask has another size or depth", where=entry.image)
    if entry.lens:
        fx, fy, cx, cy = entry.camera.resized(image.shape[1], image.shape[0]).intrinsics.astype(float)
        matrix = np.array([[fx, 0, cx - 0.5], [0, fy, cy - 0.5], [0, 0, 1]])  # OpenCV counts from pixels' centres
        image, mask = (cv2.undistort(np.ascontiguousarray(x), matrix, np.array(entry.lens)) for x in (image, mask))
    return np.ascontiguousarray(image[..., ::-1]), np.ascontiguousarray(mask)


def _read(path: Path, kind: int) -> np.ndarray:
    for candidate in (path, path.with_name(path.name + ".png")):  # some writers leave the ending out
        image = cv2.imread(str(candidate), kind) if candidate.is_file() and not candidate.is_symlink() else None
        if image is not None:
            return image
    raise FileFormatError("A picture is missing or unreadable", where=path)
