"""The torso's own motion, from features of cloth and shoulders (a start for the photometric fit).

A similarity of the picture first, which cannot tell a turn; then the rigid pose that explains how features at the
depths of the torso's surface moved against each other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ..data import Camera, Clip
from ..heads.head import Head
from ..raster.mesh import rasterize_mesh
from .camera import project, projection_jacobian
from .flow import Flow, feature_flow

_FACING = np.diag([1.0, -1.0, -1.0])  # world_from_head of a head that looks into the camera
_STEPS = 8
_OUTLIER = 2.0
"""px from which a feature loses its say."""
_STIFF = 30.0
"""Squared px that it costs to turn out of the picture's plane by `_TURN`, or to come nearer by `_NEARER`, against what
the similarity says."""
_TURN, _NEARER = np.radians(5.0), 0.03
_PASSES, _CENTRED = 2, 100
"""How often the torso's place in the reference frame is corrected, and by how many frames."""


def rest_torso(rotation: np.ndarray) -> np.ndarray:
    """[3, 3] torso rotation for head rotations [T, 3, 3]: half of the mean head turn, little of its nod."""
    turn = (Rotation.from_matrix(rotation).mean() * Rotation.from_matrix(_FACING).inv()).as_rotvec()
    return Rotation.from_rotvec(turn * np.array([0.3, 0.5, 0.0])).as_matrix() @ _FACING


def track_torso(
    clip: Clip, rows: np.ndarray, rotation: np.ndarray, translation: np.ndarray, head: Head, camera: Camera,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Torso rotation [T, 3, 3] and translation [T, 3] m; it turns about the base of the neck.

    Args:
        rows: [T] indices of the clip's frames.
        rotation, translation: [T, 3, 3], [T, 3], the head's pose.
        head: made this person's.
        progress: called with the share done.
    """
    neck = head.joints[head.joint_names.index("root")].astype(float)
    flow = feature_flow(clip, rows, progress)
    turn, place = _in_plane(flow, rotation, translation, neck, camera)
    moving = np.flatnonzero(flow.found.any(1))
    if not len(moving):
        return turn, place - neck
    carried = rotation @ neck + translation
    turn, place = _centred(flow, turn, place, carried, moving, head, neck, camera)
    seats = _seats(flow, turn[flow.reference], place[flow.reference], head, neck, camera)
    turn[moving], place[moving] = _followed(flow, seats, turn, place, moving, camera)
    return turn, place - neck


def _centred(
    flow: Flow, turn: np.ndarray, place: np.ndarray, carried: np.ndarray, moving: np.ndarray, head: Head,
    neck: np.ndarray, camera: Camera,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """First poses, all turned and moved alike, from which features lead to where, over the film, the torso is at rest.

    Features tell how the torso moves against the reference frame and nothing of how it stands there. Taken to be at
    rest in one in which it leant back, it was 4 cm too near in all the others.

    Args:
        turn, place: [T, 3, 3] and [T, 3] m, first poses; the mean turn is the torso's at rest.
        carried: [T, 3] m, the neck's base as the head has it.
        moving: rows with features.
    """
    some = moving[np.unique(np.linspace(0, len(moving) - 1, _CENTRED).astype(int))]
    rest = Rotation.from_matrix(turn[some]).mean()
    for _ in range(_PASSES):
        seats = _seats(flow, turn[flow.reference], place[flow.reference], head, neck, camera)
        turned, placed = _followed(flow, seats, turn, place, some, camera)
        turn = (rest * Rotation.from_matrix(turned).mean().inv()).as_matrix() @ turn
        place = place + (carried[some] - placed).mean(0)
    return turn, place


def _followed(
    flow: Flow, seats: np.ndarray, turn: np.ndarray, place: np.ndarray, rows: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """Rotations [n, 3, 3] and places [n, 3] m of some rows by their features, near the first poses of all."""
    found = [posed(seats[flow.found[t]], flow.places[t, flow.found[t]], turn[t], place[t], camera) for t in rows]
    return np.array([one[0] for one in found]), np.array([one[1] for one in found])


def _in_plane(
    flow: Flow, rotation: np.ndarray, translation: np.ndarray, neck: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [T, 3, 3] and place of the neck's base [T, 3] m that the flow's similarities alone tell."""
    count, similar, middle = len(rotation), flow.similar, np.array([camera.cx, camera.cy])
    base, necks = rest_torso(rotation), rotation @ neck + translation
    # The reference frame's neck may sit off its median place; undo every frame's motion to find the place at rest.
    at = necks[:, :2] / necks[:, 2:] * camera.fx + middle
    undone = np.array([np.linalg.solve(m[:, :2], p - m[:, 2]) for m, p in zip(similar, at, strict=True)])
    pixel = np.median(undone, axis=0)
    scale = np.sqrt(np.abs(np.linalg.det(similar[:, :, :2])))
    depth = np.median(necks[:, 2] * scale) / scale
    angle = np.arctan2(similar[:, 1, 0], similar[:, 0, 0])
    angle -= angle.mean()
    moved = similar[:, :, :2] @ pixel + similar[:, :, 2]
    place = np.concatenate([(moved - middle) / camera.fx * depth[:, None], depth[:, None]], 1)
    return Rotation.from_rotvec(np.stack([np.zeros(count), np.zeros(count), angle], 1)).as_matrix() @ base, place


def _seats(flow: Flow, turn: np.ndarray, place: np.ndarray, head: Head, neck: np.ndarray, camera: Camera) -> np.ndarray:
    """[N, 3] m about the base of the neck: the features on the torso's surface, or at the depth of its edge."""
    points = (head.template.astype(float) - neck) @ turn.T + place
    screen = np.concatenate([project(points, camera.fx, np.array([camera.cx, camera.cy])), points[:, 2:]], 1)
    faces = head.faces[head.torso_faces()]
    depth = rasterize_mesh(screen.astype(np.float32), faces, camera.width, camera.height).depth
    outside = depth <= 0
    if outside.all():
        depth = np.full_like(depth, place[2])
    else:
        nearest = np.asarray(ndimage.distance_transform_edt(outside, return_distances=False, return_indices=True))
        depth = depth[nearest[0], nearest[1]]
    column, row = (flow.points.T + 0.5).astype(int)
    z = depth[row.clip(0, camera.height - 1), column.clip(0, camera.width - 1)].astype(float)
    world = np.concatenate([(flow.points - [camera.cx, camera.cy]) / camera.fx * z[:, None], z[:, None]], 1)
    return (world - place) @ turn


def posed(
    seats: np.ndarray, pixels: np.ndarray, turn: np.ndarray, place: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """The rigid pose near a first one under which points appear where they were seen, by robust Gauss-Newton.

    Args:
        seats: [n, 3] m; pixels: [n, 2] px.
        turn, place: [3, 3] and [3] m, the first pose.

    Returns:
        Rotation [3, 3] and place [3] m.
    """
    start, origin, middle = turn, place, np.array([camera.cx, camera.cy])
    stiff = np.array([_STIFF / _TURN**2] * 2 + [0.0, 0.0, 0.0, _STIFF / _NEARER**2]) + 1e-9
    for _ in range(_STEPS):
        turned = seats @ turn.T
        missed = project(turned + place, camera.fx, middle) - pixels
        slope = projection_jacobian(turned + place, camera.fx)  # [n, 2, 3]
        jacobian = np.concatenate([np.cross(turned[:, None], slope), slope], -1)
        weight = 1 / (1 + (missed**2).sum(-1) / _OUTLIER**2)
        hessian = np.einsum("n,nik,nij->kj", weight, jacobian, jacobian) + np.diag(stiff)
        so_far = np.concatenate([Rotation.from_matrix(turn @ start.T).as_rotvec(), place - origin])
        gradient = np.einsum("n,nik,ni->k", weight, jacobian, missed) + stiff * so_far
        step = -np.linalg.solve(hessian, gradient)
        turn, place = Rotation.from_rotvec(step[:3]).as_matrix() @ turn, place + step[3:]
    return turn, place
