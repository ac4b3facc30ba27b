"""What the network is taught with: paces, tracts, tones without a voice, and what it is punished for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatars.speech import batches, corpus, vocal
from avatars.speech.augment import drone
from avatars.speech.batches import _cut, batch, load
from avatars.speech.losses import Weights, losses
from avatars.speech.targets import Manner
from avatars.speech.train import Recipe, loss_weights
from avatars.speech.vary import at_pace, vary


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of sounds that need no engine."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    made = [maker(rng) for maker in vocal.MAKERS.values() for _ in range(2)]
    corpus.write_shard(folder / "train-00000.tar", made, [Manner()] * len(made))
    return folder


def test_flicker_costs_more_than_being_as_wrong_all_the_time() -> None:
    target = torch.full((1, 40, 11), 0.5)
    steady, flicker = target.clone(), target.clone()
    steady[..., 1] += 0.05
    flicker[..., 1] += 0.05 * (-1.0) ** torch.arange(40)
    label, vocal_class = torch.full((1, 40), 9), torch.ones((1, 40), dtype=torch.int64)
    logits = torch.zeros(1, 40, 14), torch.zeros(1, 40, 6)
    a, b = (losses(logits[0], made, logits[1], label, target, vocal_class, Weights()) for made in (steady, flicker))
    assert a["curve"] == pytest.approx(float(b["curve"]), rel=1e-5)
    assert a["smoothness"] == pytest.approx(0, abs=1e-6)
    assert b["smoothness"] == pytest.approx(Weights().smoothness * 4 * 0.05 / 2, rel=1e-4)  # mean over jaw and gap


def test_closures_come_to_weigh_more_in_the_second_half() -> None:
    recipe = Recipe(steps=1000)
    weights = [loss_weights(recipe, step) for step in (0, 400, 450, 500, 999)]
    usual = Weights()
    assert [w.closure / usual.closure for w in weights] == pytest.approx([1, 1, 1.5, 2, 2])
    assert all(replace(w, closure=usual.closure) == usual for w in weights)


def test_other_tracts_and_microphones_keep_the_time_course() -> None:
    rng = np.random.default_rng(0)
    power = np.exp(rng.normal(-8, 1, (40, 2, 40))).astype(np.float32)
    loud = power * np.where(np.arange(40) < 20, 1, 100)[:, None, None].astype(np.float32)
    for seed in range(20):
        out = vary(loud, np.random.default_rng(seed))
        assert out.shape == loud.shape
        assert (out > 0).all()
        step = 10 * np.log10(out[20:].mean() / out[:20].mean())
        assert step == pytest.approx(20, abs=1.5)  # whatever the spectrum, what is louder stays louder
    assert not np.array_equal(vary(loud, np.random.default_rng(0)), vary(loud, np.random.default_rng(1)))


def test_another_pace_keeps_sound_and_targets_together(shards: Path) -> None:
    rows = np.arange(40.0)[:, None]
    np.testing.assert_allclose(at_pace(rows, 20, 2.0)[:, 0], 2 * np.arange(20) + 0.5)
    np.testing.assert_allclose(at_pace(rows, 40, 1.0), rows)
    assert at_pace(rows[:1], 1, 1.4).shape == (1, 1)
    example = load([shards / "train-00000.tar"], np.random.default_rng(0))[0]
    count = len(example.label)
    example.voicing = np.linspace(0, 1, count, dtype=np.float32)
    example.mel = np.repeat(np.linspace(-9, 0, 2 * count), 40).reshape(count, 2, 40).astype(np.float16)
    example.curves = np.repeat(example.voicing[:, None], 11, 1).astype(np.float16)
    example.label = np.arange(count).astype(np.int16)
    fast = _cut(example, 0, count, 1.4)
    assert len(fast.label) == int(count / 1.4)
    when = (fast.label + 0.5) / count  # where in the original each frame comes from
    for found in (fast.voicing, fast.curves[:, 3], fast.mel.mean((1, 2)) / 9 + 1):
        np.testing.assert_allclose(found, when, atol=1.5 / count + 2e-3)
    same = _cut(example, 5, 30, 1.0)
    np.testing.assert_array_equal(same.mel, example.mel[5:35])


def test_hurry_changes_voices_alone(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = load([shards / "train-00000.tar"], np.random.default_rng(0))
    a, b = (batch(examples, np.random.default_rng(3), 8, 100, hurry) for hurry in (False, True))
    assert a.inputs.shape == b.inputs.shape
    assert not np.array_equal(a.inputs, b.inputs)
    assert np.isfinite(b.inputs).all()
    monkeypatch.setattr(batches, "MUTED_SHARE", 1.0)
    a, b = (batch(examples, np.random.default_rng(3), 8, 100, hurry) for hurry in (False, True))
    np.testing.assert_array_equal(a.inputs, b.inputs)


def test_drones_hold_their_pitch_and_spectrum() -> None:
    for seed in range(8):
        sound = drone(48000, np.random.default_rng(seed))
        assert abs(np.square(sound).mean() - 1) < 1e-3
        # After any swell, halves of a second have their strongest partial at the same place, and 3 dB more or less.
        halves = sound[24000:].reshape(3, 8000)
        spectra = np.abs(np.fft.rfft(halves * np.hanning(8000), 16000))
        peaks = spectra.argmax(1)
        assert np.ptp(peaks) <= 0.03 * peaks.mean() + 2
        levels = 10 * np.log10(np.square(halves).mean(1))
        assert np.ptp(levels) < 4.0
