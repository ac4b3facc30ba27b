"""Gives a head without them the default head's mouth, tongue and teeth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import KDTree

from ..capture import faces as mesh
from .head import Head
from .regions import inner, landmark_points

PARTS = ("mouth_interior", "tongue", "teeth_upper", "teeth_lower")
_ANCHORS = (*mesh.LIPS_OUTER, *mesh.LIPS_INNER, 2, 98, 327, 152, 148, 377)
"""Landmarks of lips, nose and chin by which the mouths are laid over each other."""
_BEHIND = 0.0015
"""m by which the mouth's border is set behind the lips."""
_FOLLOW = 0.012
"""m from the lips within which the mouth's inside follows what they do."""
_NEIGHBOURS = 12


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation [3, 3] and translation [3] that take source points [n, 3] to target ones (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((s * sign).sum() / (a**2).sum())
    return scale, rotation, target.mean(0) - scale * rotation @ source.mean(0)


def graft_mouth(head: Head, donor: Head) -> Head:
    """The head with the donor's mouth parts added behind its lips; both need landmarks.

    The parts keep the donor's skinning, take the mean of the nearby skin's identity axes, and near the lips follow
    their expressions.
    """
    taken = np.logical_or.reduce([donor.regions[name] for name in PARTS])
    kept = taken[donor.faces].all(1)
    rows = np.flatnonzero(taken)
    index = np.full(len(taken), -1)
    index[rows] = np.arange(len(rows))
    here, there = landmark_points(head)[list(_ANCHORS)], landmark_points(donor)[list(_ANCHORS)]
    scale, rotation, shift = similarity(there, here)
    points = scale * donor.template[rows] @ rotation.T + shift
    points[:, 2] -= _BEHIND
    skin = np.flatnonzero(~inner(head) & (head.skinning[:, 0] < 0.5))
    distance, near = KDTree(head.template[skin]).query(points, _NEIGHBOURS)
    weights = 1 / (distance + 0.003)
    weights /= weights.sum(1, keepdims=True)
    follow = np.clip(1 - distance[:, 0] / _FOLLOW, 0, 1)[:, None]
    follow = follow * donor.regions["mouth_interior"][rows, None]

    def carry(field: np.ndarray) -> np.ndarray:
        """[..., n, 3] of a field [..., V, 3] of the head."""
        return np.einsum("...nkd,nk->...nd", field[..., skin[near], :], weights)

    def add(field: np.ndarray, extra: np.ndarray) -> np.ndarray:
        return np.concatenate([field, extra], -2).astype(np.float32)

    count = len(head.template)
    regions = {name: np.pad(mask, (0, len(rows))) for name, mask in head.regions.items()}
    for name in PARTS:
        regions[name] = np.concatenate([np.zeros(count, bool), donor.regions[name][rows]])
    return replace(
        head,
        template=add(head.template, points),
        identity_basis=add(head.identity_basis, carry(head.identity_basis)),
        expression_basis=add(head.expression_basis, carry(head.expression_basis) * follow),
        pose_correctives=add(head.pose_correctives, carry(head.pose_correctives) * follow),
        skinning=add(head.skinning, donor.skinning[rows]),
        faces=np.concatenate([head.faces, index[donor.faces[kept]] + count]).astype(np.int32),
        uv=np.concatenate([head.uv, donor.uv[kept]]).astype(np.float32),
        regions=regions,
    )
