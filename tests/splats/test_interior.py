"""Colours of what no footage shows: teeth as white as the film's eyes, gums where they end."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.heads.anny import default_head
from avatars.heads.head import Head
from avatars.splats.interior import INTERIOR, eye_white, interior_colors, tongue_shade


@pytest.fixture(scope="module")
def head() -> Head:
    return default_head()


def test_the_white_of_an_eye_is_its_brightest_part(head: Head) -> None:
    screen = head.template * [1000, -1000, 1] + [200, 300, 1]  # 1 px per mm
    image = np.full((600, 400, 3), 250, np.uint8)  # a bright wall
    for name in ("eyeball_l", "eyeball_r"):
        x0, y0 = screen[head.regions[name], :2].min(0).astype(int)
        x1, y1 = screen[head.regions[name], :2].max(0).astype(int)
        image[y0 : y1 + 2, x0 : x1 + 2] = (120, 80, 60)  # lids and iris
        middle = (y0 + y1) // 2
        image[middle - 2 : middle + 2, x0 + 3 : x0 + 10] = (200, 150, 140)
    np.testing.assert_allclose(eye_white(head, [screen], [image]), np.array([200, 150, 140]) / 255, atol=1e-6)


def test_without_eyes_in_the_picture_white_is_neutral(head: Head) -> None:
    screen = head.template * [1000, -1000, 1] + [-5000, -5000, 1]
    white = eye_white(head, [screen], [np.zeros((50, 50, 3), np.uint8)])
    assert 0.6 < white.min() <= white.max() < 0.8
    assert np.ptp(white) < 0.1


def test_teeth_end_in_gums_and_take_the_films_tint(head: Head) -> None:
    faces = np.flatnonzero(head.faces_of("teeth_upper", "teeth_lower"))
    barycentric = np.full((len(faces), 3), 1 / 3)
    white = np.array([0.8, 0.5, 0.5])
    colors = interior_colors(head, faces, barycentric, white)
    height = head.template[head.faces[faces], 1].mean(1)
    for name, root in (("teeth_upper", 1), ("teeth_lower", -1)):
        mine = head.faces_of(name)[faces]
        low, high = np.percentile(root * height[mine], [20, 95])
        edge, gum = colors[mine & (root * height < low)], colors[mine & (root * height > high)]
        np.testing.assert_allclose(edge, np.tile(white * [0.99, 0.96, 0.90], (len(edge), 1)), atol=1e-9)
        assert (gum[:, 1] < 0.5 * gum[:, 0]).all()
        assert (edge[:, 1] > 0.55 * edge[:, 0]).all()


def test_skin_is_none_of_it(head: Head) -> None:
    every = np.arange(len(head.faces))
    colors = interior_colors(head, every, np.full((len(every), 3), 1 / 3), np.full(3, 0.7))
    np.testing.assert_array_equal(np.isfinite(colors[:, 0]), np.any([head.faces_of(n) for n in INTERIOR], 0))


def test_a_tongue_is_round_and_darkest_at_its_root(head: Head) -> None:
    tongue = head.template[head.regions["tongue"]]
    low, high = tongue.min(0), tongue.max(0)
    middle = (low + high) / 2
    half = (high[0] - low[0]) / 2

    def at(x: float, z: float) -> float:
        return float(tongue_shade(head, np.array([[middle[0] + x * half, middle[1], z]]))[0])

    assert at(0.4, high[2]) > 1.5 * at(0.4, low[2])
    assert at(0.4, high[2]) > at(0.8, high[2]) > at(1.0, high[2])
    assert at(0.4, high[2]) > at(0.0, high[2])  # a furrow
    assert at(0.4, high[2]) == pytest.approx(at(-0.4, high[2]))
