"""Named regions of a head, drawn around its landmarks, so that any head gets the same ones."""

from __future__ import annotations

import numpy as np
from matplotlib.path import Path as Outline

from ..capture import faces as mesh
from .head import Head

_NOSE_OUTLINE = (
    168,
    193,
    245,
    188,
    174,
    217,
    209,
    49,
    48,
    64,
    98,
    97,
    2,
    326,
    327,
    294,
    278,
    279,
    429,
    437,
    399,
    412,
    465,
    417,
)
_LID_GROWTH = 1.45
"""Eyelids reach this far from the middle of the eye, in units of the lid contour."""
_INNER = ("mouth_interior", "tongue", "teeth_upper", "teeth_lower", "eyeball_l", "eyeball_r")


def outline_regions(head: Head, points: np.ndarray) -> dict[str, np.ndarray]:
    """Lips, brows, eyelids, nose and face [V] bool each, from landmark positions [478, 3] m.

    A vertex belongs to a region if it lies inside the outline seen from the front and near it in depth.
    """
    skin = ~_inner(head)
    out = {
        "lips": _inside(head, points, mesh.LIPS_OUTER, 0.02),
        "brows": _inside(head, points, mesh.BROW_L, 0.02) | _inside(head, points, mesh.BROW_R, 0.02),
        "nose": _inside(head, points, _NOSE_OUTLINE, 0.035),
        "face": _inside(head, points, mesh.OVAL, 0.09),
    }
    out["eyelids"] = np.zeros(len(head.template), bool)
    for ring in (mesh.EYE_L, mesh.EYE_R):
        out["eyelids"] |= _inside(head, points, ring, 0.02, _LID_GROWTH)
    return {name: mask & skin for name, mask in out.items()}


def find_regions(head: Head) -> dict[str, np.ndarray]:
    """All regions of a head whose landmarks are known; those that it came with are kept."""
    points = landmark_points(head)
    out = {**head.regions, **outline_regions(head, points)}
    skin = ~_inner(head)
    x, y, z = head.template.T
    on_head = (head.skinning[:, 0] < 0.5) & skin
    ears = _ears(head, points) & on_head
    chin, nape = points[mesh.CHIN], head.joints[0]
    # Below a plane from under the chin to where the skull meets the neck.
    slope = (chin[1] - head.joints[1][1]) / max(chin[2] - head.joints[1][2], 1e-3)
    below = y < chin[1] - 0.004 + slope * (z - chin[2])
    shoulders = skin & (head.skinning[:, 0] > 0.85)
    out["ears"] = ears
    out["face"] = out["face"] & ~ears
    out["neck"] = skin & below & ~shoulders & ~out["face"]
    out["shoulders"] = shoulders
    out["scalp"] = on_head & ~below & ~out["face"] & ~ears
    del x, nape
    return out


def landmark_points(head: Head) -> np.ndarray:
    """Landmarks [478, 3] m on the template, NaN where the head has none."""
    found = head.landmark_faces >= 0
    corners = head.template[head.faces[np.where(found, head.landmark_faces, 0)]]
    points = np.einsum("lkd,lk->ld", corners, head.landmark_barycentric)
    return np.where(found[:, None], points, np.nan)


def _inner(head: Head) -> np.ndarray:
    return np.logical_or.reduce([head.regions[name] for name in _INNER if name in head.regions])


def _inside(head: Head, points: np.ndarray, ring: tuple[int, ...], depth: float, growth: float = 1.0) -> np.ndarray:
    corners = points[list(ring)]
    corners = corners[np.isfinite(corners[:, 0])]
    middle = corners.mean(0)
    outline = Outline((corners[:, :2] - middle[:2]) * growth + middle[:2])
    flat = _sorted_if_needed(outline)
    near = np.abs(head.template[:, 2] - middle[2]) < depth
    return near & flat.contains_points(head.template[:, :2], radius=1e-9)


def _sorted_if_needed(outline: Outline) -> Outline:
    corners = np.asarray(outline.vertices)
    angle = np.arctan2(*(corners - corners.mean(0)).T)
    return Outline(corners[np.argsort(angle)])


def _ears(head: Head, points: np.ndarray) -> np.ndarray:
    """What stands out sideways behind the face between the heights of the eyes and of the mouth."""
    x, y, z = head.template.T
    left, right = points[454], points[234]
    reach = np.abs(x) > 0.97 * (left[0] - right[0]) / 2
    eyes, mouth = points[mesh.EYE_L_OUTER][1], points[mesh.MOUTH_L][1]
    tall = (y < eyes + 0.03) & (y > mouth - 0.02)
    return reach & tall & (z < min(left[2], right[2]) + 0.005)
