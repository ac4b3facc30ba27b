"""Learned bases in a bit or two per number: turned so that few of them carry most, then rounded with one step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..splats.avatar import Avatar
from ..splats.model import Pose
from .posed import pose_of_arkit

STEPS = {"mean": 0.004, "turn": 0.008, "color": 0.002}
"""Rounding steps of what one basis adds at one deviation of its weight: extents, rad, sRGB."""


@dataclass(frozen=True)
class Compact:
    """delta = bases @ (turn @ weights), with integer bases (mostly small: gzip leaves little of their high bytes)."""

    bases: np.ndarray
    """[K', 3, N, 3] int16: mean, rotation vector and colour of each component."""
    steps: np.ndarray
    """[3] what one unit of each of the three kinds is worth."""
    turn: np.ndarray
    """[K', K] float32, from the network's weights to the components'."""

    def dense(self) -> np.ndarray:
        """[N, 9, K'] float32."""
        values = self.bases.astype(np.float32) * self.steps.astype(np.float32)[None, :, None, None]
        return np.ascontiguousarray(values.transpose(2, 1, 3, 0).reshape(values.shape[2], 9, -1))


@torch.no_grad()
def typical_weights(avatar: Avatar) -> np.ndarray:
    """[M, K] weights over the track and over single ARKit coefficients, the track counting most."""
    model = avatar.model()
    track = model.weights(Pose.of_track(avatar.track)).double().numpy()
    single = model.weights(pose_of_arkit(avatar, np.r_[np.zeros((1, 52)), np.eye(52)])).double().numpy()
    share = np.sqrt(0.3 * len(track) / len(single))
    return np.concatenate([track, single * share])


def compact(avatar: Avatar, order: np.ndarray) -> Compact:
    """Principal components of what the bases do over typical poses; those that round to nothing are dropped.

    Args:
        order: [N] the order in which splats are stored.
    """
    bases = avatar.splats.bases[order].astype(np.float64)
    count, _, k = bases.shape
    if k == 0:
        return Compact(
            np.zeros((0, 3, count, 3), np.int16), np.ones(3), np.zeros((0, avatar.network.bases), np.float32)
        )
    weights = typical_weights(avatar)
    moment = weights.T @ weights / len(weights) + 1e-9 * np.eye(k)
    root = np.linalg.cholesky(moment)  # weights = root @ white
    steps = np.repeat(list(STEPS.values()), 3)
    seen = (1 / (1 + np.exp(-avatar.splats.logit_opacity[order].astype(np.float64))))[:, None, None]
    table = ((bases @ root) / steps[:, None] * seen).reshape(-1, k)
    _, vectors = np.linalg.eigh(table.T @ table)
    vectors = vectors[:, ::-1]
    turned = (bases @ (root @ vectors)).reshape(count, 3, 3, k)
    step = np.array(list(STEPS.values()))
    whole = np.round(turned / step[None, :, None, None]).clip(-32767, 32767).astype(np.int16).transpose(3, 1, 0, 2)
    keep = whole.any((1, 2, 3))
    turn = (vectors.T @ np.linalg.inv(root))[keep]
    return Compact(np.ascontiguousarray(whole[keep]), step, turn.astype(np.float32))
