"""The face at rest: closed lips, one of the faces that the film shows, and not a mixture of several."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.heads.anny import default_head
from avatars.heads.head import Head
from avatars.splats.rest import resting, uncrossed


@pytest.fixture(scope="module")
def head() -> Head:
    head = default_head()
    return head.shape(np.zeros(len(head.identity_basis)))


def _face(head: Head, **values: float) -> np.ndarray:
    out = np.zeros(len(head.expression_names), np.float32)
    for name, value in values.items():
        out[head.expression_names.index(name)] = value
    return out


def _held(face: np.ndarray, frames: int, rng: np.random.Generator) -> np.ndarray:
    return face + rng.normal(0, 0.005, (frames, len(face))).astype(np.float32)


def test_it_is_the_calm_face_of_somebody_who_talks(head: Head) -> None:
    rng = np.random.default_rng(0)
    own = _face(head, browInnerUp=0.2, mouthFrownLeft=0.1)  # nobody's rest is the head's zero
    talk = own + np.outer(0.5 + 0.4 * np.sin(np.arange(180) * 0.9), _face(head, jawOpen=1.0))
    found = resting(np.concatenate([talk[:90], _held(own, 20, rng), talk[90:]]).astype(np.float32), head)
    np.testing.assert_allclose(found, own, atol=0.02)


def test_of_several_grimaces_it_is_one_and_not_their_middle(head: Head) -> None:
    rng = np.random.default_rng(1)
    wide = [
        _face(head, jawOpen=0.9),
        _face(head, jawOpen=0.6, mouthPucker=0.9),
        _face(head, mouthFunnel=1.0, jawOpen=0.4),
    ]
    left = _face(head, mouthLeft=0.9, browDownLeft=0.8)
    right = _face(head, mouthRight=0.9, browDownRight=0.8)
    shown = [_held(left, 11, rng), _held(right, 8, rng), *(_held(wide[i % 3], 60, rng) for i in range(3))]
    found = resting(np.concatenate(shown), head)
    np.testing.assert_allclose(found, left, atol=0.03)


def test_closed_lips_count_more_than_a_calm_brow(head: Head) -> None:
    rng = np.random.default_rng(2)
    shut, agape = _face(head, browDownLeft=0.5, browDownRight=0.5), _face(head, jawOpen=0.25)
    film = np.concatenate([_held(agape, 90, rng), _held(shut, 12, rng)])
    np.testing.assert_allclose(resting(film, head), shut, atol=0.03)


def test_eyes_cross_at_rest_only_if_they_always_do(head: Head) -> None:
    rng = np.random.default_rng(4)
    crossed = _face(head, eyeLookInLeft=0.6, eyeLookInRight=0.4)
    agape = _face(head, eyeLookInLeft=0.5, eyeLookInRight=0.5, jawOpen=0.9)
    film = np.concatenate([_held(_face(head, jawOpen=0.9), 4, rng), _held(crossed, 20, rng), _held(agape, 100, rng)])
    straight = _face(head, eyeLookInLeft=0.25, eyeLookInRight=0.05)  # as far to the side as before
    np.testing.assert_allclose(resting(film, head), straight, atol=0.03)
    np.testing.assert_allclose(resting(film[4:], head), crossed, atol=0.03)
    outwards = uncrossed(_face(head, eyeLookInLeft=0.9, eyeLookOutRight=0.1).astype(float), film)
    np.testing.assert_allclose(outwards, _face(head, eyeLookInLeft=0.65, eyeLookOutRight=0.35), atol=1e-6)
    aside = _face(head, eyeLookInLeft=0.7, eyeLookOutRight=0.7)
    np.testing.assert_array_equal(uncrossed(aside, film), aside)


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_a_few_frames_are_enough(head: Head, frames: int) -> None:
    own = _face(head, mouthFrownRight=0.3)
    np.testing.assert_allclose(resting(np.tile(own, (frames, 1)), head), own, atol=1e-6)
