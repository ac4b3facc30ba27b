"""A tracked clip as a nerfstudio-style dataset, as head-tracking tools write it, and back.

`transforms_train.json`, `_val`, `_test` and one with all: one camera (OpenGL axes: x right, y up, looking along -z)
and, per frame, its intrinsics, an image whose alpha is the person's matte, the matte again as `fg_mask_path`, a time
step, and our own face state as `avatar_file_path` (safetensors: expression, ARKit coefficients, rotation, translation,
torso). With a FLAME head VHAP's parameters stand beside it as `flame_param_path`, and `canonical_flame_param.npz`, by
which GaussianAvatars knows such a dataset. Cameras look at the track's world, so the head moves.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import files
from ..data import Camera, Clip, Track
from ..errors import FileFormatError, InputError
from ..heads.head import Head
from ..motion.coefficients import to_arkit
from ..training.frames import split
from .foreign import GL_FROM_CV, load_foreign
from .listing import Listing, frame_name
from .png import png_bytes
from .vhap import flame_parameters, npz_bytes

_STATE = ("expression", "rotation", "translation", "torso_rotation", "torso_translation")
_MOST_FRAMES = 100_000
_MOST_PIXELS = 1 << 26
_THREADS = 4
"""That write: half of the time goes by waiting for the disk."""


def save_dataset(
    clip: Clip,
    track: Track,
    head: Head,
    directory: Path | str,
    *,
    test: str = "tail",
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> int:
    """Write the used frames of a clip with what was tracked in them; the folder appears when complete.

    Args:
        head: that the track's expression refers to.
        test: which frames are held out (see `training.frames.split`).

    Returns:
        How many frames were written.

    Raises:
        InputError: it exists already, or clip and track do not belong together.
    """
    if len(track.frame) == 0 or int(track.frame.max()) >= len(clip.times):
        raise InputError("The track does not belong to this clip")
    files.require_new(directory, overwrite)
    flame = flame_parameters(head, track) if "expression000" in head.expression_names else None
    listing = Listing(clip, track, set(split(track.times, test)[1].tolist()), flame is not None)
    arkit = to_arkit(head, track.expression)
    with files.atomic_directory(directory) as out, ThreadPoolExecutor(_THREADS) as pool:
        for folder in ("images", "fg_masks", "states", *(["flame_param"] if flame is not None else [])):
            (out / folder).mkdir()
        if clip.plate is not None:
            (out / "plate.png").write_bytes(png_bytes(np.asarray(clip.plate)))

        def write(row: int) -> None:
            at, name = track.frame[row], frame_name(row)
            matte = np.asarray(clip.matte[at])
            image = np.concatenate([np.asarray(clip.frames[at]), matte[..., None]], 2)
            (out / "images" / f"{name}.png").write_bytes(png_bytes(image))
            (out / "fg_masks" / f"{name}.png").write_bytes(png_bytes(matte))
            state = {k: np.asarray(getattr(track, k)[row], np.float32) for k in _STATE}
            state |= {"arkit": arkit[row].astype(np.float32), "landmarks": clip.landmarks[at]}
            files.save_tensors(out / "states" / f"{name}.safetensors", state)
            if flame is not None:
                (out / "flame_param" / f"{name}.npz").write_bytes(npz_bytes(flame, row))

        for done, _ in enumerate(pool.map(write, range(len(track.frame))), 1):
            if progress:
                progress(done / len(track.frame))
        if flame is not None:
            (out / "canonical_flame_param.npz").write_bytes(npz_bytes(flame, None))
        for name, document in listing.documents().items():
            files.write_json(out / name, document)
        files.save_tensors(
            out / "subject.safetensors",
            {"identity": track.identity, "landmark_offsets": track.landmark_offsets, "confidence": track.confidence},
        )
    return len(track.frame)


@dataclass
class _Frame:
    """One checked entry of the list."""

    image: Path
    mask: Path
    state: Path
    time: float


def load_dataset(
    directory: Path | str, head: Head, progress: Callable[[float, str], None] | None = None
) -> tuple[Clip, Track | None]:
    """Read a dataset that `save_dataset` or another tool wrote (see foreign.py).

    Args:
        head: whose numbers the track is to have.

    Returns:
        The pictures, and what was tracked in them; None where that was with another head, or not at all.

    Raises:
        FileFormatError: missing, damaged, hostile or newer.
        InputError: it has no masks, or more pictures than fit into memory.
    """
    directory = Path(directory)
    document = files.read_json(directory / "transforms.json") if (directory / "transforms.json").is_file() else {}
    if not isinstance(document, dict):
        raise FileFormatError("Not a dataset", where=directory)
    if document.get("kind") != "avatar-dataset":
        return load_foreign(directory, head, progress)
    if not isinstance(document.get("format"), int) or document["format"] > 1:
        raise FileFormatError("The dataset was written by a newer program", where=directory, fix="Update avatars")
    try:
        frames, camera = _frames(document, directory), _camera(document)
        subject, _ = files.load_tensors(directory / "subject.safetensors")
        clip, track = _assemble(frames, camera, subject, document, directory)
        return clip, track if track.head.get("sha256") == head.sha256 else None
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise FileFormatError(f"The dataset is incomplete: {error}", where=directory) from error


def _frames(document: dict[str, Any], directory: Path) -> list[_Frame]:
    entries = document["frames"]
    if not isinstance(entries, list) or not 0 < len(entries) <= _MOST_FRAMES:
        raise ValueError("no frames, or too many")
    names = ("file_path", "fg_mask_path", "avatar_file_path")
    return [_Frame(*(files.safe_join(directory, str(e[n])) for n in names), time=float(e["time"])) for e in entries]


def _camera(document: dict[str, Any]) -> Camera:
    pose = np.array(document["frames"][0]["transform_matrix"], float) @ GL_FROM_CV
    fx, fy, cx, cy = (float(document[name]) for name in ("fl_x", "fl_y", "cx", "cy"))
    camera = Camera(fx, fy, cx, cy, int(document["w"]), int(document["h"]), pose).validate()
    if camera.width * camera.height > _MOST_PIXELS:
        raise ValueError("unreasonable picture size")
    return camera


def _assemble(
    frames: list[_Frame], camera: Camera, subject: dict[str, np.ndarray], document: dict[str, Any], directory: Path
) -> tuple[Clip, Track]:
    size, count = (camera.height, camera.width), len(frames)
    states = [files.load_tensors(frame.state)[0] for frame in frames]
    times = np.array([frame.time for frame in frames])
    clip = Clip(
        frames=np.stack([_read_png(frame.image, size, cv2.IMREAD_COLOR) for frame in frames]),
        times=times,
        landmarks=np.stack([state["landmarks"] for state in states]),
        matte=np.stack([_read_png(frame.mask, size, cv2.IMREAD_GRAYSCALE) for frame in frames]),
        rejects=[""] * count,
        plate=_read_png(directory / "plate.png", size, cv2.IMREAD_COLOR)
        if (directory / "plate.png").is_file()
        else None,
        source={str(k): str(v) for k, v in document["source"].items()},
    ).validate()
    columns = {name: np.stack([state[name] for state in states]) for name in _STATE}
    track = Track(
        identity=subject["identity"],
        landmark_offsets=subject["landmark_offsets"],
        confidence=subject["confidence"],
        expression=columns["expression"],
        rotation=columns["rotation"],
        translation=columns["translation"],
        torso_rotation=columns["torso_rotation"],
        torso_translation=columns["torso_translation"],
        camera=camera,
        frame=np.arange(count),
        times=times,
        head={str(k): str(v) for k, v in document["head"].items()},
    ).validate()
    return clip, track


def _read_png(path: Path, size: tuple[int, int], kind: int) -> np.ndarray:
    image = cv2.imread(str(path), kind) if path.is_file() and not path.is_symlink() else None
    if image is None or image.shape[:2] != size:
        raise FileFormatError("A picture is missing, unreadable or of another size", where=path)
    return np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
