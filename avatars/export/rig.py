"""The head as a plain glTF mesh: skin, 52 ARKit morph targets and animation, for any viewer, Blender or game engine.

glTF morphs are linear and cannot turn joints, so each target holds what its coefficient does at 1, jaw and eye joints
included; between 0 and 1 a turn is cut short by its chord (1.5 mm at the chin of a half-open jaw).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from ..heads.arkit import NAMES
from ..heads.head import Head, HeadModel
from ..splats.avatar import Avatar
from ..splats.binding import vertex_normals
from ..splats.model import Pose
from .glb import ARRAY_BUFFER, ELEMENT_BUFFER, Buffer
from .posed import PosedSplats, Rest, neutral_pose

_STILL = 1e-5
"""m: smaller morph displacements are left out."""
_NEAREST = 4


@torch.no_grad()
def morphs(head: Head) -> np.ndarray:
    """[52, V, 3] float32 m: what each ARKit coefficient at 1 does to the resting head, joints included."""
    model = HeadModel(head)
    state = torch.from_numpy(np.r_[np.zeros((1, 52)), np.eye(52)].astype(np.float32) @ head.arkit)
    count = len(state)
    turn, place = torch.eye(3).expand(count, 3, 3), torch.zeros(count, 3)
    vertices = model.pose(state, turn, place, turn, place).numpy()
    out = vertices[1:] - vertices[:1]
    out[np.linalg.norm(out, axis=2) < _STILL] = 0
    return out


def vertex_colors(head: Head, splats: PosedSplats, vertices: np.ndarray) -> np.ndarray:
    """[V, 3] linear colour of the nearest splats, by opacity and size."""
    distance, near = KDTree(splats.means).query(vertices, k=_NEAREST)
    area = np.sort(splats.scales, 1)[:, 1:].prod(1)
    weight = (splats.opacities * area)[near] / (distance**2 + 1e-6)
    color = (splats.colors.clip(0, 1)[near] * weight[..., None]).sum(1) / np.maximum(
        weight.sum(1, keepdims=True), 1e-20
    )
    return linear(color).astype(np.float32)


def linear(srgb: np.ndarray) -> np.ndarray:
    """Linear light of sRGB values in [0, 1] (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def split_corners(head: Head) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(vertex of each corner point [M], UV [M, 2], triangles [F, 3] over the M points): one UV per point."""
    corners = np.concatenate([head.faces.reshape(-1, 1), head.uv.reshape(-1, 2).view(np.int32)], 1)
    unique, index = np.unique(corners, axis=0, return_inverse=True)
    uv = np.ascontiguousarray(unique[:, 1:]).view(np.float32)
    return unique[:, 0], uv * [1, -1] + [0, 1], index.reshape(-1, 3)


def add_mesh(buffer: Buffer, avatar: Avatar, splats: PosedSplats, vertices: np.ndarray) -> dict[str, Any]:
    """The glTF mesh of the rig.

    Args:
        splats, vertices: of the neutral pose, for colours.
    """
    head = avatar.head
    source, uv, triangles = split_corners(head)
    moved = morphs(head)[:, source]
    joints, weights = _skin(head)
    rest = head.template.astype(np.float32)

    def vertex(values: np.ndarray, bounds: bool = False) -> int:
        return buffer.add(np.ascontiguousarray(values[source]), target=ARRAY_BUFFER, bounds=bounds)

    attributes = {
        "POSITION": vertex(rest, bounds=True),
        "NORMAL": vertex(vertex_normals(rest.astype(float), head.faces).astype(np.float32)),
        "TEXCOORD_0": buffer.add(uv.astype(np.float32), target=ARRAY_BUFFER),
        "COLOR_0": vertex(vertex_colors(head, splats, vertices)),
        "JOINTS_0": vertex(joints),
        "WEIGHTS_0": vertex(weights),
    }
    primitive = {
        "attributes": attributes,
        "indices": buffer.add(triangles.reshape(-1).astype(np.uint32), target=ELEMENT_BUFFER),
        "material": 0,
        "targets": [{"POSITION": buffer.add_sparse(m.astype(np.float32))} for m in moved],
    }
    return {"name": "rig", "primitives": [primitive], "weights": [0.0] * 52, "extras": {"targetNames": list(NAMES)}}


def _skin(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Joints [V, 4] uint8 and weights [V, 4]: the four largest of each vertex, summing to 1."""
    order = np.argsort(-head.skinning, axis=1, kind="stable")[:, :4]
    weights = np.take_along_axis(head.skinning, order, 1).astype(np.float64)
    weights /= weights.sum(1, keepdims=True)
    return np.where(weights > 0, order, 0).astype(np.uint8), weights.astype(np.float32)


def add_nodes(buffer: Buffer, avatar: Avatar, first: int, mesh: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Nodes (rig, then root, neck, jaw, eye_l, eye_r below it, then the mesh) and the skin, numbered from `first`.

    The head's bone ('neck') turns about the head's origin and hangs beside the torso's ('root'), as in the track.
    """
    joints = avatar.head.joints.astype(float)
    origins = np.array([joints[0], np.zeros(3), *joints[2:]])
    bind = np.tile(np.eye(4, dtype=np.float32), (5, 1, 1))
    bind[:, 3, :3] = -origins  # column-major, as glTF stores matrices
    numbers = [first + 1 + i for i in range(5)]
    names = avatar.head.joint_names
    nodes: list[dict[str, Any]] = [{"name": "rig", "children": numbers[:2]}]
    nodes += [{"name": name, "translation": at.tolist()} for name, at in zip(names, origins, strict=True)]
    nodes[2]["children"] = numbers[2:]
    for node, (turn, place) in zip(nodes[1:3], _bones(avatar, neutral_pose(avatar)), strict=True):
        node |= {"rotation": turn[0].tolist(), "translation": place[0].tolist()}
    nodes.append({"name": "mesh", "mesh": mesh, "skin": 0})
    return nodes, {"inverseBindMatrices": buffer.add(bind), "joints": numbers, "skeleton": first}


def _bones(avatar: Avatar, pose: Pose) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rotation [T, 4] xyzw and translation [T, 3] of root and neck, canonical space."""
    frame = Rest.of(avatar).canonical_from_world
    base = avatar.head.joints[0].astype(float)
    out = []
    torso, head = pose.torso_translation.double().numpy() + base, pose.translation.double().numpy()
    for turn, place in ((pose.torso_rotation, torso), (pose.rotation, head)):
        rotation = frame[:3, :3] @ turn.double().numpy()
        xyzw = Rotation.from_matrix(rotation).as_quat()
        for i in range(1, len(xyzw)):  # neighbours on the same side, so that interpolation takes the short way
            xyzw[i] *= -1 if xyzw[i] @ xyzw[i - 1] < 0 else 1
        out.append((xyzw.astype(np.float32), (place @ frame[:3, :3].T + frame[:3, 3]).astype(np.float32)))
    return out


def add_animation(
    buffer: Buffer, avatar: Avatar, pose: Pose, coefficients: np.ndarray, times: np.ndarray, first: int
) -> dict[str, Any]:
    """The glTF animation of T poses at `times` [T] s with morph weights `coefficients` [T, 52]."""
    clock = buffer.add((times - times[0]).astype(np.float32), bounds=True)
    samplers: list[dict[str, Any]] = []
    channels = []

    def channel(values: np.ndarray, node: int, path: str) -> None:
        samplers.append({"input": clock, "output": buffer.add(values), "interpolation": "LINEAR"})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": path}})

    for number, (turn, place) in enumerate(_bones(avatar, pose)):
        channel(turn, first + 1 + number, "rotation")
        channel(place, first + 1 + number, "translation")
    channel(coefficients.reshape(-1).astype(np.float32), first + 6, "weights")
    return {"name": "motion", "samplers": samplers, "channels": channels}
