"""Matching the range of a subject's lips."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.data import Motion
from avatars.speech.articulation import GAP, INDEX, JAW, LOWER_DOWN, PRESS, to_arkit
from avatars.speech.reach import reach_gain, usual_reach


def talker(factor: float, seconds: float = 20.0) -> Motion:
    """Somebody whose articulators swing evenly, up to `factor` of the usual 95th percentile."""
    times = np.arange(int(25 * seconds)) / 25
    swing = (0.5 - 0.5 * np.cos(2 * np.pi * 1.3 * times))[:, None]
    curves = factor * usual_reach() * swing / np.percentile(swing, 95)
    still = np.zeros((len(times), 3), np.float32)
    return Motion(times, to_arkit(curves.astype(np.float32)), still, still)


def test_the_usual_speaker_moves_everything_that_is_matched() -> None:
    usual = usual_reach()
    assert usual[JAW] > 0.2
    assert usual[GAP] > 0.3
    assert (usual < 1.5).all()


@pytest.mark.parametrize("factor", [1.0, 1.4])
def test_gains_match_ranges(factor: float) -> None:
    gain, usual = reach_gain(talker(factor)), usual_reach()
    for k in (JAW, GAP, LOWER_DOWN):
        wanted = ((factor * usual[k] + 0.1) / (usual[k] + 0.1)) ** (20 / 24)
        # The gap of these made-up faces is bounded by jaw and lips, and the last frame cuts a swing short.
        assert gain[k] == pytest.approx(wanted, abs=0.05)
    assert gain[PRESS] == 1


def test_short_silent_and_wild_clips_stay_within_bounds() -> None:
    assert abs(reach_gain(talker(1.6, 1.0))[GAP] - 1) < 0.15
    assert (reach_gain(talker(0.2)) == 1).all()  # hardly moves: nobody talks
    assert reach_gain(talker(3.0)).max() == np.float32(1.7)
    still = np.zeros((1, 3), np.float32)
    assert (reach_gain(Motion(np.zeros(1), np.zeros((1, 52), np.float32), still, still)) == 1).all()


def test_a_jaw_that_moves_little_does_not_cut_the_gap_flat() -> None:
    """Lips that close less than at rest part without the jaw, which coefficients from rest cannot."""
    motion = talker(1.4)
    lifted = 0.4 * motion.arkit[:, INDEX["jawOpen"]]
    motion.arkit[:, INDEX["jawOpen"]] -= lifted
    motion.arkit[:, INDEX["mouthClose"]] -= lifted
    gain = reach_gain(motion)
    assert gain[GAP] > 1.2
    assert gain[JAW] == gain[GAP]
