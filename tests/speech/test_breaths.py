"""Pauses between utterances, with and without a breath, as the network is taught them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatars.speech import batches, corpus, vocal
from avatars.speech.articulation import GAP, JAW, lip_gap, to_arkit
from avatars.speech.batches import analyse, load
from avatars.speech.breaths import inhalation, is_audible, opening, pause, rumble
from avatars.speech.engines.utterance import RATE, Utterance
from avatars.speech.inhale import inhaled
from avatars.speech.phonemes import SILENCE
from avatars.speech.targets import Manner
from avatars.speech.vocal import CLASSES

FRAME = RATE // 50


def test_a_pause_is_silent_but_for_its_breath() -> None:
    kinds = set()
    for seed in range(40):
        sound, breath = pause(0.1, np.random.default_rng(seed))
        assert len(sound) % FRAME == 0
        kinds.add(breath is None)
        if breath is None:
            assert not sound.any()
            continue
        first, last = breath
        assert 0 <= first < last < len(sound) // FRAME
        assert not sound[: first * FRAME].any()
        assert not sound[last * FRAME :].any()
        level = 20 * np.log10(np.sqrt(np.square(sound[first * FRAME : last * FRAME]).mean()) / 0.1)
        assert -44.1 < level < -11.9
    assert kinds == {True, False}


def test_breaths_are_noise_above_the_rumble_of_a_room() -> None:
    rng = np.random.default_rng(0)
    frequency = np.fft.rfftfreq(RATE, 1 / RATE)

    def share(sound: np.ndarray, low: float, high: float) -> float:
        power = np.abs(np.fft.rfft(sound, RATE)) ** 2
        return float(power[(frequency >= low) & (frequency < high)].sum() / power.sum())

    for _ in range(8):
        assert share(inhalation(1.0, rng), 200, 8000) > 0.7
        low = rumble(RATE, 0.1, rng)
        assert share(low, 0, 1000) > 0.9
        assert -35.1 < 20 * np.log10(np.sqrt(np.square(low).mean()) / 0.1) < -7.9


def test_lips_part_around_a_breath_and_close_again() -> None:
    share = opening(40, (12, 30))
    assert share.max() == 1
    assert not share[:9].any()
    assert not share[33:].any()
    # Half open as the breath begins, within the ramp's own step.
    assert share[11] == pytest.approx(0.4, abs=1e-6)
    assert share[12] == pytest.approx(0.6, abs=1e-6)
    held, far = opening(60, (12, 30), 38), opening(60, (12, 30), 55)
    assert held[31:33].min() == 1  # the speaker goes on at once
    assert not held[38:].any()
    np.testing.assert_array_equal(far[:40], share)
    mouth = inhaled()
    assert mouth[GAP] > 0.5
    assert lip_gap(to_arkit(mouth)) == pytest.approx(mouth[GAP], abs=1e-3)  # a jaw that opens less would hold the lips
    assert mouth[JAW] > 0.3


def test_a_breath_under_the_noise_is_no_breath() -> None:
    rng = np.random.default_rng(0)
    noise = 0.02 * rng.standard_normal(RATE).astype(np.float32)
    breath = np.zeros(RATE, np.float32)
    breath[20 * FRAME : 35 * FRAME] = inhalation(15 * FRAME / RATE, rng)
    bare = analyse(noise)
    assert is_audible(analyse(noise + 0.2 * breath), bare, (20, 35))
    assert not is_audible(analyse(noise + 0.005 * breath), bare, (20, 35))


def test_loaded_examples_open_the_mouth_where_a_breath_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "JOINED_SHARE", 1.0)
    monkeypatch.setattr(batches, "RUMBLE_SHARE", 0.0)
    monkeypatch.setattr(batches, "degrade", lambda pcm, rng: pcm)
    rng = np.random.default_rng(0)
    batch = []
    for _ in range(12):
        u = vocal.sing(rng)
        batch.append(Utterance(u.pcm, u.segments, "flite", "slt", "en", "la"))
    corpus.write_shard(tmp_path / "train-00000.tar", batch, [Manner()] * len(batch))
    examples = [e for e in load([tmp_path / "train-00000.tar"], np.random.default_rng(2), True) if e.language]
    kind = CLASSES.index("breath")
    heard = [e for e in examples if (e.vocal == kind).any()]
    assert 3 <= len(heard) < 11  # two pauses in three have one
    for e in heard:
        where = e.vocal == kind
        assert (e.label[where] == SILENCE).all()
        assert e.curves[where, GAP].max() == pytest.approx(inhaled()[GAP], abs=1e-3)
        assert e.curves[where, GAP].mean() > 0.4
    again = [e for e in load([tmp_path / "train-00000.tar"], np.random.default_rng(2), True) if e.language]
    for a, b in zip(examples, again, strict=True):
        np.testing.assert_array_equal(a.mel, b.mel)
        np.testing.assert_array_equal(a.curves, b.curves)
