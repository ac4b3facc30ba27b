"""The front end and the resampler."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import resample_poly

from avatars.errors import InputError
from avatars.speech.features import INPUTS, Analysis, FrontEnd, LevelState, levels
from avatars.speech.resample import Resampler
from avatars.speech.vocal import sing


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return sing(np.random.default_rng(1)).pcm[:48000]


def pieces(data: np.ndarray, size: int) -> list[np.ndarray]:
    rng = np.random.default_rng(size)
    out, at = [], 0
    while at < data.shape[-1]:
        step = size or int(rng.integers(1, 4000))
        out.append(data[..., at : at + step])
        at += step
    return out


@pytest.mark.parametrize("size", [7, 160, 3200, 0])
def test_chunks_equal_the_whole(sound: np.ndarray, size: int) -> None:
    whole = FrontEnd()(sound)
    front = FrontEnd()
    parts = np.concatenate([front(p) for p in pieces(sound, size)])
    assert whole.shape == (len(sound) // 320, INPUTS)
    assert np.abs(parts - whole).max() < 2e-6  # float32 rounding of matrix products of other sizes; 5e-7 measured


def test_level_does_not_matter_once_it_is_known(sound: np.ndarray) -> None:
    made = []
    for gain in (0.9, 0.45):
        front = FrontEnd()
        front.state.level[()] = -50.0  # the least: what is louder than that sets the level at once
        made.append(front(gain * sound)[75:])
    # Unnormalised, 6 dB are 0.3 everywhere. Bands at the floor added against log 0 keep that; most are not.
    assert np.median(np.abs(made[0] - made[1])[:, :82]) < 0.01


def test_pitch_of_a_buzz_is_found() -> None:
    for hertz in (90.0, 150.0, 240.0):
        phase = np.cumsum(np.full(16000, hertz / 16000))
        buzz = np.diff(np.floor(phase), prepend=0.0).astype(np.float32)
        frames = Analysis()(buzz)
        assert np.median(frames.voicing[5:]) > 0.8
        # The mean over likely lags includes multiples of the period, so it may lie an octave low; never high.
        assert np.median(frames.pitch[5:]) < np.log2(hertz / 150) + 0.1
    noise = Analysis()(np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32))
    assert np.median(noise.voicing) < 0.6


def test_offset_is_no_sound() -> None:
    silent = FrontEnd()(np.zeros(16000, np.float32))
    offset = FrontEnd()(np.full(16000, 0.5, np.float32))
    np.testing.assert_allclose(offset[5:, :80], silent[5:, :80], atol=0.02)


def test_opposite_phase_stereo_equals_mono(sound: np.ndarray) -> None:
    np.testing.assert_allclose(FrontEnd(2)(np.stack([sound, -sound])), FrontEnd()(sound), atol=1e-6)


def test_levels_works_on_batches(sound: np.ndarray) -> None:
    frames = Analysis()(sound)
    alone = levels(frames.mel, frames.voicing, frames.pitch, LevelState.start())
    both = levels(*(np.stack([x, x]) for x in (frames.mel, frames.voicing, frames.pitch)), LevelState.start((2,)))
    np.testing.assert_allclose(both[1], alone, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_tones_pass_unchanged(rate: int) -> None:
    time = np.arange(rate // 4) / rate
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    resampler = Resampler(rate)
    out = np.concatenate([resampler(tone[None]), resampler(np.zeros((1, 0), np.float32), last=True)], 1)[0]
    assert abs(len(out) - 4000) <= 1
    wanted = np.sin(2 * np.pi * 440 * np.arange(len(out)) / 16000)
    assert np.abs(out - wanted)[100:-100].max() < 2e-3  # Kaiser window, beta 8: 80 dB


def test_tones_above_the_band_vanish() -> None:
    tone = np.sin(2 * np.pi * 12000 * np.arange(24000) / 48000).astype(np.float32)
    assert np.abs(Resampler(48000)(tone[None])[0, 100:]).max() < 2e-3
    reference = resample_poly(tone, 1, 3)
    assert np.abs(reference[100:-100]).max() < 2e-2  # scipy's own filter agrees that nothing is left


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("size", [1, 7, 160, 3200, 0])
def test_resampled_chunks_equal_the_whole(rate: int, size: int) -> None:
    data = np.random.default_rng(0).normal(0, 0.1, (2, 6000)).astype(np.float32)
    empty = np.zeros((2, 0), np.float32)
    one, many = Resampler(rate, 2), Resampler(rate, 2)
    whole = np.concatenate([one(data), one(empty, last=True)], 1)
    parts = np.concatenate([*(many(p) for p in pieces(data, size)), many(empty, last=True)], 1)
    assert parts.shape == whole.shape
    assert np.abs(parts - whole).max() < 1e-6


@pytest.mark.parametrize("rate", [0, -1, 3999, 10**6])
def test_impossible_rates_are_refused(rate: int) -> None:
    with pytest.raises(InputError, match="sample rate"):
        Resampler(rate)
