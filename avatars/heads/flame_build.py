"""From checked FLAME arrays to a `Head`: axes and joints as they are, and what FLAME lacks added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .anny import default_head
from .arkit import GAZE, NAMES
from .arkit_map import solve_arkit_map
from .flame import EXPRESSIONS, PARENTS, VERSION, FlameArrays
from .graft import graft_mouth
from .head import JOINTS, Head
from .landmarks import embed_landmarks
from .layout import lay_out
from .lids import BLINKS, close_lids, make_blink
from .regions import find_regions, landmark_points
from .unwrap import cut_open

EXPRESSION_BOUND = 3.0
"""Standard deviations."""
_JAW = {"jawOpen": (0.45, 0.0, 0.0), "jawSide": (0.0, 0.15, 0.0), "jawTwist": (0.0, 0.0, 0.1)}
"""Rotation of the jaw's joint, rad, at 1.0; jawSide is to the head's own left."""
_BACK = 1.9
"""rad from the optical axis: what lies further back on an eyeball is never seen."""
_GAZE_SIDE, _GAZE_UP = np.radians(32.0), np.radians(25.0)


def build_flame(arrays: FlameArrays, name: str) -> Head:
    """The whole head; takes about a minute.

    Raises:
        AssetError: no face is found on it, or the default head cannot be built.
    """
    donor = default_head()
    head = embed_landmarks(_bare(arrays, name))
    head = graft_mouth(head, donor)
    head = replace(head, regions=find_regions(head))
    basis = head.expression_basis.copy()
    for side, axis in BLINKS.items():
        basis[head.expression_names.index(axis)] = make_blink(head, side)
    head = close_lids(replace(head, expression_basis=basis))
    chart = cut_open(head.template.astype(float), head.faces, head.uv)
    head = replace(head, uv=_hide_backs(head, lay_out(head, chart, _first_map(head, chart))))
    return replace(head, arkit=solve_arkit_map(head, donor)).validate()


def _names() -> tuple[str, ...]:
    gaze = tuple(NAMES[i] for i in GAZE)
    return (*(f"expression{i:03d}" for i in range(EXPRESSIONS)), *BLINKS.values(), *_JAW, *gaze)


def _bare(arrays: FlameArrays, name: str) -> Head:
    """FLAME itself, with empty blinks and with joints driven by entries of the expression."""
    names, f32 = _names(), np.float32
    size, vertices = len(names), len(arrays.template)
    basis = np.zeros((size, vertices, 3))
    basis[:EXPRESSIONS] = arrays.expressions
    low, high = np.zeros(size), np.ones(size)
    low[:EXPRESSIONS], high[:EXPRESSIONS] = -EXPRESSION_BOUND, EXPRESSION_BOUND
    turning = np.zeros((size, len(JOINTS), 3))
    for axis, angles in _JAW.items():
        turning[names.index(axis), 2] = angles
        low[names.index(axis)] = 0.0 if axis == "jawOpen" else -1.0
    for side, sign, joint in (("Left", 1, 3), ("Right", -1, 4)):
        turning[names.index(f"eyeLookUp{side}"), joint] = [-_GAZE_UP, 0, 0]
        turning[names.index(f"eyeLookDown{side}"), joint] = [_GAZE_UP, 0, 0]
        turning[names.index(f"eyeLookOut{side}"), joint] = [0, sign * _GAZE_SIDE, 0]
        turning[names.index(f"eyeLookIn{side}"), joint] = [0, -sign * _GAZE_SIDE, 0]
    return Head(
        name=name,
        version=f"FLAME, {VERSION}",
        sha256=arrays.sha256,
        template=arrays.template.astype(f32),
        identity_basis=arrays.shapes.astype(f32),
        expression_basis=basis.astype(f32),
        expression_names=names,
        expression_low=low.astype(f32),
        expression_high=high.astype(f32),
        joint_names=JOINTS,
        joints=(arrays.regressor @ arrays.template).astype(f32),
        joint_identity=np.einsum("jv,svd->sjd", arrays.regressor, arrays.shapes).astype(f32),
        joint_expression=np.einsum("jv,evd->ejd", arrays.regressor, basis).astype(f32),
        parents=np.array(PARENTS, np.int32),
        skinning=arrays.weights.astype(f32),
        joint_from_expression=turning.astype(f32),
        pose_correctives=arrays.correctives.astype(f32),
        faces=arrays.faces.astype(np.int32),
        uv=np.zeros((len(arrays.faces), 3, 2), f32),
        regions={"eyeball_l": arrays.weights[:, 3] > 0.5, "eyeball_r": arrays.weights[:, 4] > 0.5},
        landmark_faces=np.full(478, -1, np.int32),
        landmark_barycentric=np.zeros((478, 3), f32),
        arkit=np.zeros((len(NAMES), size), f32),
    ).validate()


def _first_map(head: Head, chart: np.ndarray) -> np.ndarray:
    """[u, 2] a rough map to start from: around the head's axis for skin, flat for eyeballs, the donor's elsewhere."""
    count = int(chart.max()) + 1
    total = np.zeros((count, 3))
    uses = np.bincount(chart.ravel(), minlength=count)[:, None]
    middle = head.template[head.faces].mean(1)
    for k in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(chart[:, k], middle[:, axis], count)
    around = total / uses  # the mean of the triangles at it tells the two sides of the seam apart
    left, right = landmark_points(head)[[454, 234]]
    offset = around - (left + right) / 2 + (0, 0, 0.02)
    height = np.arcsin(offset[:, 1] / np.maximum(np.linalg.norm(offset, axis=1), 1e-9))
    uv = np.stack([np.arctan2(offset[:, 0], offset[:, 2]) * np.cos(height), height], 1)
    owner = np.zeros(count, np.int64)
    owner[chart.ravel()] = head.faces.ravel()
    for side in "lr":
        ball = head.regions[f"eyeball_{side}"][owner]
        offset = head.template[owner[ball]] - head.joints[JOINTS.index(f"eye_{side}")]
        polar = np.minimum(np.arccos(offset[:, 2] / np.linalg.norm(offset, axis=1)), _BACK)
        flat = offset[:, :2] / np.maximum(np.linalg.norm(offset[:, :2], axis=1, keepdims=True), 1e-9)
        uv[ball] = flat * polar[:, None]
    inside = np.zeros(count, bool)
    corners = np.zeros((count, 2))
    corners[chart.ravel()] = head.uv.reshape(-1, 2)
    inside[chart[np.abs(head.uv).sum((1, 2)) > 0].ravel()] = True
    uv[inside] = corners[inside]
    return uv


def _hide_backs(head: Head, uv: np.ndarray) -> np.ndarray:
    """The map with the backs of the eyeballs, which cannot be flattened together with the fronts, shrunk to a point."""
    uv = uv.copy()
    for side in "lr":
        offset = head.template - head.joints[JOINTS.index(f"eye_{side}")]
        behind = np.arctan2(np.hypot(offset[:, 0], offset[:, 1]), offset[:, 2]) >= _BACK
        ball = head.faces_of(f"eyeball_{side}")
        uv[ball & behind[head.faces].any(1)] = uv[ball].reshape(-1, 2).min(0)
    return uv
