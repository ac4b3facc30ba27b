"""The parametric head that everything downstream speaks of: arrays, their checks, and their file."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..data import LANDMARKS, require_array
from ..errors import FileFormatError
from ..files import load_tensors, save_tensors
from ..geometry import matrix_from_rotvec, rigid

JOINTS = ("root", "neck", "jaw", "eye_l", "eye_r")
PARENTS = (-1, 0, 1, 1, 1)
FORMAT = 1
"""Version of the file layout."""

_SHAPES: dict[str, tuple[str, str]] = {
    "template": ("V 3", "f"), "identity_basis": ("S V 3", "f"), "expression_basis": ("E V 3", "f"),
    "expression_low": ("E", "f"), "expression_high": ("E", "f"),
    "joints": ("J 3", "f"), "joint_identity": ("S J 3", "f"), "joint_expression": ("E J 3", "f"), "parents": ("J", "i"),
    "skinning": ("V J", "f"), "joint_from_expression": ("E J 3", "f"), "pose_correctives": ("P V 3", "f"),
    "faces": ("F 3", "i"), "uv": ("F 3 2", "f"),
    "landmark_faces": ("L", "i"), "landmark_barycentric": ("L 3", "f"), "arkit": ("A E", "f"),
}  # fmt: skip


@dataclass(frozen=True)
class Head:
    """A head, neck and shoulders that identity and expression deform linearly and joints turn.

    Coordinates: y up, z out of the face, x to the head's own left, m; the origin lies inside the skull, about
    between the ears. One vector, the expression [E], holds the whole state of the face, jaw and gaze included.
    """

    name: str
    version: str
    sha256: str
    """Of the file that the head was made from, or of its own arrays."""
    template: np.ndarray
    """[V, 3] float32 m: the mean head."""
    identity_basis: np.ndarray
    """[S, V, 3] float32 m per standard deviation; S = 0 for a personalised head."""
    expression_basis: np.ndarray
    """[E, V, 3] float32 m per unit of each coefficient."""
    expression_names: tuple[str, ...]
    expression_low: np.ndarray
    """[E] float32."""
    expression_high: np.ndarray
    """[E] float32."""
    joint_names: tuple[str, ...]
    """root (base of the neck), neck (carries the head), jaw, eye_l, eye_r."""
    joints: np.ndarray
    """[J, 3] float32 m: rest positions for the template."""
    joint_identity: np.ndarray
    """[S, J, 3] float32 m per standard deviation."""
    joint_expression: np.ndarray
    """[E, J, 3] float32 m per unit: how expression moves the rest joints (zero for the default head)."""
    parents: np.ndarray
    """[J] int32, -1 for the root."""
    skinning: np.ndarray
    """[V, J] float32, rows sum to 1."""
    joint_from_expression: np.ndarray
    """[E, J, 3] float32: axis-angle, rad per unit of each coefficient."""
    pose_correctives: np.ndarray
    """[P, V, 3] float32 m per entry of (rotation - identity) of the joints after the root; P = 0 or 9 (J - 1)."""
    faces: np.ndarray
    """[F, 3] int32, counter-clockwise from outside."""
    uv: np.ndarray
    """[F, 3, 2] float32 in [0, 1], per corner; charts do not overlap."""
    regions: dict[str, np.ndarray]
    """Name -> [V] bool."""
    landmark_faces: np.ndarray
    """[478] int32 triangle under each landmark, -1 where there is none."""
    landmark_barycentric: np.ndarray
    """[478, 3] float32."""
    arkit: np.ndarray
    """[52, E] float32: expression = coefficients @ arkit."""

    def validate(self) -> Head:
        """Return self, or raise FileFormatError naming the array that is wrong."""
        sizes: dict[str, int | None] = {"3": 3, "2": 2, "L": LANDMARKS, "A": 52, "J": len(self.joint_names)}
        for name, (pattern, kind) in _SHAPES.items():
            value = getattr(self, name)
            letters = pattern.split()
            require_array(name, value, tuple(sizes.get(letter) for letter in letters), kind)
            sizes.update(zip(letters, value.shape, strict=True))
        vertices, count = len(self.template), len(self.faces)
        _check(len(self.expression_names) == sizes["E"], "expression_names", f"found {len(self.expression_names)}")
        _check(self.joint_names == JOINTS, "joint_names", f"found {self.joint_names}")
        _check(tuple(self.parents) == PARENTS, "parents", f"found {tuple(self.parents)}")
        _check(sizes["P"] in (0, 9 * (len(JOINTS) - 1)), "pose_correctives", f"found {sizes['P']} rows")
        _check(count > 0 and self.faces.min() >= 0 and self.faces.max() < vertices, "faces", "index out of range")
        _check(
            self.landmark_faces.min() >= -1 and self.landmark_faces.max() < count,
            "landmark_faces",
            "index out of range",
        )
        _check(bool(np.abs(self.skinning.sum(1) - 1).max() <= 1e-5), "skinning", "weights do not sum to 1")
        _check(bool((self.expression_low <= self.expression_high).all()), "expression_low", "exceeds expression_high")
        for name, mask in self.regions.items():
            require_array(f"regions.{name}", mask, (vertices,), "b")
        return self

    def shape(self, identity: np.ndarray, extra: np.ndarray | None = None) -> Head:
        """This head made one person's; blinks are fitted to close that person's eyes (see heads/lids.py).

        Args:
            identity: [S] in standard deviations.
            extra: [V, 3] m, displacement of each vertex on top of it.

        Returns:
            A head whose template and joints are this person's and whose identity basis is empty.
        """
        from .lids import close_lids

        weights = np.asarray(identity, np.float32)
        moved = self.template + np.tensordot(weights, self.identity_basis, 1)
        if extra is not None:
            moved = moved + np.asarray(extra, np.float32)
        person = replace(
            self,
            template=moved.astype(np.float32),
            joints=(self.joints + np.tensordot(weights, self.joint_identity, 1)).astype(np.float32),
            identity_basis=self.identity_basis[:0],
            joint_identity=self.joint_identity[:0],
        )
        return close_lids(person)

    def faces_of(self, *names: str) -> np.ndarray:
        """[F] bool: triangles all of whose corners lie in one of these regions."""
        mask = np.logical_or.reduce([self.regions[name] for name in names])
        return mask[self.faces].all(1)

    def torso_faces(self, faces: np.ndarray | None = None) -> np.ndarray:
        """[F] bool: triangles [F, 3], or all there are, that follow the torso more than the head."""
        return self.skinning[self.faces if faces is None else faces, 0].mean(1) > 0.5

    def bust_faces(self, faces: np.ndarray | None = None) -> np.ndarray:
        """[F] bool: triangles [F, 3], or all there are, of the torso below the neck, where clothes are."""
        faces, neck = self.faces if faces is None else faces, self.regions.get("neck")
        return self.torso_faces(faces) if neck is None else self.torso_faces(faces) & ~neck[faces].any(1)

    def tensors(self) -> tuple[dict[str, np.ndarray], dict[str, object]]:
        """(arrays by name, plain words): all that a file needs to hold."""
        arrays = {name: getattr(self, name) for name in _SHAPES}
        arrays |= {f"regions.{name}": mask for name, mask in self.regions.items()}
        words = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in arrays and f.name != "regions"}
        return arrays, words

    @staticmethod
    def from_tensors(arrays: dict[str, np.ndarray], words: dict[str, object]) -> Head:
        """Inverse of `tensors`, validated.

        Raises:
            FileFormatError: something is missing or does not fit.
        """
        try:
            regions = {name[8:]: mask for name, mask in arrays.items() if name.startswith("regions.")}
            parts: dict[str, Any] = {name: arrays[name] for name in _SHAPES}
            parts |= {name: str(words[name]) for name in ("name", "version", "sha256")}
            parts |= {name: tuple(map(str, cast(list, words[name]))) for name in ("expression_names", "joint_names")}
            return Head(**parts, regions=regions).validate()
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"Not a head: {error}") from error

    def save(self, path: Path | str) -> None:
        """Write everything to one safetensors file."""
        arrays, words = self.tensors()
        save_tensors(path, arrays, {"format": str(FORMAT), "kind": "head", "head": json.dumps(words, sort_keys=True)})

    @staticmethod
    def load(path: Path | str) -> Head:
        """Read and check a file written by `save`.

        Raises:
            FileFormatError: damaged, newer than this program, or not a head.
        """
        arrays, metadata = load_tensors(path)
        try:
            _check(metadata.get("kind") == "head", "kind", "not a head")
            if int(metadata["format"]) > FORMAT:
                raise FileFormatError("The head was written by a newer program", where=path, fix="Update avatars")
            return Head.from_tensors(arrays, json.loads(metadata["head"]))
        except (KeyError, ValueError) as error:
            raise FileFormatError(f"Not a head: {error}", where=path) from error
        except FileFormatError as error:
            raise FileFormatError(error.what, where=error.where or path, fix=error.fix) from error


def _check(ok: bool, name: str, problem: str) -> None:
    if not ok:
        raise FileFormatError(f"{name}: {problem}")


class HeadModel:
    """A personalised head as tensors: from face state to vertices, differentiable and batched.

    Args:
        head: the head; its identity basis is not used (see `Head.shape`).
        device, dtype: where and how to compute.
    """

    def __init__(self, head: Head, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        def tensor(value: np.ndarray) -> Tensor:
            return torch.as_tensor(np.ascontiguousarray(value), device=device).to(dtype)

        self.head, self.device, self.dtype = head, torch.device(device), dtype
        self.vertices, self.size = head.template.shape[0], head.expression_basis.shape[0]
        self.template = tensor(head.template)
        self.basis = tensor(head.expression_basis.reshape(self.size, -1))
        self.joints = tensor(head.joints)
        self.joint_expression = tensor(head.joint_expression.reshape(self.size, -1))
        self.turning = tensor(head.joint_from_expression.reshape(self.size, -1))
        self.skinning = tensor(head.skinning)
        self.correctives = tensor(head.pose_correctives.reshape(-1, 3 * self.vertices))
        self.faces = torch.as_tensor(head.faces.astype(np.int64), device=device)
        found = head.landmark_faces >= 0
        self.landmark_found = torch.as_tensor(found, device=device)
        corners = head.faces[np.where(found, head.landmark_faces, 0)].astype(np.int64)
        self.landmark_corners = torch.as_tensor(corners, device=device)
        self.landmark_barycentric = tensor(head.landmark_barycentric)

    def joint_rotations(self, expression: Tensor) -> Tensor:
        """Rotations [B, J, 3, 3] of the joints that the face state [B, E] turns; root and neck stay put."""
        return matrix_from_rotvec((expression @ self.turning).reshape(len(expression), -1, 3))

    def rest(self, expression: Tensor, neck: Tensor | None = None) -> Tensor:
        """Vertices [B, V, 3] m before skinning: linear deltas and pose correctives.

        Args:
            expression: [B, E].
            neck: [B, 3, 3] rotation of the head relative to the torso; used by heads with pose correctives.
        """
        moved = torch.addmm(self.template.reshape(1, -1), expression, self.basis)
        if len(self.correctives):
            turns = self.joint_rotations(expression)[:, 1:]
            if neck is not None:
                turns = torch.cat([neck[:, None], turns[:, 1:]], 1)
            moved = moved + self._corrective(turns)
        return moved.reshape(len(expression), self.vertices, 3)

    def transforms(
        self,
        expression: Tensor,
        rotation: Tensor,
        translation: Tensor,
        torso_rotation: Tensor,
        torso_translation: Tensor,
    ) -> Tensor:
        """Bone transforms [B, J, 4, 4], rest to posed.

        Args:
            expression: [B, E].
            rotation, translation: [B, 3, 3], [B, 3] m: the head's pose, x -> R x + t about the head's origin.
            torso_rotation, torso_translation: [B, 3, 3], [B, 3] m: x -> R (x - n) + n + t, n the base of the neck.
        """
        joints = self._joints(expression)
        base, pivots = joints[:, 0], joints[:, 2:]
        angles = (expression @ self.turning[:, 6:]).reshape(len(expression), -1, 3)
        turns = matrix_from_rotvec(angles)
        # Everything that the head carries in one go: first about its own pivot, then with the head.
        own = rotation[:, None] @ turns
        carried = (rotation[:, None] @ (pivots - _apply(turns, pivots))[..., None]).squeeze(-1) + translation[:, None]
        root = base + torso_translation - _apply(torso_rotation, base)
        rotations = torch.cat([torso_rotation[:, None], rotation[:, None], own], 1)
        return rigid(rotations, torch.cat([root[:, None], translation[:, None], carried], 1))

    def chain(self, rotations: Tensor, translation: Tensor, expression: Tensor | None = None) -> Tensor:
        """Bone transforms [B, J, 4, 4] of an ordinary kinematic chain (SMPL's and FLAME's convention).

        Args:
            rotations: [B, J, 3] axis-angle of each joint relative to its parent, rad.
            translation: [B, 3] m, added after posing.
            expression: [B, E], where it moves the rest joints.
        """
        turns = matrix_from_rotvec(rotations)
        joints = self.joints.expand(len(turns), -1, -1) if expression is None else self._joints(expression)
        world: list[Tensor] = []
        for j, parent in enumerate(self.head.parents.tolist()):
            offset = joints[:, j] - (joints[:, parent] if parent >= 0 else 0)
            local = rigid(turns[:, j], offset)
            world.append(local if parent < 0 else world[parent] @ local)
        posed = torch.stack(world, 1)
        shift = posed[..., :3, 3] - _apply(posed[..., :3, :3], joints) + translation[:, None]
        return rigid(posed[..., :3, :3], shift)

    def skin(self, vertices: Tensor, transforms: Tensor) -> Tensor:
        """Linear blend skinning: [B, V, 3] by [B, J, 4, 4]."""
        # Vertices come last: sums over the first of many columns are quick, over three neighbours they are not.
        blended = (transforms[:, :, :3].flatten(2).transpose(1, 2) @ self.skinning.T).unflatten(1, (3, 4))
        posed = (blended[:, :, :3] * vertices.transpose(1, 2)[:, None]).sum(2) + blended[:, :, 3]
        return posed.transpose(1, 2).contiguous()

    def pose(
        self,
        expression: Tensor,
        rotation: Tensor,
        translation: Tensor,
        torso_rotation: Tensor,
        torso_translation: Tensor,
    ) -> Tensor:
        """Posed vertices [B, V, 3] m; arguments as for `transforms`."""
        neck = torso_rotation.transpose(-1, -2) @ rotation
        bones = self.transforms(expression, rotation, translation, torso_rotation, torso_translation)
        return self.skin(self.rest(expression, neck), bones)

    def articulate(self, expression: Tensor, rotations: Tensor, translation: Tensor) -> Tensor:
        """Vertices [B, V, 3] m of the kinematic chain with free joint rotations [B, J, 3] (see `chain`)."""
        moved = torch.addmm(self.template.reshape(1, -1), expression, self.basis)
        if len(self.correctives):
            moved = moved + self._corrective(matrix_from_rotvec(rotations)[:, 1:])
        return self.skin(
            moved.reshape(len(expression), self.vertices, 3), self.chain(rotations, translation, expression)
        )

    def landmarks(self, vertices: Tensor) -> Tensor:
        """Landmarks [B, 478, 3] on vertices [B, V, 3]; those that the head lacks are NaN."""
        points = (vertices[:, self.landmark_corners] * self.landmark_barycentric[..., None]).sum(-2)
        missing = torch.full((), float("nan"), dtype=points.dtype, device=points.device)
        return torch.where(self.landmark_found[:, None], points, missing)

    def _joints(self, expression: Tensor) -> Tensor:
        return self.joints + (expression @ self.joint_expression).reshape(len(expression), -1, 3)

    def _corrective(self, turns: Tensor) -> Tensor:
        eye = torch.eye(3, dtype=turns.dtype, device=turns.device)
        return (turns - eye).flatten(1) @ self.correctives


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None]).squeeze(-1)
