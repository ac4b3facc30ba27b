"""Teeth are put where an open mouth shows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.training.bite import raised_by, seat_teeth
from tests.training.scene import draw, make_scene

_MOUTH = {
    "lips": (0.7, 0.25, 0.25), "mouth_interior": (0.08, 0.03, 0.03), "tongue": (0.6, 0.25, 0.25),
    "teeth_upper": (0.9, 0.88, 0.85), "teeth_lower": (0.9, 0.88, 0.85),
}  # fmt: skip
_SIZE = 480


@pytest.fixture(scope="module")
def talk() -> tuple[Head, Track]:
    head, _, track = make_scene(frames=16, size=64)
    camera = replace(
        track.camera, fx=1.6 * _SIZE, fy=1.6 * _SIZE, cx=_SIZE / 2, cy=_SIZE / 2, width=_SIZE, height=_SIZE
    )
    expression = track.expression.copy()
    for name in ("mouthUpperUpLeft", "mouthUpperUpRight"):  # else lips hide teeth that are raised much
        expression[:, head.expression_names.index(name)] = 0.7
    return head, replace(track, camera=camera, expression=expression)


def _film(head: Head, track: Track, paint: dict[str, tuple[float, float, float]] = _MOUTH) -> Clip:
    return draw(head, track, _SIZE, np.random.default_rng(0), paint)


def _raised(head: Head, height: float) -> Head:
    template = head.template.copy()
    template[head.regions["teeth_upper"], 1] += height
    return replace(head, template=template)


@pytest.mark.parametrize("height", [-0.001, 0.0, 0.002, 0.004])
def test_the_row_is_raised_to_where_the_film_has_it(talk: tuple[Head, Track], height: float) -> None:
    head, track = talk
    clip = _film(_raised(head, height), track)
    # A millimetre is a pixel here.
    assert raised_by(head, clip, track, np.arange(16)) == pytest.approx(height, abs=0.00101)


def test_only_teeth_and_tongue_move(talk: tuple[Head, Track]) -> None:
    head, track = talk
    person = seat_teeth(head, _film(_raised(head, 0.003), track), track, np.arange(16))
    moved = person.template - head.template
    dental = head.regions["teeth_upper"] | head.regions["teeth_lower"] | head.regions["tongue"]
    assert not moved[~dental].any()
    assert not moved[:, [0, 2]].any()
    assert np.ptp(moved[dental, 1]) < 1e-7
    assert float(moved[dental, 1].mean()) == pytest.approx(0.003, abs=0.00101)


def test_what_shows_no_teeth_moves_none(talk: tuple[Head, Track]) -> None:
    head, track = talk
    toothless = _film(head, track, _MOUTH | dict.fromkeys(("teeth_upper", "teeth_lower"), (0.1, 0.05, 0.05)))
    assert raised_by(head, toothless, track, np.arange(16)) == 0.0
    closed = track.expression.copy()
    for name in ("jawOpen", "mouthUpperUpLeft", "mouthUpperUpRight"):
        closed[:, head.expression_names.index(name)] = 0
    shut = replace(track, expression=closed)
    assert raised_by(head, _film(_raised(head, 0.003), shut), shut, np.arange(16)) == 0.0
    bare = replace(head, regions={k: v for k, v in head.regions.items() if not k.startswith("teeth")})
    assert seat_teeth(bare, toothless, track, np.arange(16)) is bare
