"""Landmarks lie where the detector sees them, on the right kind of surface, and move with it."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.capture import faces as mesh
from avatars.heads.anny import default_head
from avatars.heads.arkit import INDEX
from avatars.heads.head import Head
from avatars.heads.landmarks import mirror_landmarks
from avatars.heads.lids import contour
from avatars.heads.portrait import IRIS_RADIUS, SIZE, Shot, paint, photograph
from avatars.heads.regions import inner, landmark_points


@pytest.fixture(scope="module")
def head() -> Head:
    return default_head()


def _at(head: Head, field: np.ndarray) -> np.ndarray:
    return np.einsum("lkd,lk->ld", field[head.faces[head.landmark_faces]], head.landmark_barycentric)


@pytest.mark.parametrize(
    "shot", [Shot({}), Shot({}, 0.2), Shot({}, 0.0, 0.15), Shot({"mouthSmileLeft": 0.6, "jawOpen": 0.2})]
)
def test_detector_agrees(head: Head, shot: Shot) -> None:
    picture = photograph(head, paint(head), shot)
    with mesh.FaceMesh(static=True) as detector:
        (found,) = detector.detect(picture.image)
    corners = picture.points[head.faces[head.landmark_faces]]
    ours = np.einsum("lkd,lk->ld", corners, head.landmark_barycentric)[:, :2]
    error = np.linalg.norm(found[:, :2] - ours, axis=1)
    inside = np.setdiff1d(np.arange(478), mesh.OVAL)
    width = np.ptp(ours[:, 0])
    assert 150 < width < SIZE
    # Of a face about 200 px wide; measured 0.7 to 1.3 %.
    assert np.sqrt((error[inside] ** 2).mean()) < 0.0145 * width


def test_each_lies_on_its_kind_of_surface(head: Head) -> None:
    corners = head.faces[head.landmark_faces]
    iris = [*mesh.IRIS_L, *mesh.IRIS_R]
    others = np.setdiff1d(np.arange(478), iris)
    assert not inner(head)[corners[others]].all(1).any()
    for side, ring in (("l", mesh.IRIS_L), ("r", mesh.IRIS_R)):
        assert head.regions[f"eyeball_{side}"][corners[list(ring)]].all()
        points = landmark_points(head)[list(ring)] - head.joints[head.joint_names.index(f"eye_{side}")]
        np.testing.assert_allclose(points[0, :2], 0, atol=2e-4)
        np.testing.assert_allclose(np.linalg.norm(points[1:, :2], axis=1), IRIS_RADIUS, atol=2e-4)
    np.testing.assert_allclose(head.landmark_barycentric.sum(1), 1, atol=1e-5)
    assert head.landmark_barycentric.min() > -1e-6


def test_lips_and_lids_move_as_they_should(head: Head) -> None:
    drop = _at(head, head.expression_basis[INDEX["jawOpen"]])[:, 1]
    upper, lower = [13, 82, 312, 81, 311, 0, 37, 267], [14, 87, 317, 88, 318, 17, 84, 314]
    assert drop[upper].min() > -0.01
    assert drop[lower].max() < -0.015
    blink = _at(head, head.expression_basis[INDEX["eyeBlinkLeft"]])[:, 1]
    above, below = contour("l")
    assert blink[above[2:-2]].max() < -0.002
    assert np.abs(blink[below[2:-2]]).max() < 0.002


def test_landmarks_are_symmetric(head: Head) -> None:
    points = landmark_points(head)
    mirror = mirror_landmarks(points[:, :2] * (1, -1))
    assert [mirror[i] for i in (33, 133, 61, 13, 468, 10, 234)] == [263, 362, 291, 13, 473, 10, 454]
    np.testing.assert_array_equal(mirror[mirror], np.arange(478))
    np.testing.assert_allclose(points[mirror] * (-1, 1, 1), points, atol=1.5e-3)
