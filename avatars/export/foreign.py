"""Datasets of other tools in nerfstudio's layout: images and masks, and FLAME parameters per frame as VHAP writes them.

A FLAME head takes those parameters as its track. For any other head, or where there are none, the pictures are tracked
anew; their landmarks are found again in any case, since training refers to them.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from .. import files
from ..capture.faces import FaceMesh
from ..data import LANDMARKS, Camera, Clip, Track
from ..errors import FileFormatError, InputError
from ..heads.head import Head, HeadModel

GL_FROM_CV = np.diag([1.0, -1.0, -1.0, 1.0])
_LISTS = ("transforms.json", "transforms_train.json", "transforms_val.json", "transforms_test.json")
_RATE = 25.0
"""Frames/s; such datasets do not say."""
_MOST_BYTES = 16 << 30
_MOST_ARRAY = 64 << 20
_POSES = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6}


@dataclass
class _Entry:
    """One picture of the list."""

    image: Path
    mask: Path | None
    parameters: Path | None
    step: int
    camera: Camera


def load_foreign(
    directory: Path, head: Head, progress: Callable[[float, str], None] | None = None
) -> tuple[Clip, Track | None]:
    """Read a dataset: one camera's pictures in order, and their track where `head` is the FLAME of its parameters.

    Raises:
        FileFormatError: missing, damaged or hostile.
        InputError: no masks, or more pictures than fit into memory.
    """
    try:
        entries, digest = _entries(directory)
        clip = _clip(entries, directory, digest, progress)
        tracked = [entry.parameters for entry in entries]
        if "expression000" not in head.expression_names or not all(tracked):
            return clip, None
        parameters = [_parameters(path) for path in tracked if path is not None]
        return clip, flame_track(head, _stacked(parameters), [entry.camera for entry in entries], clip)
    except (KeyError, TypeError, ValueError, IndexError, np.linalg.LinAlgError) as error:
        raise FileFormatError(f"The dataset is incomplete: {error}", where=directory) from error


def _entries(directory: Path) -> tuple[list[_Entry], str]:
    """The pictures of the first camera in order of time, and a digest of the lists."""
    found: dict[str, _Entry] = {}
    digest, cameras = hashlib.sha256(), []
    whole = (directory / _LISTS[0]).is_file()
    for name in _LISTS[:1] if whole else _LISTS[1:]:
        if not (directory / name).is_file():
            continue
        document = files.read_json(directory / name)
        digest.update(json.dumps(document, sort_keys=True).encode())
        for at, frame in enumerate(document["frames"]):
            cameras.append(int(frame.get("camera_index", 0)))
            if cameras[-1] == min(cameras):
                entry = _entry(directory, document | frame, len(found) if "timestep_index" not in frame else at)
                found[str(entry.image)] = entry
    if not found:
        raise FileFormatError("No dataset: there is no transforms.json with frames", where=directory)
    kept = sorted(found.values(), key=lambda entry: entry.step)
    if len({entry.step for entry in kept}) != len(kept):
        raise ValueError("two pictures of one camera have the same time step")
    return kept, digest.hexdigest()


def _entry(directory: Path, words: dict[str, Any], step: int) -> _Entry:
    def path(*names: str) -> Path | None:
        name = next((str(words[n]) for n in names if words.get(n)), None)
        return None if name is None else files.safe_join(directory, name.removeprefix("./"))

    image = path("file_path")
    if image is None:
        raise ValueError("a frame without file_path")
    pose = np.array(words["transform_matrix"], float) @ GL_FROM_CV
    width, height = int(words["w"]), int(words["h"])
    fx = float(words["fl_x"]) if "fl_x" in words else width / 2 / np.tan(float(words["camera_angle_x"]) / 2)
    numbers = (fx, float(words.get("fl_y", fx)), float(words.get("cx", width / 2)), float(words.get("cy", height / 2)))
    camera = Camera(*numbers, width, height, pose).validate()
    return _Entry(
        image,
        path("fg_mask_path", "mask_path"),
        path("flame_param_path"),
        int(words.get("timestep_index", step)),
        camera,
    )


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
    """([H, W, 3], [H, W]) uint8 of a picture and its mask."""
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
    return np.ascontiguousarray(image[..., ::-1]), mask


def _read(path: Path, kind: int) -> np.ndarray:
    for candidate in (path, path.with_name(path.name + ".png")):  # some writers leave the ending out
        image = cv2.imread(str(candidate), kind) if candidate.is_file() and not candidate.is_symlink() else None
        if image is not None:
            return image
    raise FileFormatError("A picture is missing or unreadable", where=path)


def _parameters(path: Path) -> dict[str, np.ndarray]:
    """Arrays of one .npz; nothing pickled, nothing huge."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.file_size > _MOST_ARRAY for member in archive.infolist()):
                raise FileFormatError("FLAME parameters of an unreasonable size", where=path)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name], np.float64) for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"No readable FLAME parameters: {error}", where=path) from error


def _stacked(frames: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """[T, n] of each parameter; `shape` [S] of the first frame."""
    out = {
        name: np.stack([f[name].reshape(size) for f in frames]) for name, size in {**_POSES, "translation": 3}.items()
    }
    out["expr"] = np.stack([f["expr"].reshape(-1) for f in frames])
    out["shape"] = frames[0]["shape"].reshape(-1)
    if not all(np.isfinite(values).all() for values in out.values()):
        raise ValueError("FLAME parameters hold NaN or infinity")
    return out


def flame_track(head: Head, flame: dict[str, np.ndarray], cameras: list[Camera], clip: Clip) -> Track:
    """The track that FLAME parameters describe, in coordinates of each frame's camera.

    Args:
        head: a FLAME head.
        flame: rotation, neck_pose, jaw_pose [T, 3], eyes_pose [T, 6] rad, translation [T, 3] m, expr [T, n], shape [n].
        cameras: T of them.
        clip: whose frames without a face are left out.
    """
    rows = np.flatnonzero(clip.used)
    identity = np.zeros(len(head.identity_basis), np.float32)
    count = min(len(identity), len(flame["shape"]))
    identity[:count] = flame["shape"][:count]
    joints = (head.joints + np.tensordot(identity, head.joint_identity, 1)).astype(np.float32)
    person = replace(
        head, joints=joints, identity_basis=head.identity_basis[:0], joint_identity=head.joint_identity[:0]
    )
    state = face_state(head, flame)[rows]
    turns = np.concatenate([flame[name] for name in _POSES], 1)[rows].reshape(len(rows), 5, 3)
    with torch.no_grad():
        values = (
            torch.from_numpy(np.ascontiguousarray(x, np.float32)) for x in (turns, flame["translation"][rows], state)
        )
        bones = HeadModel(person).chain(*values).double().numpy()
    views = np.stack([cameras[row].camera_from_world for row in rows])
    torso, neck = (views @ bones[:, j] for j in (0, 1))
    base = joints[0] + np.einsum("te,ec->tc", state, head.joint_expression[:, 0])
    place = torso[:, :3, 3] + np.einsum("tij,tj->ti", torso[:, :3, :3], base) - base
    camera = replace(cameras[rows[0]], world_from_camera=np.eye(4))
    width, height = clip.size
    rotation, torso_rotation = (Rotation.from_matrix(m[:, :3, :3]).as_rotvec() for m in (neck, torso))
    moving = (state, rotation, neck[:, :3, 3], torso_rotation, place)
    return Track(
        identity, camera.resized(width, height), rows, clip.times[rows], *(x.astype(np.float32) for x in moving),
        landmark_offsets=np.zeros((LANDMARKS, 3), np.float32), confidence=np.ones(len(rows), np.float32),
        head={"name": head.name, "version": head.version, "sha256": head.sha256},
    ).validate()  # fmt: skip


def face_state(head: Head, flame: dict[str, np.ndarray]) -> np.ndarray:
    """[T, E] of expression coefficients and of the turns of jaw and eyes; what a joint cannot do is left out."""
    names = head.expression_names
    own = [i for i, name in enumerate(names) if name.startswith("expression")]
    out = np.zeros((len(flame["expr"]), len(names)))
    count = min(len(own), flame["expr"].shape[1])
    out[:, own[:count]] = flame["expr"][:, :count]
    turns = {2: flame["jaw_pose"], 3: flame["eyes_pose"][:, :3], 4: flame["eyes_pose"][:, 3:]}
    for joint, turn in turns.items():
        axes = head.joint_from_expression[:, joint].astype(float)  # each entry turns about an axis of its own
        length = (axes**2).sum(1)
        driven = length > 0
        out[:, driven] = turn @ axes[driven].T / length[driven]
    return out.clip(head.expression_low, head.expression_high).astype(np.float32)


def flame_parameters(head: Head, track: Track) -> dict[str, np.ndarray]:
    """The other way: VHAP's parameters of a track, in the track's world; arrays [T, n], shape [300].

    The head stands exactly where the track has it. The torso turns as it does there but hangs on the neck, since FLAME
    knows no other. Blinks have no place in FLAME and are left out.
    """
    state = track.expression.astype(np.float64)
    joints = head.joints + np.tensordot(track.identity, head.joint_identity, 1)
    moved = joints + np.einsum("te,ejc->tjc", state, head.joint_expression)
    skull, torso = Rotation.from_rotvec(track.rotation), Rotation.from_rotvec(track.torso_rotation)
    root, neck = moved[:, 0], moved[:, 1]
    place = track.translation + skull.apply(neck) - root - torso.apply(neck - root)
    turns = np.einsum("te,ejc->tjc", state, head.joint_from_expression)
    own = [i for i, name in enumerate(head.expression_names) if name.startswith("expression")]
    return {
        "translation": place, "rotation": torso.as_rotvec(), "neck_pose": (torso.inv() * skull).as_rotvec(),
        "jaw_pose": turns[:, 2], "eyes_pose": turns[:, 3:].reshape(len(state), 6), "expr": state[:, own],
        "shape": track.identity.astype(np.float64),
    }  # fmt: skip
