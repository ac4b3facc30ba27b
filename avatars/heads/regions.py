"""Named regions of a head, drawn around its landmarks, so that any head gets the same ones."""

from __future__ import annotations

import numpy as np
from matplotlib.path import Path as Outline
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from ..capture import faces as mesh
from .head import Head

_NOSE = (
    168, 193, 245, 188, 174, 217, 209, 49, 48, 64, 98, 97, 2, 326, 327, 294, 278, 279, 429, 437, 399, 412, 465, 417,
)  # fmt: skip
_LID_MARGIN = 0.0075
"""m around the lid's edge that counts as eyelid."""
_BROW_HALF_WIDTH = 0.0055
"""m around the line between a brow's upper and lower landmarks."""
_INNER = ("mouth_interior", "tongue", "teeth_upper", "teeth_lower", "eyeball_l", "eyeball_r")


def outline_regions(head: Head, points: np.ndarray) -> dict[str, np.ndarray]:
    """Lips, brows, eyelids and nose [V] bool each, from landmark positions [478, 3] m.

    A vertex belongs to a region if it lies inside the outline seen from the front and near it in depth.
    """
    skin = ~inner(head)
    lips = _inside(head, points, mesh.LIPS_OUTER, 0.02) & skin
    lids = np.zeros(len(head.template), bool)
    for ring in (mesh.EYE_L, mesh.EYE_R):
        edge = points[list(ring)]
        edge = np.concatenate([edge, (edge + np.roll(edge, -1, 0)) / 2])
        near = KDTree(edge).query(head.template)[0] < _LID_MARGIN
        lids |= near | _inside(head, points, ring, 0.02)
    brows = np.zeros(len(head.template), bool)
    for ring in (mesh.BROW_L, mesh.BROW_R):
        middle = (points[list(ring[:5])] + points[list(ring[:4:-1])]) / 2
        middle = np.concatenate([middle, (middle[1:] + middle[:-1]) / 2])
        brows |= KDTree(middle).query(head.template)[0] < _BROW_HALF_WIDTH
    nose = _inside(head, points, _NOSE, 0.035) & skin
    return {
        "lips": lips | _enclosed(head, lips),
        "brows": brows & skin,
        "nose": nose,
        "eyelids": lids & skin & ~nose & ~brows,
    }


def find_regions(head: Head) -> dict[str, np.ndarray]:
    """All regions of a head whose landmarks are known; those that it came with are kept.

    `face`, `scalp`, `ears`, `neck` and `shoulders` share the skin out without overlap; the others lie inside `face`.
    """
    points = landmark_points(head)
    out = {**head.regions, **outline_regions(head, points)}
    skin = ~inner(head)
    y, z = head.template[:, 1], head.template[:, 2]
    shoulders = skin & (head.skinning[:, 0] > 0.85)
    ears = out.get("ears", _ears(head, points)) & skin
    # The hairline: a plane from the top of the forehead down to the nape.
    brow, nape_z, nape_y = points[mesh.FOREHEAD], z[~shoulders & skin].min(), points[_LOBE_HEIGHT, 1]
    hairline = brow[1] + (nape_y - brow[1]) * (brow[2] - z) / (brow[2] - nape_z)
    # The jaw: from under the chin back to below the ear, then level.
    chin, pivot = points[mesh.CHIN], head.joints[2]
    slope = (pivot[1] - 0.035 - chin[1]) / (chin[2] - pivot[2])
    jaw = np.minimum(chin[1] - 0.003 + slope * (chin[2] - z), pivot[1] - 0.035)
    rest = skin & ~shoulders & ~ears
    out["ears"], out["shoulders"] = ears & ~shoulders, shoulders
    out["scalp"] = rest & (y > hairline)
    behind = z < pivot[2] - 0.02
    out["neck"] = rest & ~out["scalp"] & ((y < jaw) | behind)
    out["face"] = rest & ~out["scalp"] & ~out["neck"]
    for name in ("lips", "brows", "eyelids", "nose"):
        out[name] = out[name] & out["face"]
    return out


_LOBE_HEIGHT = 132
"""Landmark at the height of the ear's lobe."""


def landmark_points(head: Head) -> np.ndarray:
    """Landmarks [478, 3] m on the template, NaN where the head has none."""
    found = head.landmark_faces >= 0
    corners = head.template[head.faces[np.where(found, head.landmark_faces, 0)]]
    points = np.einsum("lkd,lk->ld", corners, head.landmark_barycentric)
    return np.where(found[:, None], points, np.nan)


def inner(head: Head) -> np.ndarray:
    """[V] bool: what is not skin (mouth, teeth, tongue, eyeballs)."""
    return np.logical_or.reduce([head.regions[name] for name in _INNER if name in head.regions])


def _inside(head: Head, points: np.ndarray, ring: tuple[int, ...], depth: float) -> np.ndarray:
    corners = points[list(ring)]
    corners = corners[np.isfinite(corners[:, 0])]
    near = np.abs(head.template[:, 2] - corners[:, 2].mean()) < depth
    return near & Outline(corners[:, :2]).contains_points(head.template[:, :2])


def _enclosed(head: Head, lips: np.ndarray) -> np.ndarray:
    """Skin that can be reached only across the lips or the mouth: the lips' inner side."""
    free = ~lips & ~inner(head)
    edges = np.concatenate([head.faces[:, :2], head.faces[:, 1:]])
    edges = edges[free[edges].all(1)]
    count = len(free)
    part = connected_components(coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count)), directed=False)[1]
    sizes = np.bincount(part[free], minlength=count)
    touching = np.unique(part[np.unique(head.faces[lips[head.faces].any(1)])])
    small = [label for label in touching if 0 < sizes[label] < 0.1 * free.sum()]
    return free & np.isin(part, small)


def _ears(head: Head, points: np.ndarray) -> np.ndarray:
    """What stands out sideways behind the face between the heights of the brows and of the mouth."""
    x, y, z = head.template.T
    width = (points[454, 0] - points[234, 0]) / 2
    tall = (y < points[mesh.EYE_L_OUTER, 1] + 0.03) & (y > points[mesh.MOUTH_L, 1] - 0.01)
    return (np.abs(x) > 1.02 * width) & tall & (z < points[[454, 234], 2].min()) & (head.skinning[:, 0] < 0.5)
