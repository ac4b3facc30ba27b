"""Pictures of a head for the face detector: painted skin, eyes, brows and lips under one light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..raster.mesh import rasterize_mesh
from .head import Head, HeadModel
from .surface import vertex_normals

SIZE = 512
"""Side of the picture, px; drawn at twice that and averaged down."""
FOCAL = 2.4
"""In units of the side."""
_DISTANCE = 0.75
"""m from the camera to the head's origin."""

_PAINT = {
    "skin": (0.80, 0.60, 0.50), "eyeball_l": (0.93, 0.92, 0.92), "eyeball_r": (0.93, 0.92, 0.92),
    "mouth_interior": (0.30, 0.10, 0.10), "tongue": (0.65, 0.30, 0.30),
    "teeth_upper": (0.90, 0.88, 0.82), "teeth_lower": (0.85, 0.83, 0.77),
    "lips": (0.70, 0.38, 0.36), "brows": (0.25, 0.17, 0.12),
}  # fmt: skip
_INSIDE = (0.12, 0.05, 0.05)
IRIS = (0.30, 0.20, 0.12)
PUPIL = (0.03, 0.03, 0.03)
IRIS_RADIUS = 0.00585
"""m; human irises differ by a few per cent only."""


@dataclass(frozen=True)
class Shot:
    """How the head is photographed: face state, turn of the head (rad, to its left and up) and direction of light."""

    expression: dict[str, float]
    yaw: float = 0.0
    pitch: float = 0.0
    light: tuple[float, float, float] = (0.2, 0.5, 0.8)


@dataclass(frozen=True)
class Portrait:
    """A picture and what is under its pixels."""

    image: np.ndarray
    """[SIZE, SIZE, 3] uint8."""
    points: np.ndarray
    """[V, 3]: x, y px of `image`, depth m."""
    face: np.ndarray
    """[2 SIZE, 2 SIZE] int32 triangle of each half pixel, -1 for none."""


def iris_axis(head: Head, side: str) -> tuple[np.ndarray, float]:
    """Centre [3] and radius of an eyeball, m; at rest it looks along +z."""
    center = head.joints[head.joint_names.index(f"eye_{side}")].astype(float)
    front = head.template[head.regions[f"eyeball_{side}"]] - center
    return center, float(np.linalg.norm(front[front[:, 2] > 0], axis=1).mean())


def paint(head: Head) -> np.ndarray:
    """Colours [F, 3] in [0, 1]; lips and brows where those regions are known already."""
    color = np.tile(_PAINT["skin"], (len(head.faces), 1))
    if "lips" in head.regions:
        color[head.faces_of("lips", *("mouth_interior",) * ("mouth_interior" in head.regions))] = _PAINT["lips"]
    for name, value in _PAINT.items():
        if name in head.regions:
            color[head.faces_of(name)] = value
    for side in "lr":
        center, _ = iris_axis(head, side)
        middle = head.template[head.faces].mean(1) - center
        off_axis = np.linalg.norm(middle[:, :2], axis=1)
        ball = head.faces_of(f"eyeball_{side}") & (middle[:, 2] > 0)
        color[ball & (off_axis < IRIS_RADIUS)] = IRIS
        color[ball & (off_axis < 0.38 * IRIS_RADIUS)] = PUPIL
    return color


def express(head: Head, values: dict[str, float]) -> np.ndarray:
    """Vertices [V, 3] m of the template with these coefficients by name, joints turned."""
    state = torch.tensor([[values.get(name, 0.0) for name in head.expression_names]], dtype=torch.float32)
    model, still, here = HeadModel(head), torch.eye(3)[None], torch.zeros(1, 3)
    with torch.no_grad():
        return model.pose(state, still, here, still, here)[0].double().numpy()


def photograph(head: Head, color: np.ndarray, shot: Shot) -> Portrait:
    """Draw the head's template in the shot's expression, facing the camera."""
    vertices = express(head, shot.expression)
    turn = _turn(shot.yaw, shot.pitch)
    normals = vertex_normals(vertices, head.faces) @ turn.T
    seen = vertices @ turn.T * (1, -1, -1) + (0, 0, _DISTANCE)
    side = 2 * SIZE
    points = np.concatenate([seen[:, :2] / seen[:, 2:] * (FOCAL * side) + side / 2, seen[:, 2:]], 1)
    drawn = rasterize_mesh(points.astype(np.float32), head.faces, side, side)
    face = np.asarray(drawn.face)
    hit = face >= 0
    corners = head.faces[face[hit]]
    normal = (normals[corners] * np.asarray(drawn.barycentric)[hit][..., None]).sum(1)
    light = np.array(shot.light) / np.linalg.norm(shot.light)
    shade = 0.35 + 0.65 * np.clip(normal @ light / np.maximum(np.linalg.norm(normal, axis=1), 1e-9), 0, 1)
    picture = np.full((side, side, 3), 0.55)
    seen_color = color[face[hit]] * shade[:, None]
    seen_color[_turned_away(points, head.faces)[face[hit]]] = _INSIDE
    picture[hit] = seen_color
    small = picture.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
    image = np.round(small.clip(0, 1) * 255).astype(np.uint8)
    return Portrait(image, points * (0.5, 0.5, 1.0), face)


def _turned_away(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[F] bool: triangles seen from behind, that is from inside the head, through a mouth without a floor."""
    (ax, ay), (bx, by), (cx, cy) = (points[faces[:, k], :2].T for k in range(3))
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) > 0


def _turn(yaw: float, pitch: float) -> np.ndarray:
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    return np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
