"""Packs a head's charts into the unit square: skin, torso, mouth, eyes, teeth."""

from __future__ import annotations

import numpy as np

from .head import Head
from .surface import neighbour_mean
from .unwrap import charts, flatten

# x0, y0, x1, y1 of each part's box.
_HEAD = (0.0, 0.29, 1.0, 1.0)
_TORSO = (0.0, 0.0, 0.52, 0.285)
_BOXES = {
    "mouth_interior": (0.53, 0.0, 0.70, 0.17), "tongue": (0.53, 0.18, 0.70, 0.285),
    "eyeball_l": (0.71, 0.15, 0.845, 0.285), "eyeball_r": (0.85, 0.15, 0.985, 0.285),
    "teeth_upper": (0.71, 0.115, 0.985, 0.145), "teeth_lower": (0.71, 0.08, 0.985, 0.11),
}  # fmt: skip
_RIMS = {"eye_l": (0.71, 0.0, 0.785, 0.075), "eye_r": (0.79, 0.0, 0.865, 0.075)}
"""The insides of the lids are charts of their own."""
_NEAR_EYE = 0.02
"""m."""
_MARGIN = 0.004
_IMPORTANCE = {
    "scalp": 1.0,
    "neck": 1.2,
    "ears": 1.0,
    "face": 4.0,
    "nose": 5.0,
    "brows": 6.0,
    "eyelids": 9.0,
    "lips": 9.0,
}
_SMOOTHING = 12


def lay_out(head: Head, chart: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """A new uv map [F, 3, 2] in [0, 1] from the glueing of an old one.

    Args:
        head: with its regions found.
        chart: [F, 3] uv vertex of each corner: corners that share one stay together.
        uv: [u, 2] the old map: kept, but rescaled, inside small parts; elsewhere it says where the corners go.
    """
    owner = np.zeros(len(uv), np.int64)
    owner[chart.ravel()] = head.faces.ravel()
    out = np.zeros_like(uv)
    placed = np.zeros(len(head.faces), bool)
    for name, box in _BOXES.items():
        inside = head.faces_of(name) & ~placed
        members = np.unique(chart[inside])
        out[members] = _fit(uv[members], box)
        placed |= inside
    label, density = charts(chart), _importance(head)
    for number in np.unique(label[~placed]):
        triangles = (label == number) & ~placed
        members, local = np.unique(chart[triangles], return_inverse=True)
        points, weight = head.template[owner[members]].astype(float), density[owner[members]]
        rim = _rim(head, points)
        if rim is not None:
            out[members] = _fit(uv[members], rim)
        elif head.regions["face"][owner[members]].mean() > 0.2:
            out[members] = _fit(flatten(points, local.reshape(-1, 3), weight, uv[members]), _HEAD)
        else:
            out[members] = _fit(flatten(points, local.reshape(-1, 3), weight, uv[members]), _TORSO)
    return out[chart].astype(np.float32)


def _rim(head: Head, points: np.ndarray) -> tuple[float, float, float, float] | None:
    """The box of a chart that lies around one eyeball, if this is one."""
    for name, box in _RIMS.items():
        center = head.joints[head.joint_names.index(name)]
        if np.linalg.norm(points - center, axis=1).max() < _NEAR_EYE:
            return box
    return None


def _fit(uv: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Stretch to fill a box, less a margin."""
    low, high = np.array(box[:2]) + _MARGIN, np.array(box[2:]) - _MARGIN
    span = np.maximum(uv.max(0) - uv.min(0), 1e-9)
    return low + (uv - uv.min(0)) / span * (high - low)


def _importance(head: Head) -> np.ndarray:
    """[V] wanted density, smoothed over the surface."""
    density = np.ones(len(head.template))
    for name, value in _IMPORTANCE.items():
        mask = head.regions[name]
        density[mask] = np.maximum(density[mask], value)
    mean = neighbour_mean(head.faces, len(density))
    for _ in range(_SMOOTHING):
        density = 0.5 * density + 0.5 * (mean @ density)
    return density
