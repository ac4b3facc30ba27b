"""The detector's habits: a table for one head, applied where landmarks meet the detector, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatars import files
from avatars.capture import faces
from avatars.heads.head import Head
from avatars.tracking.habit import FILE, detector_habit
from avatars.tracking.residuals import LandmarkModel


def test_the_table_is_of_this_head(default_head: Head) -> None:
    habit, words = files.load_tensors(FILE)
    assert words["head"] == default_head.version
    assert not set(words["seeds"].split()) & {"1", "2", "3", "5", "7"}  # whom accuracy is measured on
    assert habit["habit"].shape == (478, 3)


def test_what_it_says(default_head: Head) -> None:
    habit = detector_habit(default_head)
    size = np.linalg.norm(habit, axis=1)
    assert 0.001 < size.mean() < 0.004
    assert size.max() < 0.02
    iris = list(faces.IRIS_L + faces.IRIS_R)
    assert not habit[iris].any()
    inner = sorted(set(range(468)) - set(faces.OVAL) - set(iris))
    assert size[inner].mean() < size[list(faces.OVAL)].mean()  # a contour lies behind the silhouette
    assert habit[list(faces.BROWS), 1].mean() > 0.0005  # the detector's brows sit higher than painted ones


def test_it_moves_what_is_detected_and_not_the_head(default_head: Head) -> None:
    bare, seen = LandmarkModel.of(default_head), LandmarkModel.detected(default_head)
    np.testing.assert_allclose(seen.mean - bare.mean, detector_habit(default_head), atol=1e-12)
    assert seen.identity is not None
    np.testing.assert_array_equal(seen.identity, bare.identity)


def test_another_head_has_none(default_head: Head) -> None:
    assert not detector_habit(replace(default_head, name="flame")).any()
