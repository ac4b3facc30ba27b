"""Articulators: the eleven mouth movements that speech needs, and their place in ARKit-52.

The network speaks articulators rather than ARKit coefficients because a lip closure must be one number (`gap`), not a
small difference of two large ones (`jawOpen` - `mouthClose`). Unit: 1 is a very wide open vowel.
"""

from __future__ import annotations

import numpy as np

from avatars.heads.arkit import INDEX, NAMES

ARTICULATORS = (
    "jaw", "gap", "funnel", "pucker", "stretch", "smile", "lower_down", "upper_up", "roll_lower", "press", "tongue",
)  # fmt: skip
JAW, GAP, FUNNEL, PUCKER, STRETCH, SMILE, LOWER_DOWN, UPPER_UP, ROLL_LOWER, PRESS, TONGUE = range(11)

SCALE = 0.6
"""ARKit's jawOpen of the widest speech; 1.0 is a yawn."""
LOWER_SHARE, UPPER_SHARE = 0.5, 0.3
"""How far lowered lower lip and raised upper lip part the lips, relative to the jaw."""

_DIRECT = {
    "jawOpen": (JAW, SCALE),
    "mouthFunnel": (FUNNEL, 0.7),
    "mouthPucker": (PUCKER, 0.8),
    "mouthStretchLeft": (STRETCH, 0.5),
    "mouthStretchRight": (STRETCH, 0.5),
    "mouthSmileLeft": (SMILE, 0.6),
    "mouthSmileRight": (SMILE, 0.6),
    "mouthLowerDownLeft": (LOWER_DOWN, SCALE),
    "mouthLowerDownRight": (LOWER_DOWN, SCALE),
    "mouthUpperUpLeft": (UPPER_UP, SCALE),
    "mouthUpperUpRight": (UPPER_UP, SCALE),
    "mouthRollLower": (ROLL_LOWER, 0.7),
    "mouthPressLeft": (PRESS, 0.6),
    "mouthPressRight": (PRESS, 0.6),
    "tongueOut": (TONGUE, 0.3),
}
MOUTH = tuple(INDEX[name] for name in (*_DIRECT, "mouthClose"))
"""ARKit indices that speech moves."""
_COLUMNS = np.array([INDEX[name] for name in _DIRECT])
_SOURCES = np.array([source for source, _ in _DIRECT.values()])
_GAINS = np.array([gain for _, gain in _DIRECT.values()], np.float32)
_CLOSE, _JAW_OPEN = INDEX["mouthClose"], INDEX["jawOpen"]
_LOWER = [INDEX["mouthLowerDownLeft"], INDEX["mouthLowerDownRight"]]
_UPPER = [INDEX["mouthUpperUpLeft"], INDEX["mouthUpperUpRight"]]


def possible_gap(curves: np.ndarray) -> np.ndarray:
    """[...] the widest lip gap that the jaw and lips of [..., 11] articulators allow."""
    return curves[..., JAW] + LOWER_SHARE * curves[..., LOWER_DOWN] + UPPER_SHARE * curves[..., UPPER_UP]


def to_arkit(curves: np.ndarray) -> np.ndarray:
    """[..., 52] float32 ARKit coefficients in [0, 1] of articulators [..., 11] in [0, 1.5]."""
    out = np.zeros((*curves.shape[:-1], len(NAMES)), np.float32)
    out[..., _COLUMNS] = curves[..., _SOURCES] * _GAINS
    out[..., _CLOSE] = SCALE * (possible_gap(curves) - curves[..., GAP])
    return np.minimum(np.maximum(out, 0.0, out=out), 1.0, out=out)


def from_arkit(arkit: np.ndarray) -> np.ndarray:
    """[..., 11] articulators of ARKit coefficients [..., 52]; the inverse of `to_arkit` where nothing was clipped."""
    out = np.zeros((*arkit.shape[:-1], len(ARTICULATORS)), np.float32)
    count = np.zeros(len(ARTICULATORS), np.float32)
    for column, source, gain in zip(_COLUMNS, _SOURCES, _GAINS, strict=True):
        out[..., source] += arkit[..., column] / gain
        count[source] += 1
    out /= np.maximum(count, 1)
    out[..., GAP] = lip_gap(arkit)
    return out


def lip_gap(arkit: np.ndarray) -> np.ndarray:
    """[...] lip gap of ARKit coefficients [..., 52]: 0 closed, 1 as wide as the widest vowel."""
    lower = arkit[..., _LOWER[0]] + arkit[..., _LOWER[1]]
    upper = arkit[..., _UPPER[0]] + arkit[..., _UPPER[1]]
    opening = arkit[..., _JAW_OPEN] - arkit[..., _CLOSE] + LOWER_SHARE / 2 * lower + UPPER_SHARE / 2 * upper
    return np.minimum(np.maximum(opening / SCALE, 0.0), 1.5)


def jaw(arkit: np.ndarray) -> np.ndarray:
    """[...] ARKit's jawOpen of [..., 52]."""
    return arkit[..., _JAW_OPEN]
