"""Lips that do not flicker, and still meet."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.speech import metrics, score, vocal
from avatars.speech.articulation import GAP, JAW
from avatars.speech.condition import LONGEST_LOOK_AHEAD, LOOK_AHEADS, condition
from avatars.speech.phonemes import BILABIAL, FIRST_VOWEL
from avatars.speech.runtime import Runtime
from avatars.speech.steady import RADIUS, Steady, steadied


def logits(count: int, where: dict[int, int]) -> np.ndarray:
    """[count, 14] of a vowel throughout, but for other visemes at some frames; nine in ten thousand doubt it."""
    out = np.zeros((count, 14), np.float32)
    kinds = np.full(count, FIRST_VOWEL)
    for frame, kind in where.items():
        kinds[frame] = kind
    out[np.arange(count), kinds] = np.log(13 / 9e-4)
    return out


def mouth(count: int) -> np.ndarray:
    curves = np.zeros((count, 11), np.float32)
    curves[:, GAP], curves[:, JAW] = 0.4, 0.5
    return curves


def test_a_dip_of_one_frame_is_flicker_and_goes() -> None:
    curves = mouth(30)
    curves[15, GAP] = 0.15
    out = steadied(logits(30, {}), curves, LONGEST_LOOK_AHEAD)
    # A Gaussian of one frame keeps 0.40 of it: 1 / (1 + 2 exp(-1/2) + 2 exp(-2))
    share = 1 / (1 + 2 * np.exp(-0.5) + 2 * np.exp(-2.0))
    assert out[15, GAP] == pytest.approx(0.4 - 0.25 * share, abs=2e-3)
    np.testing.assert_allclose(out[RADIUS:13], curves[RADIUS:13], atol=1e-6)
    np.testing.assert_allclose(out[18 : 30 - RADIUS], curves[18 : 30 - RADIUS], atol=1e-6)
    assert out[13:18, GAP].sum() == pytest.approx(curves[13:18, GAP].sum(), abs=2e-3)  # its neighbours get the rest
    for ahead in LOOK_AHEADS[:-1]:  # no time for it
        assert steadied(logits(30, {}), curves, ahead) is curves


def test_lips_meet_where_a_closure_is_heard() -> None:
    curves = mouth(30)
    curves[15, GAP] = 0.0
    out = steadied(logits(30, {15: BILABIAL}), curves, LONGEST_LOOK_AHEAD)
    assert out[15, GAP] < 1e-3
    assert out[15, JAW] == pytest.approx(0.5, abs=1e-6)
    opened = mouth(30)
    opened[15, GAP] = 1.0
    parted = steadied(logits(30, {15: BILABIAL}), opened, LONGEST_LOOK_AHEAD)
    assert parted[15, GAP] < 0.7  # only what closes is spared


def test_lips_that_touch_stay_shut_whatever_is_heard() -> None:
    curves = mouth(40)
    curves[10, GAP], curves[25, GAP] = 0.0, 0.05
    out = steadied(logits(40, {}), curves, LONGEST_LOOK_AHEAD)
    assert out[10, GAP] == pytest.approx(0.0, abs=1e-6)
    bare = 0.4 - 0.35 / (1 + 2 * np.exp(-0.5) + 2 * np.exp(-2.0))
    assert out[25, GAP] == pytest.approx((0.05 + bare) / 2, abs=2e-3)  # half-way to touching
    assert out[10, JAW] == pytest.approx(0.5, abs=1e-6)


def test_in_pieces_as_in_one() -> None:
    rng = np.random.default_rng(0)
    visemes, curves = rng.standard_normal((40, 14)).astype(np.float32), rng.random((40, 11), np.float32)
    classes = rng.standard_normal((40, 6)).astype(np.float32)
    whole = Steady()(visemes, curves, classes)
    steady, parts = Steady(), []
    for size in (1, 2, 3, 1, 13, 20):
        at = sum(len(p[0]) for p in parts)
        parts.append(steady(visemes[at : at + size], curves[at : at + size], classes[at : at + size]))
    for k in (0, 1):
        np.testing.assert_array_equal(np.concatenate([p[k] for p in parts]), whole[k])
    np.testing.assert_array_equal(whole[1][RADIUS:], classes[:-RADIUS])
    np.testing.assert_allclose(
        steadied(visemes, curves, LONGEST_LOOK_AHEAD)[: 40 - RADIUS], whole[0][RADIUS:], atol=1e-7
    )


def test_less_of_the_lips_motion_is_faster_than_lips(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network's own answers to a song: a good part of the speed above 8 Hz goes, the motion stays."""
    sound, runtime = vocal.sing(np.random.default_rng(2)).pcm, Runtime()
    runtime.set_condition(condition(look_ahead=LONGEST_LOOK_AHEAD))
    steady = score.run(runtime, sound, LONGEST_LOOK_AHEAD)[1][:, GAP]
    monkeypatch.setattr(score, "steadied", lambda visemes, curves, look_ahead: curves)
    bare = score.run(runtime, sound, LONGEST_LOOK_AHEAD)[1][:, GAP]
    assert metrics.jitter(steady, 50) < 0.7 * metrics.jitter(bare, 50)
    assert metrics.correlation(steady, bare) > 0.95
