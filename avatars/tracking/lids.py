"""Lids that are shut in the film are shut in the track.

A detector leaves a gap between lashes that lie on each other, and a fit that weighs landmarks against what faces
usually do leaves another: eyes that are shut in the film stay open by a millimetre or more, and a sliver of the eyeball
shows through every blink. The narrower an eye is, the more of its lids' height is taken to be that gap.
"""

from __future__ import annotations

import numpy as np

from ..capture.lids import CORNERS, LOWER, UPPER, opening
from ..heads.head import Head
from ..heads.lids import BLINKS
from ..heads.still import still_landmarks

_LASHES = 0.08
"""Height over width that a detector gives to an eye that is shut, at most: three people's last .01 to .08."""
_FROM, _TO = 0.7, 0.35
"""Apertures, as shares of the usual one, at which a correction begins, and from which it is made in full."""
_USUAL = 60
"""Percentile of the apertures that is an open eye's: people look down, and blink."""


def shut_lids(expression: np.ndarray, landmarks: np.ndarray, head: Head) -> np.ndarray:
    """Expressions [T, E] whose blinks close eyes as far as landmarks [T, 478, 2 or 3] px close them.

    Args:
        head: made this person's; one without blinks, or without landmarks on its lids, is left alone.
    """
    seen, has = opening(landmarks), _height(head, expression)
    usual = np.maximum(np.percentile(seen, _USUAL, axis=0), 1e-6)
    lashes = _LASHES * np.clip(1 - seen / usual, 0, 1) ** 2
    share = np.clip((_FROM - seen / usual) / (_FROM - _TO), 0, 1)
    share = share * share * (3 - 2 * share)
    wanted = np.maximum(seen - lashes, 0) * np.percentile(has, _USUAL, axis=0) / usual
    out = expression.copy()
    for eye, name in enumerate(BLINKS.values()):
        if name not in head.expression_names or not np.isfinite(has[:, eye]).all():
            continue
        axis = head.expression_names.index(name)
        further = expression.copy()
        further[:, axis] += 0.5
        slope = np.median(has[:, eye] - _height(head, further)[:, eye]) / 0.5
        if slope > 0:
            moved = share[:, eye] * np.maximum(has[:, eye] - wanted[:, eye], 0) / slope
            out[:, axis] = np.minimum(out[:, axis] + moved, np.maximum(head.expression_high[axis], out[:, axis]))
    return out


def _height(head: Head, expression: np.ndarray) -> np.ndarray:
    """[T, 2] how far the mesh's upper lids are over the lower ones, in eye widths; negative where they overlap."""
    points = still_landmarks(head, expression)
    width = np.linalg.norm(points[:, CORNERS[:, 0]] - points[:, CORNERS[:, 1]], axis=-1)
    return (points[:, UPPER, 1] - points[:, LOWER, 1]).mean(-1) / np.maximum(width, 1e-6)
