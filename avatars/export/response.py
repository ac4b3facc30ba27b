"""How a subject answers to coefficients, as tables: `motion.retarget` with a plain driver, sampled.

The page interpolates in them, so whatever retargeting learns to do, the page does too. Each coefficient acts by a curve
of its own, lips over the jaw apart; head turns and shifts are limited by curves; the torso is a quadratic fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ..data import Motion
from ..heads.arkit import INDEX
from ..motion.retarget import Retarget
from ..splats.avatar import Avatar
from .posed import Rest

SAMPLES = 65
MOST_TURN, MOST_SHIFT = 1.5, 0.25
"""rad and m, ends of the curves."""
_TRIALS = 600


@dataclass(frozen=True)
class Response:
    """Canonical space, float64."""

    curves: np.ndarray
    """[52, SAMPLES] the subject's coefficient for a given one from 0 to 1."""
    state: np.ndarray
    """[E] the face for no coefficients, its lips as they rest."""
    seal: float
    """How far mouthClose may exceed jawOpen."""
    press: float
    """mouthClose that shuts lips at rest (see `retarget.Retarget.press`)."""
    turn: np.ndarray
    """[SAMPLES] angle that a turn from 0 to MOST_TURN rad becomes."""
    shift: np.ndarray
    """[3, SAMPLES] what a shift from 0 to MOST_SHIFT m becomes, per axis."""
    rotation: np.ndarray
    """[4] xyzw of the resting head."""
    torso_rotation: np.ndarray
    """[4] xyzw of the resting torso."""
    torso: np.ndarray
    """[3] m, base of the neck at rest."""
    torso_fit: np.ndarray
    """[27, 6] from features (see `features`) to the torso's turn (3, rad) and shift (3, m)."""

    @staticmethod
    def of(avatar: Avatar) -> Response:
        """Of an avatar, by trying."""
        retarget = Retarget(avatar)
        press, retarget.press = retarget.press, 0.0  # the page adds it itself
        steps = np.linspace(0, 1, SAMPLES)
        grid = np.zeros((52, SAMPLES, 52))
        grid[np.arange(52), :, np.arange(52)] = steps
        jaw, close = INDEX["jawOpen"], INDEX["mouthClose"]
        grid[close, :, jaw] = 1  # an open jaw lets mouthClose show its own curve
        curves = retarget.coefficients(grid.reshape(-1, 52)).reshape(52, SAMPLES, 52)
        shut = np.zeros((1, 52))
        shut[0, close] = 1
        sealed = retarget.coefficients(shut)[0]
        return Response(
            curves[np.arange(52), :, np.arange(52)],
            retarget.expression(np.zeros((1, 52)))[0],
            float(sealed[close] - sealed[jaw]),
            press,
            *_limits(retarget, avatar),
            *_torso(retarget, avatar),
        )


def _poses(
    retarget: Retarget, avatar: Avatar, turn: np.ndarray, shift: np.ndarray
) -> tuple[Rotation, np.ndarray, Rotation, np.ndarray]:
    """Canonical head rotation, place [T, 3], torso rotation and neck base [T, 3] for turns and shifts [T, 3]."""
    rest = Rest.of(avatar)
    frame = rest.canonical_from_world
    pose = retarget(Motion(np.arange(len(turn), dtype=float), np.zeros((len(turn), 52)), turn, shift))
    base = avatar.head.joints[0].astype(float)

    def place(x: np.ndarray) -> np.ndarray:
        return x @ frame[:3, :3].T + frame[:3, 3]

    head, torso = (
        Rotation.from_matrix(frame[:3, :3] @ m.double().numpy()) for m in (pose.rotation, pose.torso_rotation)
    )
    return head, place(pose.translation.double().numpy()), torso, place(pose.torso_translation.double().numpy() + base)


def _limits(retarget: Retarget, avatar: Avatar) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(turn curve, shift curves, resting rotation)."""
    turn = np.zeros((SAMPLES, 3))
    turn[:, 1] = np.linspace(0, MOST_TURN, SAMPLES)
    head = _poses(retarget, avatar, turn, np.zeros((SAMPLES, 3)))[0]
    shifts = []
    for axis in range(3):
        shift = np.zeros((SAMPLES, 3))
        shift[:, axis] = np.linspace(0, MOST_SHIFT, SAMPLES)
        place = _poses(retarget, avatar, np.zeros((SAMPLES, 3)), shift)[1]
        shifts.append(place[:, axis] - place[0, axis])
    return (head[0].inv() * head).magnitude(), np.stack(shifts), head[0].as_quat()


def features(turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """[T, 27]: six numbers (turn in rad, shift in tenths of a metre) and their products."""
    x = np.concatenate([turn, 10 * shift], 1)
    products = [x[:, i] * x[:, j] for i in range(6) for j in range(i, 6)]
    return np.concatenate([x, np.stack(products, 1)], 1)


def _torso(retarget: Retarget, avatar: Avatar) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(resting torso rotation, neck base, fit)."""
    rng = np.random.default_rng(0)
    turn, shift = rng.normal(0, 0.15, (_TRIALS, 3)), rng.normal(0, 0.015, (_TRIALS, 3))
    turn[0] = shift[0] = 0
    head, place, torso, base = _poses(retarget, avatar, turn, shift)
    moved = (head[0].inv() * head).as_rotvec()
    inputs = features(moved, place - place[0])
    outputs = np.concatenate([(torso * torso[0].inv()).as_rotvec(), base - base[0]], 1)
    fit = np.linalg.lstsq(inputs, outputs, rcond=None)[0]
    return torso[0].as_quat(), base[0], fit
