"""Breaths that are heard part the lips; echoes, steady noise and noise without a speaker do not."""

from __future__ import annotations

import numpy as np

from avatars.speech.articulation import ARTICULATORS, GAP
from avatars.speech.features import INPUTS, MELS, STACK
from avatars.speech.inhale import Inhale, inhaled, part
from avatars.speech.vocal import CLASSES

SPEECH, QUIET = CLASSES.index("speech"), CLASSES.index("quiet")


def inputs(decibels: np.ndarray) -> np.ndarray:
    """[T, 86] network inputs whose mel bands are all at [T] dB against the speaker's level."""
    out = np.zeros((len(decibels), INPUTS), np.float32)
    out[:, : STACK * MELS] = (0.05 * decibels + 0.5)[:, None]
    return out


def logits(speaking: np.ndarray) -> np.ndarray:
    """[T, 6] of [T] bool."""
    out = np.zeros((len(speaking), len(CLASSES)), np.float32)
    out[speaking, SPEECH] = out[~speaking, QUIET] = 5
    return out


def scene(noise: np.ndarray, spoken: int = 50, quiet: int = 5, after: int = 20) -> tuple[np.ndarray, np.ndarray, slice]:
    """(inputs, logits, where the noise is) of a second of voice, a quiet pause with `noise` [n] dB in it, voice."""
    parts = [np.full(spoken, -5.0), np.full(quiet, -50.0), noise, np.full(after, -5.0)]
    speaking = np.concatenate([np.ones(spoken), np.zeros(quiet + len(noise)), np.ones(after)]) > 0
    return inputs(np.concatenate(parts)), logits(speaking), slice(spoken + quiet, spoken + quiet + len(noise))


BREATH = -50 + 12 * np.clip(np.minimum(np.arange(20) / 4, (20 - np.arange(20)) / 4), 0, 1)


def test_a_breath_parts_the_lips_within_a_tenth_of_a_second_and_speech_takes_over() -> None:
    heard, classes, where = scene(BREATH)
    share = Inhale()(heard, classes)
    assert not share[: where.start].any()
    assert share[where][5] > 0
    assert share[where][9:].min() == 1
    assert share[where.stop + 2 :].max() < 1e-6


def test_lips_stay_parted_for_a_moment_after_a_breath_and_then_close() -> None:
    heard, classes, where = scene(np.concatenate([BREATH, np.full(40, -50.0)]), after=0)
    share = Inhale()(heard, classes)
    end = where.start + len(BREATH)
    assert share[end + 4] == 1
    assert not share[end + 20 :].any()


def test_other_noise_is_no_breath() -> None:
    heard, classes, _ = scene(-5 - 1.5 * np.arange(30.0), quiet=0)
    assert not Inhale()(heard, classes).any()  # an echo
    steady = np.full(60, -50.0)
    click = np.full(30, -50.0)
    click[10] = -30
    loud = BREATH + 45  # louder than any breath
    for noise in (steady, click, loud):
        heard, classes, _ = scene(noise)
        assert Inhale()(heard, classes).max() <= 0.3
    heard, classes, _ = scene(BREATH, spoken=0, after=0)
    assert not Inhale()(heard, classes).any()  # nobody has spoken


def test_swelling_noise_without_end_is_no_breath_for_long() -> None:
    heard, classes, where = scene(np.concatenate([BREATH[:10], np.full(150, BREATH[10])]), after=0)
    share = Inhale()(heard, classes)
    assert share[where][40] == 1
    assert not share[where][100:].any()


def test_frame_by_frame_equals_the_whole() -> None:
    heard, classes, _ = scene(BREATH)
    whole, single = Inhale()(heard, classes), Inhale()
    parts = [single(heard[i : i + 1], classes[i : i + 1]) for i in range(len(heard))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    single.reset()
    np.testing.assert_array_equal(single(heard, classes), whole)
    assert len(single(heard[:0], classes[:0])) == 0


def test_lips_part_only_where_speech_does_not_part_them_wider() -> None:
    curves = np.zeros((3, len(ARTICULATORS)), np.float32)
    curves[1, GAP] = 0.9
    out = part(curves, np.array([1, 1, 0], np.float32))
    np.testing.assert_array_equal(out[0], inhaled())
    assert out[1, GAP] == np.float32(0.9)
    assert not out[2].any()
