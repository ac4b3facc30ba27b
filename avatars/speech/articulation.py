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
PARTING = {
    "jawOpen": 1.0, "mouthClose": -1.0, "mouthFunnel": 0.43, "mouthShrugLower": -0.14, "mouthShrugUpper": 0.13,
    "mouthRollLower": -0.12, "mouthRollUpper": -0.11, "mouthUpperUpLeft": 0.07, "mouthUpperUpRight": 0.07,
    "mouthLowerDownLeft": 0.055, "mouthLowerDownRight": 0.055, "mouthSmileLeft": -0.045, "mouthSmileRight": -0.045,
    "mouthPressLeft": -0.045, "mouthPressRight": -0.045,
}  # fmt: skip
"""How far a coefficient parts the inner lips, relative to the jaw: measured on the default head, where one unit of
jawOpen is 34 mm. Tracked gaps in these terms follow detected lip landmarks with r = 0.98."""

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
_DIRECT_MAP = np.zeros((len(ARTICULATORS), len(NAMES)), np.float32)
_DIRECT_MAP[_SOURCES, _COLUMNS] = _GAINS
_CLOSE, _JAW_OPEN = INDEX["mouthClose"], INDEX["jawOpen"]
_PARTING = np.zeros(len(NAMES), np.float32)
_PARTING[[INDEX[name] for name in PARTING]] = list(PARTING.values())
REACH = np.zeros(len(ARTICULATORS), np.float32)
"""[11] lip gap that each articulator makes by itself, before mouthClose takes some of it back."""
np.add.at(REACH, _SOURCES, _GAINS * _PARTING[_COLUMNS] / SCALE)
# mouthClose takes back what the lips could part but do not. Where they could not part at all the gap makes it negative,
# and clipping gives zero as it should.
_MAP = _DIRECT_MAP.copy()
_MAP[:, _CLOSE] = SCALE * REACH
_MAP[GAP, _CLOSE] -= SCALE
GAP_MAP = _PARTING / np.float32(SCALE)
"""[52] lip gap of each coefficient, before it is clipped."""


def possible_gap(curves: np.ndarray) -> np.ndarray:
    """[...] the widest lip gap that the jaw and lips of [..., 11] articulators allow."""
    return np.maximum(curves @ REACH, 0)


def to_arkit(curves: np.ndarray) -> np.ndarray:
    """[..., 52] float32 ARKit coefficients in [0, 1] of articulators [..., 11] in [0, 1.5]."""
    out = curves @ _MAP
    return np.minimum(np.maximum(out, 0.0, out=out), 1.0, out=out).astype(np.float32, copy=False)


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
    return np.minimum(np.maximum(arkit @ GAP_MAP, 0.0), 1.5)


def jaw(arkit: np.ndarray) -> np.ndarray:
    """[...] ARKit's jawOpen of [..., 52]."""
    return arkit[..., _JAW_OPEN]
