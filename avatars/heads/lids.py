"""Eyelids that meet: blinks are rescaled so that at 1.0 the upper lid's edge lands on the lower one's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import KDTree

from ..capture import faces as mesh
from .head import Head
from .regions import inner

BLINKS = {"l": "eyeBlinkLeft", "r": "eyeBlinkRight"}
_OVERLAP = 0.001
"""m by which the upper edge passes the lower one."""
_CLEARANCE = 1.035
"""Closed lids stay outside the eyeball's radius times this."""
_RETREAT = 0.002
"""m by which an eyeball draws back in a blink, as real ones do; what it wears cannot poke through the lid."""
_REACH = 0.012
"""m around the lid contour within which skin is kept off the eyeball."""
_LEAST_TRAVEL = 0.0015
"""m: edges that move less (near the corners) do not say by how much to rescale."""
_LID_HEIGHT = 0.014
"""m above the edge within which a made blink fades out."""
_BROW_FADE = 0.007
"""m below the brow within which a blink fades out: brows do not blink."""


def contour(side: str) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks of the upper and of the lower lid's edge [9] each, from the outer to the inner corner."""
    ring = mesh.EYE_L if side == "l" else mesh.EYE_R
    lower, upper = ring[:9], (ring[0], *ring[:8:-1], ring[8])
    return np.array(upper), np.array(lower)


def close_lids(head: Head) -> Head:
    """The head with blinks that close its own eyes; heads without blink axes or lid landmarks come back as they are.

    The lid's path stays the artist's: each vertex moves in its own direction, by a factor that depends on where along
    the eye it lies. What would then cut into the eyeball is lifted off it.
    """
    basis = None
    for side, name in BLINKS.items():
        upper, lower = contour(side)
        if name not in head.expression_names or (head.landmark_faces[[*upper, *lower]] < 0).any():
            continue
        basis = head.expression_basis.copy() if basis is None else basis
        row = head.expression_names.index(name)
        basis[row] = _lift(head, side, _rescale(head, _spare_brow(head, side, basis[row]), upper, lower))
        basis[row, head.regions[f"eyeball_{side}"]] = (0, 0, -_RETREAT)
    return head if basis is None else replace(head, expression_basis=basis)


def make_blink(head: Head, side: str) -> np.ndarray:
    """A blink [V, 3] m for a head that has none: the upper lid turns about the eyeball's centre down to the lower one.

    Skin above the lid's edge turns the less the further it is from the edge; `close_lids` does the fine fitting.
    """
    upper, lower = contour(side)
    points = _at(head, head.template)
    center = head.joints[head.joint_names.index(f"eye_{side}")].astype(float)
    offset = head.template - center
    rise = np.arctan2(offset[:, 1], offset[:, 2])

    def edge(ring: np.ndarray) -> np.ndarray:
        at = points[ring] - center
        order = np.argsort(at[:, 0])
        return np.interp(offset[:, 0], at[order, 0], np.arctan2(at[order, 1], at[order, 2]))

    top, bottom = edge(upper), edge(lower)
    distance = KDTree(_dense(points[upper])).query(head.template)[0]
    share = np.clip(1 - distance / _LID_HEIGHT, 0, 1)
    share = share * share * (3 - 2 * share)
    share *= rise > (top + bottom) / 2
    share *= ~inner(head) & (offset[:, 2] > 0)
    turn = share * np.maximum(top - bottom, 0)
    radius = np.hypot(offset[:, 1], offset[:, 2])
    out = np.zeros_like(offset)
    out[:, 1] = radius * np.sin(rise - turn) - offset[:, 1]
    out[:, 2] = radius * np.cos(rise - turn) - offset[:, 2]
    return out.astype(np.float32)


def _dense(line: np.ndarray) -> np.ndarray:
    """A polyline's corners and three points between each two."""
    t = np.linspace(0, 1, 4, endpoint=False)[:, None, None]
    return np.concatenate([((1 - t) * line[:-1] + t * line[1:]).reshape(-1, 3), line[-1:]])


def lid_gap(head: Head, side: str, blink: float) -> np.ndarray:
    """Height [7] m of the upper lid's edge over the lower one's, outer to inner; negative where they overlap."""
    upper, lower = contour(side)
    delta = head.expression_basis[head.expression_names.index(BLINKS[side])]
    points = _at(head, head.template + blink * delta)
    order = np.argsort(points[lower, 0])
    below = np.interp(points[upper, 0], points[lower, 0][order], points[lower, 1][order])
    return (points[upper, 1] - below)[1:-1]


def _at(head: Head, field: np.ndarray) -> np.ndarray:
    """Values [478, 3] of a vertex field [V, 3] at the landmarks."""
    corners = head.faces[head.landmark_faces]
    return np.einsum("lkd,lk->ld", field[corners], head.landmark_barycentric)


def _spare_brow(head: Head, side: str, delta: np.ndarray) -> np.ndarray:
    brow = list((mesh.BROW_L if side == "l" else mesh.BROW_R)[:5])
    if (head.landmark_faces[brow] < 0).any():
        return delta
    edge = _at(head, head.template)[brow]
    order = np.argsort(edge[:, 0])
    below = np.interp(head.template[:, 0], edge[order, 0], edge[order, 1]) - head.template[:, 1]
    share = np.clip(below / _BROW_FADE, 0, 1)
    return delta * (share * share * (3 - 2 * share))[:, None]


def _rescale(head: Head, delta: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    rest, move = _at(head, head.template), _at(head, delta)
    top, bottom = rest[upper], (rest + move)[lower]
    across = np.argsort(bottom[:, 0])
    target = np.interp(top[:, 0] + move[upper, 0], bottom[across, 0], bottom[across, 1]) - _OVERLAP
    travel = move[upper, 1]
    solid = travel < -_LEAST_TRAVEL
    if solid.sum() < 2:
        return delta
    factor = np.clip((target - top[:, 1])[solid] / travel[solid], 0.2, 3.0)
    order = np.argsort(top[solid, 0])
    here = np.interp(head.template[:, 0], top[solid, 0][order], factor[order])
    # Only what belongs to the upper lid (it moves down) is rescaled; the lower lid keeps its own small rise.
    falling = np.clip(-delta[:, 1] / 0.0005, 0, 1)
    out = delta * (1 + falling * (here - 1))[:, None]
    # Towards the corners the artist's lid falls past the lower one: stop it there.
    line = np.interp(head.template[:, 0] + out[:, 0], bottom[across, 0], bottom[across, 1]) - _OVERLAP
    low = (out[:, 1] < 0) & (head.template[:, 1] > line) & (head.template[:, 1] + out[:, 1] < line)
    part = (line[low] - head.template[low, 1]) / out[low, 1]
    out[low] *= part[:, None]
    return out


def _lift(head: Head, side: str, delta: np.ndarray) -> np.ndarray:
    """Move closed-lid vertices that would lie inside the eyeball's shell out of it, along the radius."""
    center = head.joints[head.joint_names.index(f"eye_{side}")]
    ball = head.template[head.regions[f"eyeball_{side}"]] - center
    shell = _CLEARANCE * float(np.linalg.norm(ball, axis=1).max())
    closed = head.template + delta - center
    distance = np.linalg.norm(closed, axis=1)
    moving = np.linalg.norm(delta, axis=1) > 0.001
    near = moving & (distance < shell) & (distance > shell - _REACH) & (closed[:, 2] > 0)
    near &= ~head.regions[f"eyeball_{side}"]
    out = delta.copy()
    out[near] += closed[near] * (shell / distance[near] - 1)[:, None]
    return out.astype(np.float32)
