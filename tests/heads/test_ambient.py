"""What of the sky a mesh's points see, against shapes where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.heads.ambient import openness, shaded
from avatars.heads.anny import default_head


def _sheet(origin: list[float], u: list[float], v: list[float], count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A square of triangles spanned by two vectors, facing along u x v."""
    a, b = np.meshgrid(np.linspace(0, 1, count + 1), np.linspace(0, 1, count + 1), indexing="ij")
    points = np.array(origin) + a.reshape(-1, 1) * np.array(u) + b.reshape(-1, 1) * np.array(v)
    i = (np.arange(count)[:, None] * (count + 1) + np.arange(count)).ravel()
    faces = np.concatenate([np.stack([i, i + count + 1, i + count + 2], 1), np.stack([i, i + count + 2, i + 1], 1)])
    return points, faces


def test_a_floor_is_open_and_beside_a_wall_half_so() -> None:
    floor, faces = _sheet([-0.1, -0.1, 0], [0.2, 0, 0], [0, 0.2, 0])
    assert openness(floor, faces).min() == 1.0
    wall, more = _sheet([0.1, -0.1, 0], [0, 0, 0.2], [0, 0.2, 0])
    found = openness(np.r_[floor, wall], np.r_[faces, more + len(floor)])[: len(floor)]
    middle = np.abs(floor[:, 1]) < 0.03
    close, off = (floor[:, 0] > 0.09) & (floor[:, 0] < 0.099) & middle, (floor[:, 0] < -0.09) & middle
    # Right beside an endless wall .5; from 20 cm off one that is 20 cm high (1 + cos 45)/2, and this one has an end.
    assert found[close].mean() == pytest.approx(0.51, abs=0.04)
    assert found[off].mean() == pytest.approx(0.93, abs=0.04)


def test_ears_have_hollows_and_brows_none() -> None:
    head = default_head()
    found = openness(head.template, head.faces)
    assert found.min() >= 0
    assert found.max() <= 1
    low, usual = np.percentile(found[head.regions["ears"]], (10, 50))
    assert low < 0.5
    assert 0.6 < usual < 0.85
    assert np.median(found[head.regions["brows"]]) > 0.9
    assert np.median(found[head.regions["scalp"]]) > 0.97
    assert found[head.regions["mouth_interior"]].max() < 0.05


def test_hollows_are_darker_and_redder() -> None:
    skin = np.array([[0.8, 0.6, 0.5]])
    same = shaded(skin, np.array([0.7]), np.array([0.7]))
    np.testing.assert_allclose(same, skin)
    np.testing.assert_allclose(shaded(skin, np.array([1.0]), np.array([0.7])), skin)
    dark = shaded(skin, np.array([0.3]), np.array([0.9]))
    assert (dark < skin).all()
    assert dark[0, 2] / dark[0, 0] < skin[0, 2] / skin[0, 0]
    # The published fit at an albedo of .5: .6878 x^3 - 1.7559 x^2 + 2.0679 x, .4809 where .3 is open.
    grey = np.full((1, 3), 0.5 ** (1 / 2.2))
    np.testing.assert_allclose(shaded(grey, np.array([0.3]), np.array([1.0])) ** 2.2, 0.5 * 0.4809, atol=1e-4)
