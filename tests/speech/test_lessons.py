"""What the network is taught with: tracts, delays, breaths, tones without a voice, and what it is punished for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatars.speech import batches, corpus, vocal
from avatars.speech import train as training
from avatars.speech.augment import drone
from avatars.speech.batches import Pool, batch, load
from avatars.speech.condition import EMOTIONS, LOOK_AHEADS, STYLE
from avatars.speech.losses import Weights, losses
from avatars.speech.targets import Manner
from avatars.speech.train import Recipe
from avatars.speech.vary import vary


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


def test_sound_and_targets_stay_together(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = load([shards / "train-00000.tar"], np.random.default_rng(0))[0]
    count = len(example.label)
    ramp = np.linspace(0.1, 1, count, dtype=np.float32)
    example.voicing, example.curves = ramp, np.repeat(ramp[:, None], 11, 1).astype(np.float16)
    monkeypatch.setattr(batches, "MUTED_SHARE", 0.0)
    monkeypatch.setattr(batches, "random_style", lambda rng, manner: np.zeros(STYLE, np.float32))
    monkeypatch.setattr(batches, "_random_emotion", lambda rng: np.zeros(len(EMOTIONS), np.float32))
    made = batch(Pool.of([example]), np.random.default_rng(3), 16, 60)
    heard = (made.inputs[..., -2] + 1) / 2  # voicing
    for row, conditions in enumerate(made.condition):
        delay = LOOK_AHEADS[int(conditions[-len(LOOK_AHEADS) :].argmax())]
        now, later = heard[row, : 60 - delay], made.target[row, delay:, 3]
        inside = (now > 0) & (later > 0)
        assert inside.sum() > 30
        np.testing.assert_allclose(later[inside], now[inside], atol=1e-3)


def test_breaths_are_taught_in_the_last_third(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taught: list[bool] = []
    monkeypatch.setattr(training, "load", lambda paths, rng, breaths: taught.append(breaths) or [])
    paths = sorted(shards.glob("train-*.tar"))
    for recipe in (Recipe(steps=6000, round_steps=1000), Recipe(steps=500), Recipe(steps=6000, breaths=False)):
        for turn in range(-(-recipe.steps // recipe.round_steps)):
            training.pool(paths, recipe, turn, 0, 1)
    assert taught == [False, False, False, False, True, True, True, False, False]


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
