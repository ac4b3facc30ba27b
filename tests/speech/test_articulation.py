"""Lip gaps against the geometry of the default head."""

from __future__ import annotations

import numpy as np
import torch

from avatars.heads.arkit import INDEX, NAMES
from avatars.heads.head import Head, HeadModel
from avatars.speech.articulation import FUNNEL, GAP, JAW, PARTING, PUCKER, REACH, lip_gap, possible_gap, to_arkit

UPPER, LOWER = 13, 14
"""Landmarks at the middle of the inner lips."""


def gaps(head: Head, expression: np.ndarray) -> np.ndarray:
    """[T] m between the inner lips of a head."""
    model = HeadModel(head)
    lips = model.landmarks(model.rest(torch.from_numpy(expression.astype(np.float32)))).numpy()
    return lips[:, UPPER, 1] - lips[:, LOWER, 1]


def test_lip_gap_is_that_of_the_head(default_head: Head) -> None:
    found = gaps(default_head, np.concatenate([np.zeros((1, 52)), 0.1 * np.eye(52)]))
    parted = (found[1:] - found[0]) / (found[1 + INDEX["jawOpen"]] - found[0])
    for i, name in enumerate(NAMES):
        # What is not listed parts the lips by less than a twentieth of what the jaw does.
        assert abs(parted[i] - PARTING.get(name, 0.0)) < (0.015 if name in PARTING else 0.05), (name, parted[i])


def test_closed_lips_touch_on_the_head_even_when_rounded(default_head: Head) -> None:
    curves = np.zeros((4, 11), np.float32)
    curves[1:, JAW] = 0.4
    curves[2:, FUNNEL] = 0.5
    curves[3, PUCKER] = 0.6
    faces = to_arkit(curves)
    assert lip_gap(faces).max() < 1e-6
    found = gaps(default_head, faces)
    assert np.abs(found - found[0]).max() < 5e-4  # half a millimetre from the resting face, at 14 mm of jaw


def test_reach_is_linear_in_articulators() -> None:
    rng = np.random.default_rng(0)
    curves = rng.uniform(0, 1, (20, 11)).astype(np.float32)
    curves[:, GAP] = possible_gap(curves)
    np.testing.assert_allclose(lip_gap(to_arkit(curves)), np.clip(curves @ REACH, 0, 1.5), atol=2e-6)
