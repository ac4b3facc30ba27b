"""From a head's own expression to ARKit-52: the inverse of `Head.arkit`, for heads that speak another language."""

from __future__ import annotations

import numpy as np

from ..heads.arkit import NAMES, admissible
from ..heads.head import Head

_RIDGE = 1e-3
"""Relative to the mean motion of a coefficient: settles those that a head cannot tell apart."""
_STEPS = 400


def speaks_arkit(head: Head) -> bool:
    """Whether the head's expression is the 52 coefficients themselves."""
    return head.expression_names == NAMES and np.array_equal(head.arkit, np.eye(len(NAMES)))


def to_arkit(head: Head, expression: np.ndarray) -> np.ndarray:
    """[T, 52] coefficients in [0, 1] whose faces lie nearest to those of expressions [T, E], vertex by vertex.

    Bounded least squares by accelerated projected gradient descent (Beck & Teboulle 2009), all frames at once.
    """
    if speaks_arkit(head):
        return np.clip(expression, 0, 1).astype(np.float64)
    motion = _linear_motion(head)
    metric = motion @ motion.T
    forward = head.arkit.astype(float)
    hessian = forward @ metric @ forward.T
    hessian += _RIDGE * np.trace(hessian) / len(hessian) * np.eye(len(hessian))
    target = expression.astype(float) @ metric @ forward.T
    step = 1.0 / np.linalg.eigvalsh(hessian)[-1]
    now = ahead = np.zeros((len(expression), len(NAMES)))
    momentum = 1.0
    for _ in range(_STEPS):
        after = np.clip(ahead - step * (ahead @ hessian - target), 0, 1)
        grown = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = after + (momentum - 1) / grown * (after - now)
        now, momentum = after, grown
    return admissible(now)


def _linear_motion(head: Head) -> np.ndarray:
    """[E, V * 3] m per unit of expression: linear deltas and the turns of joints to first order."""
    moved = head.expression_basis.astype(float)
    arm = head.template[None].astype(float) - head.joints[:, None]
    turned = np.cross(head.joint_from_expression[:, :, None].astype(float), arm[None])
    return (moved + np.einsum("vj,ejvk->evk", head.skinning.astype(float), turned)).reshape(len(moved), -1)
