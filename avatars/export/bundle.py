"""The player's bundle: a whole animatable head in one small file beside a manifest.

`manifest.json` says what it is and whose (units, axes, licence, consent, sha256, a table of arrays); `avatar.bin`
holds the arrays: the rig with sparse morphs, the splats' binding and looks, the learned bases, the network, one motion.
Everything is in canonical space (see posed.py).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from .. import __version__, files
from ..data import Splats
from ..errors import FileFormatError
from ..heads.arkit import NAMES
from ..heads.head import Head
from ..motion.retarget import PARTED
from ..motion.voice import habits_of
from ..speech.articulation import GAP_MAP
from ..speech.habits import Habits
from ..splats import bases as splat_bases
from ..splats.avatar import Avatar
from ..splats.bases import Cloud
from ..splats.binding import tangent_operators
from ..splats.model import Pose
from .compact import Compact, compact
from .packing import Packer, unpack
from .posed import Rest, canonical_camera
from .response import MOST_SHIFT, MOST_TURN, Response

KIND, FORMAT = "avatar-player", 2
MANIFEST, DATA = "manifest.json", "avatar.bin"
LODS = (10_000, 30_000)
_MORPH_STEP = 5e-6
"""m: finest step of morph displacements; smaller ones are left out."""
_MAX_FILE = 64 << 20


@dataclass(frozen=True)
class Bundle:
    """What is written: the manifest and the bytes of `avatar.bin`."""

    manifest: dict[str, Any]
    data: bytes

    @property
    def size(self) -> int:
        """Bytes of both files."""
        return len(self.data) + len(_text(self.manifest))

    def save(self, directory: Path | str) -> None:
        """Write both files into an existing directory."""
        files.write_bytes(Path(directory, DATA), self.data)
        files.write_bytes(Path(directory, MANIFEST), _text(self.manifest))


def _text(manifest: dict[str, Any]) -> bytes:
    return (json.dumps(manifest, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def bundle(avatar: Avatar, motion: tuple[np.ndarray, Pose] | None = None, habits: Habits | None = None) -> Bundle:
    """Pack an avatar.

    Args:
        motion: times [T] s and T poses that the page plays; the avatar's own track if None.
        habits: how the subject blinks, looks and moves the head; as in the track if None.
    """
    packer = Packer()
    order = stored_order(avatar)
    small = compact(avatar, order)
    _add_rig(packer, avatar.head)
    _add_splats(packer, avatar, order, small)
    _add_network(packer, avatar, small)
    _add_subject(packer, avatar, habits or habits_of(avatar))
    times, pose = motion or (avatar.track.times, Pose.of_track(avatar.track))
    _add_motion(packer, avatar, times, pose)
    data = packer.data()
    words = avatar.manifest
    camera = canonical_camera(avatar)
    manifest = {
        "kind": KIND, "format": FORMAT, "written_by": f"avatars {__version__}",
        "name": str(words.get("name", "")), "consent": str(words.get("consent", "not stated")),
        "license": str(words.get("license", "not stated")), "provenance": words.get("provenance", {}),
        "units": "m", "axes": "y up, z out of the face, x to the head's own left",
        "head": {"name": avatar.head.name, "version": avatar.head.version, "sha256": avatar.head.sha256},
        "splats": len(avatar.splats), "lods": [n for n in LODS if n < len(avatar.splats)],
        "camera": camera.to_json(), "coefficients": list(NAMES),
        "file": {"name": DATA, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "inflated": packer.size},
        "arrays": packer.table,
    }  # fmt: skip
    return Bundle(manifest, data)


def stored_order(avatar: Avatar) -> np.ndarray:
    """[N] order in which any prefix is a fair sample: drawn without repeats, by opacity times area.

    The keys are those of Efraimidis & Spirakis (2006); the seed is fixed, so that files are the same every time.
    """
    splats = avatar.splats
    size = np.sort(splats.log_scale.astype(float), 1)[:, 1:].sum(1) + 2 * np.log(splats.extent.astype(float))
    weight = np.exp(size) / (1 + np.exp(-splats.logit_opacity.astype(float)))
    draw = np.random.default_rng(0).exponential(size=len(splats)) / np.maximum(weight, 1e-12)
    return np.argsort(draw, kind="stable")


def _add_rig(packer: Packer, head: Head) -> None:
    count = len(head.template)
    packer.add("template", head.template, "f32")
    packer.add_index("faces", head.faces, count)
    packer.add("skinning", head.skinning, "u16", 1 / 65535)
    packer.add("joints", head.joints, "f32")
    packer.add("joint_expression", head.joint_expression, "f32")
    packer.add("joint_turn", head.joint_from_expression, "f32")
    packer.add("arkit", head.arkit, "f32")
    packer.add("expression_low", head.expression_low, "f32")
    packer.add("expression_high", head.expression_high, "f32")
    for name, table in (("morph", head.expression_basis), ("corrective", head.pose_correctives)):
        start, index, values = sparse(table)
        packer.add(f"{name}_start", start, "u32")
        packer.add_index(f"{name}_index", index, count)
        packer.add_fixed(f"{name}_delta", values, "i16", _MORPH_STEP)
    operator, _ = tangent_operators(head.template.astype(np.float64), head.faces.astype(np.int64))
    row = np.repeat(np.arange(count), np.diff(operator.start))
    ring = operator.index != row  # a row's own coefficient is minus the sum of the others
    packer.add("ring_start", np.r_[0, np.cumsum(np.bincount(row[ring], minlength=count))], "u32")
    packer.add_index("ring_index", operator.index[ring], count)
    packer.add("ring", np.stack([operator.t[ring], operator.s[ring]], 1), "f16")


def sparse(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start [K + 1], vertex [n], value [n, 3]) of displacements [K, V, 3] that are not negligible."""
    used = (np.abs(table) > _MORPH_STEP / 2).any(2)
    return np.r_[0, np.cumsum(used.sum(1))], np.nonzero(used)[1], table[used]


def _add_splats(packer: Packer, avatar: Avatar, order: np.ndarray, small: Compact) -> None:
    s = avatar.splats
    wxyz = s.quaternion / np.maximum(np.linalg.norm(s.quaternion, axis=1, keepdims=True), 1e-12)
    wxyz = wxyz * np.where(wxyz[:, :1] < 0, -1, 1)
    packer.add_index("triangle", s.triangle[order], len(avatar.head.faces))
    packer.add("barycentric", s.barycentric[order, :2], "u16", 1 / 65535)
    packer.add("log_extent", np.log(s.extent[order]), "i16", 1 / 2048)
    packer.add_fixed("mean", s.mean[order], "i16", 1 / 2048)
    packer.add("quaternion", wxyz[order], "i16", 1 / 2048)
    packer.add("log_scale", s.log_scale[order], "i16", 1 / 512)
    packer.add("logit_opacity", s.logit_opacity[order].clip(-16, 16), "i16", 1 / 128)
    packer.add_fixed("color", s.color[order], "i16", 1 / 2048)
    packer.add("bases", small.bases, "i16")
    packer.add("base_steps", small.steps, "f32")


def _add_network(packer: Packer, avatar: Avatar, small: Compact) -> None:
    """The network, how canonical poses become its inputs, what its weights are held to, and their turn into those of
    the components.
    """
    tensors = avatar.network.tensors()
    scale, rest = avatar.network.scale, Rest.of(avatar)
    packer.add("state_rotation", rest.rotation.T @ np.asarray(scale.rotation_mean, float), "f32")
    packer.add("state_translation", np.asarray(scale.translation_mean, float) - rest.translation, "f32")
    packer.add("state_neck", scale.neck_mean, "f32")
    packer.add("state_frame", rest.rotation, "f32")
    packer.add("state_inverse", 1 / np.asarray(scale.spread, float), "f32")
    packer.add("state_low", scale.low, "f32")
    packer.add("state_high", scale.high, "f32")
    packer.add("state_limits", np.array([splat_bases._EXPRESSION_GAIN, 3.0 * splat_bases._POSE_MARGIN]), "f32")
    for i in (0, 2, 4):
        packer.add(f"network_{i}_weight", tensors[f"network.{i}.weight"], "f32")
        packer.add(f"network_{i}_bias", tensors[f"network.{i}.bias"], "f32")
    count = small.turn.shape[1]
    cloud = avatar.network.cloud or Cloud(np.zeros(count), np.zeros((count, count)))
    packer.add("weights_center", cloud.center, "f32")
    packer.add("weights_whiten", cloud.whiten, "f32")
    packer.add("weights_turn", small.turn, "f32")


def _add_subject(packer: Packer, avatar: Avatar, habits: Habits) -> None:
    """How this face answers to coefficients that nobody in particular makes, its rest, and how it moves by itself."""
    packer.add("habits", np.concatenate([np.atleast_1d(value) for value in astuple(habits)]), "f32")
    answer = Response.of(avatar)
    packer.add("subject_curves", answer.curves, "f32")
    packer.add("subject_state", answer.state, "f32")
    packer.add("subject_seal", np.array([answer.seal]), "f32")
    packer.add("subject_press", np.array([answer.press, PARTED]), "f32")
    packer.add("lip_gap", GAP_MAP, "f32")
    packer.add("turn_curve", answer.turn, "f32")
    packer.add("shift_curves", answer.shift, "f32")
    packer.add("curve_ends", np.array([MOST_TURN, MOST_SHIFT]), "f32")
    packer.add("rest_rotation", answer.rotation, "f32")
    packer.add("rest_torso_rotation", answer.torso_rotation, "f32")
    packer.add("rest_torso", answer.torso, "f32")
    packer.add("torso_fit", answer.torso_fit, "f32")


def _turns(rest: Rest, matrices: Any) -> np.ndarray:
    """[T, 4] xyzw, canonical, of rotations [T, 3, 3] of the track's world."""
    return Rotation.from_matrix(rest.rotation.T @ matrices.double().numpy()).as_quat()


def _torso_place(avatar: Avatar, translation: np.ndarray, rest: Rest) -> np.ndarray:
    """Where the base of the neck is in canonical space [T, 3], for torso translations [T, 3] of the track."""
    frame = rest.canonical_from_world
    base = avatar.head.joints[0].astype(float)
    return (translation + base) @ frame[:3, :3].T + frame[:3, 3]


def _add_motion(packer: Packer, avatar: Avatar, times: np.ndarray, pose: Pose) -> None:
    """Expression and canonical rigid poses of T frames: quaternions xyzw, the torso by the place of the neck's base."""
    rest = Rest.of(avatar)
    frame = rest.canonical_from_world

    packer.add("motion_times", np.asarray(times, float) - float(times[0]), "f32")
    packer.add_fixed("motion_expression", pose.expression.numpy(), "i16", 1e-5)
    packer.add("motion_rotation", _turns(rest, pose.rotation), "f32")
    packer.add("motion_translation", pose.translation.double().numpy() @ frame[:3, :3].T + frame[:3, 3], "f32")
    packer.add("motion_torso_rotation", _turns(rest, pose.torso_rotation), "f32")
    packer.add("motion_torso", _torso_place(avatar, pose.torso_translation.double().numpy(), rest), "f32")


def read_bundle(directory: Path | str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(manifest, arrays) of a bundle, checked.

    Raises:
        FileFormatError: missing, damaged, hostile, newer than this program, or not a bundle.
    """
    directory = Path(directory)
    manifest = files.read_json(directory / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise FileFormatError("Not a player bundle", where=directory)
    version = manifest.get("format")
    if version != FORMAT:
        raise FileFormatError(
            f"The bundle has format {version}; this program reads {FORMAT}", where=directory, fix="Export it again"
        )
    entry = manifest.get("file")
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or "/" in entry["name"]:
        raise FileFormatError("The manifest does not name its file", where=directory)
    path = files.safe_join(directory, entry["name"])
    size = path.stat().st_size if path.is_file() and not path.is_symlink() else -1
    if not 0 <= size <= _MAX_FILE or size != entry.get("bytes"):
        raise FileFormatError("The bundle's data is missing or of another size", where=path)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != entry.get("sha256"):
        raise FileFormatError("The bundle is damaged: its data does not match the manifest", where=path)
    arrays = unpack(manifest.get("arrays"), data, entry.get("inflated"), path)
    try:
        _check_indices(arrays)
    except (KeyError, IndexError, ValueError) as error:
        raise FileFormatError(f"The bundle is incomplete: {error}", where=path) from error
    return manifest, arrays


def _check_indices(a: dict[str, np.ndarray]) -> None:
    vertices, faces = len(a["template"]), len(a["faces"])
    limits = dict.fromkeys(("faces", "morph_index", "corrective_index", "ring_index"), vertices) | {"triangle": faces}
    for name, below in limits.items():
        if a[name].size and int(a[name].max()) >= below:
            raise ValueError(f"an index in '{name}' is out of range")
    for name in ("morph", "corrective", "ring"):
        start, count = a[f"{name}_start"].astype(np.int64), len(a[f"{name}_index"])
        if start[0] != 0 or start[-1] != count or (np.diff(start) < 0).any():
            raise ValueError(f"'{name}_start' does not partition its rows")


def rebuilt(avatar: Avatar, arrays: dict[str, np.ndarray]) -> Avatar:
    """The avatar as the bundle describes it, for measuring what packing lost; the head's words come from `avatar`."""
    head = replace(avatar.head, expression_basis=_dense(arrays, "morph", avatar.head.expression_basis.shape))
    bases = Compact(arrays["bases"], arrays["base_steps"], arrays["weights_turn"])
    count = len(arrays["triangle"])
    weights = np.c_[arrays["barycentric"], 1 - arrays["barycentric"].sum(1)].astype(np.float32)
    splats = Splats(
        arrays["triangle"].astype(np.int32), weights, np.exp(arrays["log_extent"]), arrays["mean"],
        arrays["quaternion"], arrays["log_scale"], arrays["logit_opacity"], arrays["color"],
        bases.dense() @ bases.turn if len(arrays["bases"]) else np.zeros((count, 9, 0), np.float32),
    )  # fmt: skip
    return replace(avatar, head=head, splats=splats)


def _dense(arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape, np.float32)
    start = arrays[f"{name}_start"].astype(int)
    row = np.repeat(np.arange(len(start) - 1), np.diff(start))
    out[row, arrays[f"{name}_index"]] = arrays[f"{name}_delta"]
    return out
