"""From landmark parameters to photometric corrections: what refinement taught on training frames, carried to new ones.

A ridge regression on standardised features, for each group of outputs the mean over strengths, none at all among them,
weighted by what each explains in cross-validation over blocks of time: two that are equally good must not make two
different faces. How a body turns and where it goes make one group, judged by where that takes its surface: either alone
would undo what the other makes good. Features are held to the training's range: squares of a turn run away beyond it.
Frame by frame, so that it also runs live.
"""

from __future__ import annotations

import numpy as np
import torch

from .. import geometry
from ..splats.model import Pose

_STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_ALIKE = 0.03
"""Explained shares that differ by so much are told apart; what is worse by more hardly counts."""
_BLOCK = 8
"""Frames that are held out together: neighbours in time would give each other away, a whole scene is another person."""

_HEAD = np.array([[0.07, 0, 0], [-0.07, 0, 0], [0, 0.1, 0], [0, -0.1, 0.05], [0, 0, 0.1], [0, 0, -0.05]])
_BUST = np.array(
    [[0.1, -0.05, 0], [-0.1, -0.05, 0], [0, 0, 0.05], [0, -0.1, 0.07], [0.15, -0.12, 0], [-0.15, -0.12, 0]]
)
"""m, places by which a movement is judged: of a head, about its origin, and of a bust, about the base of the neck."""
_DEPTH = 0.2
"""What a metre towards the camera counts, beside one across the picture."""


def _pose_features(turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return np.concatenate([turn / 0.2, shift / 0.03], 1).clip(-4, 4)


def features(pose: Pose, scale: dict[str, np.ndarray], *, torso: bool) -> np.ndarray:
    """[T, D] with a leading one: head pose and its squares, expression, and the tracked torso where there is one.

    Args:
        scale: means, and where training is over the range of each feature [D] in training, torso included.
    """
    head = _pose_features(
        _turn(pose.rotation, scale["rotation_mean"]), pose.translation.numpy() - scale["translation_mean"]
    )
    squares = np.stack([head[:, i] * head[:, j] for i in range(3) for j in range(i, 3)], 1)
    out = [np.ones((len(head), 1)), head, squares, 2.0 * (pose.expression.numpy() - scale["expression_mean"])]
    if torso:
        shift = pose.torso_translation.numpy() - scale["torso_translation_mean"]
        out.append(_pose_features(_turn(pose.torso_rotation, scale["torso_rotation_mean"]), shift))
    x = np.concatenate(out, 1)
    if "feature_low" in scale:  # older avatars lack it
        x = x.clip(scale["feature_low"][: x.shape[1]], scale["feature_high"][: x.shape[1]])
    return x


_PARTS = (("eyeLook",), ("eyeBlink", "eyeSquint", "eyeWide"), ("brow",), ("",))
"""What expression axes begin with, in groups: eyes that look elsewhere must not pay for what helps the lips."""


def _groups(names: tuple[str, ...]) -> list[np.ndarray]:
    """Columns of an expression that share a strength."""
    groups, left = [], dict(enumerate(names))
    for starts in _PARTS:
        found = [i for i, name in left.items() if name.startswith(starts)]
        for i in found:
            del left[i]
        if found:
            groups.append(np.array(found))
    return groups


def _travel(places: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """[6, 3 n]: how places [n, 3] of a body at a rotation [3, 3] move for a small turn and shift [6] of it."""
    x, y, z = (places @ rotation.T).T
    o = np.zeros_like(x)
    turned = np.stack([np.stack([o, -z, y], 1), np.stack([z, o, -x], 1), np.stack([-y, x, o], 1)])  # axis x place
    shifted = np.broadcast_to(np.eye(3)[:, None], (3, len(places), 3))
    return (np.concatenate([turned, shifted]) * [1, 1, _DEPTH]).reshape(6, -1)


def fit(before: Pose, after: Pose, rows: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Learn the map on training rows.

    Args:
        names: [E] of the expression axes.
        before: poses from landmarks and torso features (all rows of the track).
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
    known = features(x_pose, scale, torso=True)
    scale |= {"feature_low": known.min(0), "feature_high": known.max(0)}
    y = np.concatenate(
        [
            _turn(y_pose.rotation, x_pose.rotation.numpy()),
            (y_pose.translation - x_pose.translation).numpy(),
            _turn(y_pose.torso_rotation, x_pose.torso_rotation.numpy()),
            (y_pose.torso_translation - x_pose.torso_translation).numpy(),
            (y_pose.expression - x_pose.expression).numpy(),
        ],
        1,
    )
    head, bust = (
        _travel(places, scale[mean]) for places, mean in ((_HEAD, "rotation_mean"), (_BUST, "torso_rotation_mean"))
    )
    groups = [(np.arange(6), head), (np.arange(6, 12), bust)]
    groups += [(12 + columns, np.eye(len(columns))) for columns in _groups(names)]
    weight, explained = _grouped_ridge(known, y, groups)
    torso = np.concatenate(
        [
            _turn(y_pose.torso_rotation, scale["torso_rotation_mean"]),
            y_pose.torso_translation.numpy() - scale["torso_translation_mean"],
        ],
        1,
    )
    torso_weight, torso_explained = _grouped_ridge(features(x_pose, scale, torso=False), torso, [(np.arange(6), bust)])
    return {k: v.astype(np.float32) for k, v in scale.items()} | {
        "weight": weight.astype(np.float32),
        "torso_weight": torso_weight.astype(np.float32),
        "explained": np.r_[explained, torso_explained].astype(np.float32),
    }


def apply(arrays: dict[str, np.ndarray], pose: Pose, low: np.ndarray, high: np.ndarray) -> Pose:
    """Landmark poses -> corrected poses."""
    if not arrays:
        return pose
    y = (features(pose, arrays, torso=True) @ arrays["weight"]).astype(np.float32)
    return Pose(
        torch.from_numpy((pose.expression.numpy() + y[:, 12:]).clip(low, high).astype(np.float32)),
        geometry.matrix_from_rotvec(torch.from_numpy(y[:, :3])) @ pose.rotation,
        pose.translation + torch.from_numpy(y[:, 3:6]),
        geometry.matrix_from_rotvec(torch.from_numpy(y[:, 6:9])) @ pose.torso_rotation,
        pose.torso_translation + torch.from_numpy(y[:, 9:12]),
    )


def predict_torso(arrays: dict[str, np.ndarray], pose: Pose) -> Pose:
    """The same heads with the torso that this person's head poses usually come with: for drivers that show none."""
    y = (features(pose, arrays, torso=False) @ arrays["torso_weight"]).astype(np.float32)
    return Pose(
        pose.expression,
        pose.rotation,
        pose.translation,
        geometry.matrix_from_rotvec(torch.from_numpy(y[:, :3])) @ torch.from_numpy(arrays["torso_rotation_mean"]),
        torch.from_numpy(arrays["torso_translation_mean"] + y[:, 3:6]),
    )


def _turn(rotation: torch.Tensor, reference: np.ndarray) -> np.ndarray:
    """[T, 3] rotation vectors from a reference [3, 3] or [T, 3, 3] to rotations [T, 3, 3]."""
    return geometry.rotvec_from_matrix(rotation @ torch.from_numpy(reference).transpose(-1, -2)).numpy()


def _mean_rotation(rotation: torch.Tensor) -> np.ndarray:
    u, _, vt = np.linalg.svd(rotation.numpy().astype(float).mean(0))
    return (u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt).astype(np.float32)


def _grouped_ridge(
    x: np.ndarray, y: np.ndarray, groups: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [D, n], and for each group (its columns of y, and what they cause) the share of its effect explained on
    held-out blocks.
    """
    weight, explained = np.zeros((x.shape[1], y.shape[1])), np.zeros(len(groups))
    for i, (columns, effect) in enumerate(groups):
        weight[:, columns], explained[i] = _averaged_ridge(x, y[:, columns], effect)
    return weight, explained


def _averaged_ridge(x: np.ndarray, y: np.ndarray, effect: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights, and the largest share of y @ effect that a strength explains on held-out blocks (0 where none does)."""
    blocks = np.arange(len(x)) // _BLOCK
    total = float(((y @ effect) ** 2).sum())
    weights, explained = [np.zeros((x.shape[1], y.shape[1]))], [0.0]
    for strength in _STRENGTHS:
        error = 0.0
        for block in range(int(blocks[-1]) + 1):
            held = blocks == block
            if not held.any() or held.all():
                continue
            missed = y[held] - x[held] @ _ridge(x[~held], y[~held], strength)
            error += float(((missed @ effect) ** 2).sum())
        weights.append(_ridge(x, y, strength))
        explained.append(1 - error / max(total, 1e-20))
    share = np.exp((np.array(explained) - max(explained)) / _ALIKE)
    return np.tensordot(share / share.sum(), np.stack(weights), 1), max(explained)


def _ridge(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
    penalty = strength * np.eye(x.shape[1])
    penalty[0, 0] = 1e-3
    return np.linalg.solve(x.T @ x + penalty, x.T @ y)
