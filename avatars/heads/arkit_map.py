"""A linear map from ARKit's 52 coefficients to the expression of a head that does not speak them.

The default head's actions are carried over the surface to the other head, which then imitates each as well as its own
axes and joints can, by regularised least squares within bounds.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from scipy.optimize import lsq_linear

from .arkit import GAZE, NAMES
from .graft import similarity
from .head import Head, HeadModel
from .regions import inner, landmark_points
from .surface import closest_on_mesh

_EFFORT = 0.0004
"""m of surface error that one unit of every coefficient is worth."""
_LIDS_WITH_GAZE = 0.6
_CONTROLS = 96
"""Landmarks that steer the warp."""


def solve_arkit_map(head: Head, default: Head) -> np.ndarray:
    """[52, E]: expression = coefficients @ map.

    Blinks and gaze drive the entries of the same name; gaze may lower the lids with the blink. Jaw actions may use
    jaw entries; of all others each uses expression axes alone.
    """
    face = np.flatnonzero(head.regions["face"] & ~inner(head))
    wanted = _carried(head, default, face)
    axes = _effects(head)[:, face]
    lhs = axes.reshape(len(axes), -1).T
    gram = lhs.T @ lhs + _EFFORT**2 * len(face) * np.eye(len(axes))
    factor = np.linalg.cholesky(gram).T
    out = np.zeros((len(NAMES), len(axes)))
    for i in range(len(NAMES)):
        low, high = _bounds(head, i)
        target = np.linalg.solve(factor.T, lhs.T @ wanted[i].ravel())
        solution = lsq_linear(factor, target, (low, np.maximum(high, low + 1e-9)), method="bvls")
        out[i] = np.where(np.abs(solution.x) < 1e-4, 0.0, solution.x)
    return out.astype(np.float32)


def _effects(head: Head) -> np.ndarray:
    """Displacements [E, V, 3] m that one unit of each entry makes, joints and correctives included."""
    size = len(head.expression_names)
    states = torch.cat([torch.zeros(1, size), torch.eye(size)])
    still, here = torch.eye(3).expand(size + 1, 3, 3), torch.zeros(size + 1, 3)
    with torch.no_grad():
        posed = HeadModel(head).pose(states, still, here, still, here).double().numpy()
    return posed[1:] - posed[0]


def _bounds(head: Head, action: int) -> tuple[np.ndarray, np.ndarray]:
    """Which entries an ARKit action may use, and how far."""
    name = NAMES[action]
    narrowing, jaw = name.startswith(("eyeLook", "eyeSquint")), name.startswith("jaw")
    low, high = head.expression_low.astype(float).copy(), head.expression_high.astype(float).copy()
    for j, entry in enumerate(head.expression_names):
        own = entry.startswith(("eyeBlink", "eyeLook"))
        if own and entry == name:
            low[j] = high[j] = 1.0
        elif narrowing and entry.startswith("eyeBlink") and entry[8:] in name:
            low[j], high[j] = 0.0, _LIDS_WITH_GAZE
        elif own or action in GAZE or name.startswith("eyeBlink") or (entry.startswith("jaw") and not jaw):
            low[j] = high[j] = 0.0
    return low, high


def _carried(head: Head, default: Head, face: np.ndarray) -> np.ndarray:
    """The default head's 52 actions [52, n, 3] at vertices of the other head's face, scaled to its size."""
    here, there = landmark_points(head), landmark_points(default)
    both = np.flatnonzero(np.isfinite(here[:, 0]) & np.isfinite(there[:, 0]))
    scale, rotation, shift = similarity(there[both], here[both])
    moved = scale * default.template @ rotation.T + shift
    controls = both[:: max(1, len(both) // _CONTROLS)]
    aligned = scale * there[controls] @ rotation.T + shift
    warp = RBFInterpolator(aligned, here[controls] - aligned, kernel="thin_plate_spline", smoothing=1e-4)
    skin = default.regions["face"] & ~inner(default)
    near = skin[default.faces].all(1)
    moved[skin] += warp(moved[skin])
    triangle, weights, _ = closest_on_mesh(head.template[face].astype(float), moved, default.faces, near)
    actions = default.arkit @ default.expression_basis.reshape(len(default.expression_basis), -1)
    actions = actions.reshape(len(NAMES), -1, 3)[:, default.faces[triangle]]
    return scale * np.einsum("ankd,nk->and", actions, weights) @ rotation.T
