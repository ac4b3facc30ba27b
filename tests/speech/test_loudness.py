"""Quiet recordings: as loud as a stranger's voice is taken to be, and lips move as in a louder one."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.speech.articulation import lip_gap
from avatars.speech.evaluate import whole
from avatars.speech.features import LEVEL_START, RATE, FrontEnd
from avatars.speech.habits import Amounts
from avatars.speech.loudness import loudest, raised
from avatars.speech.vocal import sing

STILL = Amounts(0, 0, 0, 0)


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """1.5 s of song, louder than LEVEL_START."""
    pcm = sing(np.random.default_rng(3)).pcm[: 3 * RATE // 2]
    return (0.9 * pcm / np.abs(pcm).max()).astype(np.float32)


def test_loudest_is_what_the_front_end_finds(voice: np.ndarray) -> None:
    front = FrontEnd()
    front(voice)
    # It has fallen by half a dB per second since the loudest moment.
    assert loudest(voice) - 0.75 <= float(front.state.level) <= loudest(voice)
    late = np.concatenate([np.zeros(10 * RATE - len(voice) // 2, np.float32), voice])  # across two blocks
    assert loudest(late) == pytest.approx(loudest(voice), abs=1e-6)
    assert loudest(voice / 10) == pytest.approx(loudest(voice) - 20, abs=0.05)


def test_quiet_is_raised_to_the_usual_level_and_nothing_else_is_touched(voice: np.ndarray) -> None:
    quiet = voice * np.float32(10 ** ((LEVEL_START - 15 - loudest(voice)) / 20))
    assert loudest(raised(quiet)) == pytest.approx(LEVEL_START, abs=0.05)
    assert raised(voice) is voice
    for sound in (np.zeros(RATE, np.float32), voice[:100], np.zeros(0, np.float32), voice * np.float32(1e-5)):
        assert raised(sound) is sound


def test_a_quiet_recording_moves_the_lips_like_a_louder_one(voice: np.ndarray) -> None:
    room = np.random.default_rng(1).standard_normal(len(voice)).astype(np.float32) * np.float32(1e-3)
    usual = (voice + room) * np.float32(10 ** ((LEVEL_START - loudest(voice)) / 20))
    quiet = usual / 30
    sounds = (usual, quiet, raised(quiet))
    wanted, low, mended = (lip_gap(whole(s, RATE, fps=50.0, amounts=STILL).arkit) for s in sounds)
    # Measured 1e-6; the front end's floor of -90 dB is all that could differ.
    assert np.abs(mended - wanted).max() < 1e-3
    assert np.abs(low - wanted).max() > 0.1
