"""From landmark parameters to photometric corrections: what refinement taught on training frames, carried to new ones.

A ridge regression on standardised features, one strength per group of outputs, chosen by cross-validation over blocks
of time; a group that cross-validation does not help is switched off. Frame by frame, so that it also runs live.
"""

from __future__ import annotations

import numpy as np
import torch

from .. import geometry
from ..data import Track
from ..splats.model import Pose

_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_BLOCKS = 6


def features(expression: np.ndarray, rotation: np.ndarray, translation: np.ndarray, scale: dict[str, np.ndarray]) -> np.ndarray:
    """[T, D] from landmark-tracked expression [T, E], rotation [T, 3, 3] and translation [T, 3] m."""
    turn = geometry.rotvec_from_matrix(torch.from_numpy(rotation @ scale["rotation_mean"].T)).numpy()
    pose = np.concatenate([turn / 0.2, (translation - scale["translation_mean"]) / 0.03], 1).clip(-4, 4)
    quadratic = np.stack([pose[:, i] * pose[:, j] for i in range(3) for j in range(i, 3)], 1)
    return np.concatenate([pose, quadratic, 2.0 * (expression - scale["expression_mean"])], 1)


def targets(before: Pose, after: Pose, torso_mean: tuple[np.ndarray, np.ndarray], head_mean: np.ndarray) -> np.ndarray:
    """[T, 12 + E]: head turn and shift, the torso's turn and shift from its mean, expression change."""

    def turn(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
        return geometry.rotvec_from_matrix(a @ b.transpose(-1, -2)).numpy()

    return np.concatenate(
        [
            turn(after.rotation, before.rotation),
            (after.translation - before.translation).numpy(),
            turn(after.torso_rotation, torch.from_numpy(torso_mean[0])),
            after.torso_translation.numpy() - torso_mean[1],
            (after.expression - before.expression).numpy(),
        ],
        1,
    )


def fit(before: Pose, after: Pose, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Learn the map on training rows.

    Args:
        before: poses from landmarks (all rows of the track).
        after: the same poses after photometric refinement.
        rows: training rows.

    Returns:
        Arrays that `apply` reads and a file can hold.
    """
    index = torch.from_numpy(rows)
    x_pose, y_pose = before[index], after[index]
    scale = {
        "rotation_mean": _mean_rotation(x_pose.rotation),
        "translation_mean": x_pose.translation.numpy().mean(0),
        "expression_mean": x_pose.expression.numpy().mean(0),
        "torso_rotation_mean": _mean_rotation(y_pose.torso_rotation),
        "torso_translation_mean": y_pose.torso_translation.numpy().mean(0),
    }
    x = features(x_pose.expression.numpy(), x_pose.rotation.numpy(), x_pose.translation.numpy(), scale)
    mean = (scale["torso_rotation_mean"], scale["torso_translation_mean"])
    y = targets(x_pose, y_pose, mean, scale["rotation_mean"])
    x = np.concatenate([np.ones((len(x), 1)), x], 1)
    size_e = y.shape[1] - 12
    groups = [slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12), slice(12, 12 + size_e)]
    weight, gain = np.zeros((x.shape[1], y.shape[1])), np.zeros(len(groups))
    for i, group in enumerate(groups):
        weight[:, group], gain[i] = _best_ridge(x, y[:, group])
    return {k: v.astype(np.float32) for k, v in scale.items()} | {
        "weight": weight.astype(np.float32),
        "explained": gain.astype(np.float32),
    }


def apply(arrays: dict[str, np.ndarray], pose: Pose, low: np.ndarray, high: np.ndarray) -> Pose:
    """Landmark poses -> corrected poses; the torso is predicted, not corrected."""
    if not arrays:
        return pose
    x = features(pose.expression.numpy(), pose.rotation.numpy(), pose.translation.numpy(), arrays)
    y = (np.concatenate([np.ones((len(x), 1)), x], 1) @ arrays["weight"]).astype(np.float32)
    turn = geometry.matrix_from_rotvec(torch.from_numpy(y[:, :3]))
    torso_turn = geometry.matrix_from_rotvec(torch.from_numpy(y[:, 6:9]))
    expression = (pose.expression.numpy() + y[:, 12:]).clip(low, high)
    return Pose(
        torch.from_numpy(expression),
        turn @ pose.rotation,
        pose.translation + torch.from_numpy(y[:, 3:6]),
        torso_turn @ torch.from_numpy(arrays["torso_rotation_mean"]),
        torch.from_numpy(arrays["torso_translation_mean"]) + torch.from_numpy(y[:, 9:12]),
    )


def of_track(track: Track, low: np.ndarray, high: np.ndarray) -> Pose:
    """A track's poses with its own corrections applied."""
    return apply(track.corrections, Pose.of_track(track), low, high)


def _mean_rotation(rotation: torch.Tensor) -> np.ndarray:
    u, _, vt = np.linalg.svd(rotation.numpy().astype(float).mean(0))
    return (u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt).astype(np.float32)


def _best_ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights and the share of variance explained on held-out blocks; zero weights where that is not positive."""
    blocks = np.arange(len(x)) * _BLOCKS // len(x)
    total = float((y**2).sum())
    best, found = 0.0, None
    for strength in _STRENGTHS:
        error = 0.0
        for block in range(_BLOCKS):
            held = blocks == block
            if not held.any() or held.all():
                continue
            error += float(((y[held] - x[held] @ _ridge(x[~held], y[~held], strength)) ** 2).sum())
        explained = 1 - error / max(total, 1e-20)
        if explained > best:
            best, found = explained, strength
    if found is None:
        return np.zeros((x.shape[1], y.shape[1])), 0.0
    return _ridge(x, y, found), best


def _ridge(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    penalty = strength * np.eye(x.shape[1])
    penalty[0, 0] = 1e-3
    return np.linalg.solve(x.T @ x + penalty, x.T @ y)
