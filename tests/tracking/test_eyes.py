"""Eyes move together, and what closed lids hide is not believed."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.capture import faces
from avatars.heads.anny import default_head
from avatars.tracking.eyes import IRISES, apart, gaze_axes, held, shut
from avatars.tracking.residuals import LandmarkModel
from avatars.tracking.solve import Solver
from tests.tracking.test_solve import _landmarks, _motion


@pytest.fixture(scope="module")
def model() -> LandmarkModel:
    return LandmarkModel.of(default_head())


def _gaze(model: LandmarkModel, expression: np.ndarray) -> np.ndarray:
    """[T, 2 eyes, 2] pitch and yaw, degrees."""
    return np.degrees(np.einsum("te,ejc->tjc", expression, model.joint_axis[:, 1:]))[..., :2]


def test_shut_is_told_by_the_narrower_eye() -> None:
    marks = np.zeros((5, 478, 2))
    marks[:, [362, 33]], marks[:, [263, 133]] = (0, 0), (10, 0)
    for t, (left, right) in enumerate([(4, 4), (4, 4), (4, 4), (2.5, 4), (4, 1)]):
        marks[t, [386, 385, 387]], marks[t, [159, 158, 160]] = [5, left], [5, right]
        marks[t, [374, 380, 373, 145, 153, 144]] = [5, 0]
    np.testing.assert_allclose(shut(marks), [0, 0, 0, 0.5, 1])


def test_apart_is_the_difference_of_the_eyes(model: LandmarkModel) -> None:
    face = np.random.default_rng(0).uniform(size=(4, model.expression.shape[0]))
    gaze = _gaze(model, face)
    np.testing.assert_allclose(np.degrees(face @ apart(model.joint_axis).T), gaze[:, 0] - gaze[:, 1], atol=1e-9)
    names = np.array(default_head().expression_names)
    assert set(names[gaze_axes(model.joint_axis)]) == {n for n in names if n.startswith("eyeLook")}


def _film(model: LandmarkModel, cross: float) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks [T, 478, 3] of a head that looks to a side, eyes crossed by a share, and its faces [T, E]."""
    names = list(default_head().expression_names)
    motion = list(_motion(model, 24, 3))
    motion[1] = np.zeros_like(motion[1])
    motion[1][:, [names.index("eyeLookInRight"), names.index("eyeLookOutLeft")]] = 0.4
    motion[1][:, names.index("eyeLookInLeft")] = cross
    if cross:
        motion[1][:, names.index("eyeLookOutLeft")] = 0
    return _landmarks(model, tuple(motion), 1126.0, 0.0), motion[1]


def test_noise_of_one_eye_is_shared_but_crossed_eyes_stay(model: LandmarkModel) -> None:
    names = default_head().expression_names
    for cross, least, most in ((0.0, 0.0, 3.5), (0.9, 15.0, 60.0)):
        marks, face = _film(model, cross)
        rng = np.random.default_rng(1)
        marks[:, list(faces.IRIS_L), :2] += rng.normal(size=(24, 1, 2)) * (0 if cross else 2.0)
        solver = Solver(model, marks, np.arange(24) / 25.0, (512, 512), names)
        state = solver.run()
        found = _gaze(model, state.expression)
        differ = np.abs(found[:, 0, 1] - found[:, 1, 1]).mean()
        assert least <= differ <= most
        if cross:
            true = _gaze(model, face)
            assert differ == pytest.approx(np.abs(true[:, 0, 1] - true[:, 1, 1]).mean(), rel=0.25)


def test_gaze_is_held_behind_closed_lids(model: LandmarkModel) -> None:
    names = list(default_head().expression_names)
    motion = list(_motion(model, 24, 3))
    motion[1] = np.zeros_like(motion[1])
    motion[1][:, [names.index("eyeLookInRight"), names.index("eyeLookOutLeft")]] = 0.4
    blink = np.clip(1.2 - np.abs(np.arange(24) - 12) / 3, 0, 1)
    motion[1][:, [names.index("eyeBlinkLeft"), names.index("eyeBlinkRight")]] = blink[:, None]
    marks = _landmarks(model, tuple(motion), 1126.0, 0.0)
    closed = shut(marks) >= 1
    assert 3 <= closed.sum() <= 10
    marks[np.ix_(np.flatnonzero(closed), IRISES, [1])] += 6.0  # where a detector loses irises: down, with the lid
    solver = Solver(model, marks, np.arange(24) / 25.0, (512, 512), tuple(names))
    found, true = _gaze(model, solver.run().expression), _gaze(model, motion[1])
    assert np.abs(found - true)[closed].max() < 6.0  # 4.4; where the lids are half open, the lost irises have a say


def test_held_goes_straight() -> None:
    gaze, times = np.array([[0.0], [1], [9], [9], [4], [5], [9]]), np.array([0.0, 1, 2, 3, 4, 5, 6])
    found = held(gaze, times, np.array([2, 3, 6]))
    np.testing.assert_allclose(found[:, 0], [0, 1, 2, 3, 4, 5, 5])
    np.testing.assert_array_equal(held(gaze, times, np.arange(7)), gaze)  # never open: nothing to hold
