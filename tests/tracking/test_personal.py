from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatars.tracking.personal import _closing, _landmark_points, personalise
from tests.training.scene import make_scene


def test_offsets_reach_the_surface_and_leave_eyes_and_skull() -> None:
    head, _, track = make_scene(frames=4, size=16)
    offsets = np.zeros((478, 3), np.float32)
    offsets[:468] = (0.0, 0.002, 0.001)
    person, _ = personalise(head, replace(track, landmark_offsets=offsets))
    moved = person.template - head.template
    nose = head.regions["nose"]
    np.testing.assert_allclose(moved[nose].mean(0), [0, 0.002, 0.001], atol=4e-4)
    assert np.abs(moved[head.regions["eyeball_l"]]).max() == 0
    assert np.abs(moved[head.regions["shoulders"]]).max() < 1e-6


@pytest.mark.parametrize("narrow", [0.0, 0.0015])
def test_a_whole_blink_closes_this_persons_lids(narrow: float) -> None:
    head, _, track = make_scene(frames=4, size=16)
    offsets = np.zeros((478, 3), np.float32)
    offsets[[386, 385, 387, 159, 158, 160]] = (0, -narrow, 0)  # upper lids lower than the mean head's
    person, again = personalise(head, replace(track, landmark_offsets=offsets))
    axis = head.expression_names.index("eyeBlinkLeft")
    closed = _landmark_points(person, person.template + person.expression_basis[axis])
    gap = np.linalg.norm(closed[386] - closed[374])
    assert gap < 0.002  # m, measured 0.0017 (the rims meet side by side); open, it is about 9 mm
    pairs = ((386, 374), (385, 380), (387, 373))
    ratio = _closing(person, axis, pairs) / _closing(head, axis, pairs)
    kept = track.expression[:, axis] / ratio < 1
    np.testing.assert_allclose(again.expression[kept, axis] * ratio, track.expression[kept, axis], rtol=1e-4)
