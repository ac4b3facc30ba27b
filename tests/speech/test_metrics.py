"""Measures against hand-made curves."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.speech import metrics
from avatars.speech.engines.utterance import Segment
from avatars.speech.phonemes import BILABIAL, INDEX, SILENCE


def test_correlation_agrees_with_numpy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 100))
    assert metrics.correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert metrics.correlation(a, np.ones(100)) == 0


def test_offsets_are_found_between_frames() -> None:
    time = np.arange(400) / 50
    wave = lambda t: np.sin(2 * np.pi * 1.3 * t) + 0.5 * np.sin(2 * np.pi * 2.9 * t + 1)  # noqa: E731
    for late in (-0.11, 0.0, 0.03, 0.15):
        score, lag = metrics.best_offset(wave(time - late), wave(time), 50)
        assert lag == pytest.approx(late, abs=0.004)
        assert score > 0.99


def test_closures_count_both_ways() -> None:
    gap = np.full(100, 0.5)
    segments = [Segment(0.4, 0.5, BILABIAL, "p"), Segment(0.5, 0.8, INDEX["aa"], "a"), Segment(1.0, 1.1, BILABIAL, "m"),
                Segment(1.1, 1.4, INDEX["E"], "e"), Segment(1.4, 1.42, BILABIAL, "b")]  # fmt: skip
    gap[21] = 0
    gap[60] = 0
    assert metrics.closures(gap, segments) == (1, 2, 1, 2)  # 20 ms of b are too short to be judged
    gap[27] = 0  # 50 ms into the vowel
    assert metrics.closures(gap, segments) == (1, 2, 2, 2)
    assert metrics.closures(np.zeros(0), segments) == (0, 0, 0, 0)


def test_silence_is_judged_after_it_settled() -> None:
    gap = np.arange(100) / 100
    segments = [Segment(0, 1, INDEX["aa"], "a"), Segment(1, 1.3, SILENCE, ""), Segment(1.3, 2, SILENCE, "")]
    out = metrics.silence_gap(gap, segments)
    np.testing.assert_array_equal(out, gap[57:95])  # 1.15 s to 1.9 s: the two silences are one
    assert metrics.silence_gap(gap, segments[:1]).size == 0


def test_pauses_settle_before_they_count() -> None:
    quiet = np.zeros(100, bool)
    quiet[10:40] = quiet[60:66] = True  # 0.6 s and 0.12 s
    wanted = np.zeros(100, bool)
    wanted[18:35] = True  # from 0.15 s after the start (7.5 frames, to even) to 0.1 s before the end
    np.testing.assert_array_equal(metrics.settled(quiet), wanted)
    assert not metrics.settled(np.zeros(0, bool)).any()


def test_errors_of_vertices_and_coefficients() -> None:
    truth = np.zeros((10, 5, 3))
    made = truth.copy()
    made[:, 2, 0] = 0.003
    assert metrics.vertex_lip_error(made, truth) == pytest.approx(0.003)
    arkit = np.zeros((10, 52))
    moved = arkit.copy()
    moved[:, 17] = 0.2
    moved[:, 0] = 0.9  # an eye is no lip
    assert metrics.lip_error(moved, arkit) == pytest.approx(0.2)
    assert metrics.opening_deviation(np.array([0.1, 0.5]), np.array([0.2, 0.2])) == pytest.approx(0.2)


def test_dynamics_signs_cancel_but_sizes_do_not() -> None:
    time = np.linspace(0, 20 * np.pi, 2000)
    truth = np.stack([np.sin(time), np.sin(time)], 1)
    made = np.stack([2 * np.sin(time), 0 * time], 1)
    signed, absolute = metrics.dynamics_deviation(made, truth)
    assert signed == pytest.approx(0, abs=1e-6)
    assert absolute > 0.2
    vertices = np.zeros((50, 4, 3))
    assert metrics.dynamics_deviation(vertices, vertices) == (0, 0)


def test_blinks_are_measured() -> None:
    lids = np.zeros(25 * 60)
    for start in (100, 400, 800, 1300):
        lids[start : start + 5] = 1.0
    lids[1000:1003] = 0.6
    found = metrics.blinks(lids, 25)
    assert found["per_minute"] == pytest.approx(5)
    assert found["duration"] == pytest.approx(0.2)
    assert found["complete"] == pytest.approx(0.8)
    assert metrics.blinks(np.zeros(100), 25)["per_minute"] == 0


def test_jitter_is_high_for_noise_and_low_for_speech() -> None:
    time = np.arange(500) / 50
    assert metrics.jitter(np.sin(2 * np.pi * 4 * time), 50) < 0.02
    assert metrics.jitter(np.random.default_rng(0).normal(size=500), 50) > 0.6
    assert metrics.jitter(np.zeros(3), 50) == 0


def test_envelope_spans_50_decibels() -> None:
    sound = np.concatenate([np.zeros(3200), 0.5 * np.sin(np.arange(3200))])
    loud = metrics.envelope(sound)
    assert loud[0] == 0
    assert loud[-1] == pytest.approx(50, abs=0.2)
    assert metrics.envelope(np.zeros(3200)).max() <= 50
