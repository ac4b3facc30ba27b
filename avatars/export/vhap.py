"""FLAME parameters per frame, as VHAP writes them and GaussianAvatars reads them, against tracks of a FLAME head.

One .npz per time step: `rotation`, `neck_pose`, `jaw_pose` [1, 3], `eyes_pose` [1, 6] rad, `translation` [1, 3] m,
`expr` [1, 100], `shape` [300], `static_offset` [1, V, 3] m. What the offsets add to the shape is left to the splats,
and so is the little by which they move FLAME's joints: a head here has its joints by its shape alone.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..data import LANDMARKS, Camera, Clip, Track
from ..errors import FileFormatError
from ..heads.head import Head, HeadModel

_MOST_ARRAY = 64 << 20
_POSES = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6}
_VERTICES, _SHAPES, _EXPRESSIONS = 5023, 300, 100
_OPEN = 0.3
"""rad: the jaw of the canonical pose, so that the lips part."""


def read_parameters(path: Path) -> dict[str, np.ndarray]:
    """Arrays of one .npz; nothing pickled, nothing huge."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(member.file_size > _MOST_ARRAY for member in archive.infolist()):
                raise FileFormatError("FLAME parameters of an unreasonable size", where=path)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: np.asarray(arrays[name], np.float64) for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise FileFormatError(f"No readable FLAME parameters: {error}", where=path) from error


def stacked(frames: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
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


def npz_bytes(flame: dict[str, np.ndarray], row: int | None) -> bytes:
    """One frame of `flame_parameters` as VHAP's file; None is the canonical pose, with an open mouth.

    Shape and expression are filled up with zeros to FLAME's whole number, and there are offsets, all of them zero:
    GaussianAvatars counts on both.
    """
    still = {name: np.zeros((1, size)) for name, size in {**_POSES, "translation": 3, "expr": 0}.items()}
    still["jaw_pose"][0, 0] = _OPEN
    values = still if row is None else {name: flame[name][row : row + 1] for name in still}
    values |= {"expr": _filled(values["expr"], _EXPRESSIONS), "shape": _filled(flame["shape"], _SHAPES)}
    values["static_offset"] = np.zeros((1, _VERTICES, 3))
    data = io.BytesIO()
    np.savez_compressed(data, **{name: value.astype(np.float32) for name, value in values.items()})
    return data.getvalue()


def _filled(values: np.ndarray, count: int) -> np.ndarray:
    missing = max(count - values.shape[-1], 0)
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)])
