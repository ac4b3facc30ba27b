"""The detector's habits: a table for one head, applied where landmarks meet the detector, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from avatars import files
from avatars.capture import faces
from avatars.heads.head import Head
from avatars.tracking.habit import FILE, Habit, aspects
from avatars.tracking.residuals import LandmarkModel


def test_the_table_is_of_this_head(default_head: Head) -> None:
    habit, words = files.load_tensors(FILE)
    assert words["head"] == default_head.version
    assert not set(words["seeds"].split()) & {"1", "2", "3", "5", "7"}  # whom accuracy is measured on
    assert habit["offset"].shape == (478, 3)
    assert habit["aspect"].shape == (2, 478, 3)
    assert habit["expression"].shape == (len(default_head.expression_names), 478, 3)


def test_what_it_says(default_head: Head) -> None:
    measured = Habit.of(default_head)
    habit = measured.offset
    size = np.linalg.norm(habit, axis=1)
    assert 0.001 < size.mean() < 0.004
    assert size.max() < 0.02
    iris = list(faces.IRIS_L + faces.IRIS_R)
    assert not habit[iris].any()
    assert not measured.aspect[:, iris].any()
    assert not measured.expression[:, iris].any()
    inner = sorted(set(range(468)) - set(faces.OVAL) - set(iris))
    assert size[inner].mean() < size[list(faces.OVAL)].mean()  # a contour lies behind the silhouette
    assert habit[list(faces.BROWS), 1].mean() > 0.0005  # the detector's brows sit higher than painted ones
    nose, temples = 1, [127, 356]
    nod, turned = measured.aspect
    assert nod[nose, 1] > nod[temples, 1].mean() + 0.01  # it underrates nods: the nose falls less
    assert turned[nose, 1] > turned[temples, 1].mean() + 0.002  # and takes a turned face for a nodding one
    names = list(default_head.expression_names)
    assert np.abs(measured.expression[[n.startswith("eye") for n in names]]).max() < 1e-5
    flip = np.array([-1.0, 1, 1])
    left, right = (measured.expression[names.index(f"mouthSmile{side}")] for side in ("Left", "Right"))
    np.testing.assert_allclose(left[50], right[280] * flip, atol=1e-6)  # cheeks
    assert np.abs(left[50]).max() > 1e-4
    assert not measured.expression[:, list(faces.LIPS) + list(faces.BROWS)].any()


def test_it_moves_what_is_detected_and_not_the_head(default_head: Head) -> None:
    bare, seen, habit = LandmarkModel.of(default_head), LandmarkModel.detected(default_head), Habit.of(default_head)
    np.testing.assert_allclose(seen.mean - bare.mean, habit.offset, atol=1e-12)
    np.testing.assert_allclose(seen.expression - bare.expression, habit.expression, atol=1e-12)
    assert not bare.aspect.any()
    np.testing.assert_array_equal(seen.aspect, habit.aspect)
    np.testing.assert_array_equal(seen.identity, bare.identity)


def test_moves_are_the_sum_of_their_causes(default_head: Head) -> None:
    habit, rng = Habit.of(default_head), np.random.default_rng(0)
    face = rng.uniform(size=(3, len(default_head.expression_names)))
    place = np.tile([0.0, 0.0, 0.7], (3, 1))
    turn = Rotation.from_euler("x", [[180], [170], [200]], degrees=True)
    rise = np.sin(np.radians([0, -10, 20]))  # looked at straight, from above and from below
    np.testing.assert_allclose(aspects(turn.as_matrix(), place), np.stack([rise, 0 * rise], 1), atol=1e-12)
    turn = Rotation.from_euler("yx", [[-30, 180], [30, 180], [0, 170]], degrees=True)
    seen = np.array([[0, 0.25], [0, 0.25], [rise[1], 0]])  # from both sides alike
    np.testing.assert_allclose(aspects(turn.as_matrix(), place), seen, atol=1e-12)
    moves = habit.moves(face, turn.as_matrix(), place)
    for t, (height, side) in enumerate(seen):
        causes = height * habit.aspect[0] + side * habit.aspect[1]
        smiles = sum(w * m for w, m in zip(face[t], habit.expression, strict=True))
        np.testing.assert_allclose(moves[t], habit.offset + causes + smiles, atol=1e-12)


def test_another_head_has_none(default_head: Head) -> None:
    other = Habit.of(replace(default_head, name="flame"))
    assert not other.offset.any()
    assert not other.aspect.any()
    assert not other.expression.any()
