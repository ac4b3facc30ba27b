"""One person's head: identity, the seats of their landmarks baked into the surface, and lids that meet at 1.0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import KDTree

from ..capture import faces
from ..data import Track
from ..heads.head import Head

_REACH = 0.015
"""Distance from the landmarks, m, over which their offsets fade out."""
_LIDS = {"eyeBlinkLeft": ((386, 374), (385, 380), (387, 373)), "eyeBlinkRight": ((159, 145), (158, 153), (160, 144))}
"""Landmarks above and below the pupil, by the action that brings them together."""
_BLINK_RANGE = (0.35, 1.4)


def personalise(head: Head, track: Track) -> tuple[Head, Track]:
    """The person's head and the track in its units.

    A detector's landmarks sit where this person's lids and lips are, not where the mean head's are; baking their
    offsets into the mesh puts splats on the right surface. `Head.shape` makes a blink of 1.0 close this person's lids;
    the track's blinks, found with the mean head's, are put in that unit.

    Returns:
        The personal head, and the track in its units, with what the surface did not take of the offsets.

    Args:
        head: generic head that the track refers to.
        track: its identity and landmark offsets make the person.
    """
    bare = head.shape(track.identity)
    seats = _seats(bare, track.landmark_offsets)
    person = head.shape(track.identity, seats)
    left = left_over(head, track.landmark_offsets, seats)
    expression = track.expression.copy()
    for name, pairs in _LIDS.items():
        if name in person.expression_names:
            axis = person.expression_names.index(name)
            ratio = _closing(person, axis, pairs) / max(_closing(head, axis, pairs), 1e-4)
            low, high = person.expression_low[axis], person.expression_high[axis]
            expression[:, axis] = (expression[:, axis] / np.clip(ratio, *_BLINK_RANGE)).clip(low, high)
    return person, replace(track, expression=expression, landmark_offsets=left)


def left_over(head: Head, offsets: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """[478, 3] m: landmark offsets less what the surface took of them when its vertices moved by [V, 3] m."""
    taken = _landmark_points(head, moved) * (head.landmark_faces >= 0)[:, None]
    return (offsets - taken).astype(np.float32)


def _landmark_points(head: Head, field: np.ndarray) -> np.ndarray:
    """[478, 3] of a per-vertex field [V, 3]; rows of missing landmarks are meaningless."""
    corners = head.faces[head.landmark_faces.clip(0)]
    return np.einsum("lcd,lc->ld", field[corners], head.landmark_barycentric)


def _seats(head: Head, offsets: np.ndarray) -> np.ndarray:
    """[V, 3] m: landmark offsets spread over the skin, fading with distance; eyes, teeth and mouth stay."""
    used = head.landmark_faces >= 0
    used[list(faces.OVAL) + list(faces.IRIS_L) + list(faces.IRIS_R)] = False
    at = _landmark_points(head, head.template)[used]
    spread = RBFInterpolator(at, offsets[used], neighbors=24, kernel="linear", smoothing=1e-4)
    inner = ("eyeball_l", "eyeball_r", "teeth_upper", "teeth_lower", "tongue", "mouth_interior")
    skin = ~np.logical_or.reduce([head.regions[name] for name in inner if name in head.regions])
    distance = KDTree(at).query(head.template)[0]
    near = skin & (distance < 3 * _REACH)
    out = np.zeros_like(head.template)
    fade = np.exp(-((np.maximum(distance[near] - 0.004, 0) / _REACH) ** 2))
    out[near] = spread(head.template[near]) * fade[:, None]
    return out


def _closing(head: Head, axis: int, pairs: tuple[tuple[int, int], ...]) -> float:
    """m by which one unit of an axis brings the lids together."""
    rest = _landmark_points(head, head.template)
    move = _landmark_points(head, head.expression_basis[axis])
    closes = []
    for upper, lower in pairs:
        gap = rest[upper] - rest[lower]
        closes.append(float((move[lower] - move[upper]) @ gap) / max(float(np.linalg.norm(gap)), 1e-6))
    return float(np.mean(closes))
