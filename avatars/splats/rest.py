"""A face at rest, found in footage that may hardly ever show it."""

from __future__ import annotations

import numpy as np

from ..heads.arkit import INDEX, NAMES
from ..heads.head import Head
from ..heads.still import still_landmarks

_CALM = 0.1
"""Share of the frames among which the face at rest is looked for."""
_LIPS, _LIP = 2.0, (13, 14)
"""How much closed lips count against all other expression, and the landmarks between which they are closed."""
_SPEED = 2.0
"""How much a frame's motion counts against the same distance from the head's zero."""
_ALIKE = 1.0
"""mm between landmarks (root mean square): faces at rest differ by so much, two grimaces by more."""
_IN, _OUT = ([INDEX[f"eyeLook{way}{side}"] for side in ("Left", "Right")] for way in ("In", "Out"))
_CROSSED, _USUALLY = 0.3, 1
"""How far both eyes together look inwards, in coefficients of 30 degrees, that look at something near; and percentile
of the frames in which eyes that are always crossed are so.
"""


def resting(expression: np.ndarray, head: Head) -> np.ndarray:
    """Face state [E] at rest of frames [T, E] in the order of time.

    Of the tenth of frames with the least expression and motion, lips closed first of all, it is the mean of those that
    look most alike. A mean or median over all of them would be nobody's face where every frame is another grimace.

    Args:
        head: made this person's.
    """
    points = 1000 * still_landmarks(head, expression)
    speed = np.gradient(points, axis=0) if len(points) > 1 else np.zeros_like(points)
    effort = ranked(_size(points - 1000 * still_landmarks(head, np.zeros_like(expression[:1]))) + _SPEED * _size(speed))
    gap = np.linalg.norm(points[:, _LIP[0]] - points[:, _LIP[1]], axis=1)
    if np.isfinite(gap).all():
        effort = effort + _LIPS * ranked(gap)
    calm = np.argsort(effort, kind="stable")[: max(1, int(len(effort) * _CALM))]
    apart = _size(points[calm][:, None] - points[calm][None])
    alike = np.exp(-0.5 * (apart / _ALIKE) ** 2)
    weight = alike[alike.sum(1).argmax()]
    rest = weight @ expression[calm] / weight.sum()
    if head.expression_names == NAMES:
        rest = uncrossed(rest, expression)
    return rest.astype(np.float32)


def uncrossed(rest: np.ndarray, arkit: np.ndarray) -> np.ndarray:
    """A face at rest [52] whose eyes do not cross, unless those of the frames [T, 52] that it is of always do.

    Somebody who squints at their nose throughout a film has no frame at rest that does not, and whoever is driven by
    speech would look like that for good.
    """
    usual = max(_CROSSED, float(np.percentile(_inwards(arkit).sum(1), _USUALLY)))
    look, out = _inwards(rest), rest.copy()
    if look.sum() <= usual:
        return out
    look = look - (look.sum() - usual) / 2
    out[_IN], out[_OUT] = np.maximum(look, 0), np.maximum(-look, 0)
    return out


def _inwards(arkit: np.ndarray) -> np.ndarray:
    """[..., 2] how far the left and the right eye look towards the nose, of coefficients [..., 52]."""
    return arkit[..., _IN] - arkit[..., _OUT]


def _size(move: np.ndarray) -> np.ndarray:
    """[...] root mean square over landmarks [..., 478, 3], those that the head lacks left out."""
    return np.sqrt(np.nanmean((move**2).sum(-1), axis=-1))


def ranked(values: np.ndarray) -> np.ndarray:
    """Values between their 10th and 90th percentile as 0 to 1."""
    low, high = np.percentile(values, 10), np.percentile(values, 90)
    return (values - low) / max(high - low, 1e-6)
