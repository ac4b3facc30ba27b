"""Any sound becomes mono 16 kHz on the picture's clock, or one clear refusal."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from avatars.capture.audio import SAMPLE_RATE, read_audio
from avatars.errors import InputError

from .making import moving, tone, write_sound, write_video

CODECS = {
    "wav": ("pcm_s16le", 48000), "mp3": ("libmp3lame", 44100), "m4a": ("aac", 48000), "flac": ("flac", 44100),
    "ogg": ("libopus", 48000), "mkv": ("libopus", 48000),
}  # fmt: skip


def pitch(sound: np.ndarray) -> float:
    """Hz of the strongest frequency, by a zero-padded spectrum (resolution 0.1 Hz)."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), SAMPLE_RATE * 10))
    return float(spectrum.argmax()) / 10


def read(path: Path) -> np.ndarray:
    sound = read_audio(path)
    assert sound is not None
    assert sound.dtype == np.float32
    assert sound.ndim == 1
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1
    return sound


@pytest.mark.parametrize("suffix", CODECS)
def test_formats_keep_pitch_length_and_onset(tmp_path: Path, suffix: str) -> None:
    codec, rate = CODECS[suffix]
    samples = np.concatenate([np.zeros((1, rate // 2)), tone(1.0, rate)], 1)
    sound = read(write_sound(tmp_path / f"a.{suffix}", samples, rate, codec=codec))
    assert pitch(sound) == pytest.approx(440, abs=1)
    # Codecs pad the end with up to a block (2048 samples at 44.1 kHz: 46 ms).
    assert len(sound) / SAMPLE_RATE == pytest.approx(1.5, abs=0.05)
    onset = np.flatnonzero(np.abs(sound) > 0.2)[0] / SAMPLE_RATE
    assert onset == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000, 96000])
def test_resampling_is_exact(tmp_path: Path, rate: int) -> None:
    sound = read(write_sound(tmp_path / "a.wav", tone(2.0, rate), rate))
    assert abs(len(sound) - 2 * SAMPLE_RATE) <= 1
    assert pitch(sound) == pytest.approx(440, abs=0.2)
    expected = tone(2.0, SAMPLE_RATE)[0]
    inner = slice(500, -500)
    np.testing.assert_allclose(sound[: 2 * SAMPLE_RATE][inner], expected[inner], atol=2e-3)


def test_what_cannot_be_heard_is_filtered_out(tmp_path: Path) -> None:
    """11 kHz is above what 16 kHz can carry: it may not fold back to 5 kHz."""
    sound = read(write_sound(tmp_path / "a.wav", tone(1.0, 48000, 11000), 48000))
    assert np.abs(sound[500:-500]).max() < 0.005  # 40 dB below


def test_channels(tmp_path: Path) -> None:
    """Mean; where it cancels, the loudest channel alone."""
    one = tone(1.0, 48000)
    same = read(write_sound(tmp_path / "same.wav", np.concatenate([one, one]), 48000, layout="stereo"))
    left = read(write_sound(tmp_path / "left.wav", np.concatenate([one, 0 * one]), 48000, layout="stereo"))
    anti = read(write_sound(tmp_path / "anti.wav", np.concatenate([one, -0.8 * one]), 48000, layout="stereo"))
    quiet = np.zeros_like(one)
    centre = np.concatenate([quiet, quiet, one, quiet, quiet, quiet])
    film = read(write_sound(tmp_path / "film.wav", centre, 48000, layout="5.1"))
    for sound, level in ((same, 0.5), (left, 0.25), (anti, 0.5), (film, 0.5)):
        assert np.abs(sound).max() == pytest.approx(level, rel=0.02)
        assert pitch(sound) == pytest.approx(440, abs=0.2)


def test_extremes(tmp_path: Path) -> None:
    rate = 16000
    base = tone(1.0, rate)
    read(write_sound(tmp_path / "deep.wav", base, rate, codec="pcm_s24le"))
    silence = read(write_sound(tmp_path / "silence.wav", 0 * base, rate))
    assert not silence.any()
    offset = read(write_sound(tmp_path / "dc.wav", base * 0 + 0.5, rate))
    np.testing.assert_allclose(offset[100:-100], 0.5, atol=1e-3)
    clipped = read(write_sound(tmp_path / "clipped.wav", np.clip(base * 10, -1, 1), rate))
    assert pitch(clipped) == pytest.approx(440, abs=0.2)
    loud = base.copy()
    loud[0, 5000] = 1e30
    read(write_sound(tmp_path / "loud.wav", loud, rate, codec="pcm_f32le"))
    over = read(write_sound(tmp_path / "over.wav", base * 3, rate, codec="pcm_f32le"))  # peak 1.5: turned down
    np.testing.assert_allclose(over[100:-100], base[0, 100:-100] * 2, atol=5e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused(tmp_path: Path, bad: float) -> None:
    samples = tone(1.0, 16000)
    samples[0, 7000] = bad
    with pytest.raises(InputError, match="NaN or infinity"):
        read_audio(write_sound(tmp_path / "bad.wav", samples, 16000, codec="pcm_f32le"))


def test_empty_and_damaged(tmp_path: Path) -> None:
    whole = write_sound(tmp_path / "whole.wav", tone(1.0, 16000), 16000).read_bytes()
    for name, data in {"none": b"", "header": whole[:44], "part": whole[:20], "noise": bytes(range(256)) * 9}.items():
        path = tmp_path / f"{name}.wav"
        path.write_bytes(data)
        with pytest.raises(InputError):
            read_audio(path)
    half = tmp_path / "half.wav"  # the header promises twice what is there
    half.write_bytes(whole[: len(whole) // 2])
    assert len(read(half)) == pytest.approx(8000, abs=40)


def test_video_with_and_without_sound(tmp_path: Path) -> None:
    assert read_audio(write_video(tmp_path / "mute.mp4", moving(10))) is None
    with_sound = write_video(tmp_path / "sound.mp4", moving(30), sound=tone(1.0, 48000))
    sound = read(with_sound)
    assert pitch(sound) == pytest.approx(440, abs=1)
    assert len(sound) / SAMPLE_RATE == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("sound_at", "picture_at"), [(0.0, 0.0), (0.4, 0.0), (0.0, 0.3), (0.5, 0.3)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_is_on_the_clock_of_the_picture(tmp_path: Path, suffix: str, sound_at: float, picture_at: float) -> None:
    """A click 0.6 s into the sound track lands where the first picture's time says."""
    samples = np.zeros((1, 48000))
    samples[0, round(0.6 * 48000) :] = tone(0.4, 48000)
    times = (np.arange(30) / 30 + picture_at).tolist()
    path = write_video(tmp_path / f"av.{suffix}", moving(30), times=times, sound=samples, sound_at=sound_at)
    onset = np.flatnonzero(np.abs(read(path)) > 0.1)[0] / SAMPLE_RATE
    assert onset == pytest.approx(0.6 + sound_at - picture_at, abs=0.01)


def test_a_gap_in_the_sound_stays_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = tone(0.5, 16000)
        for at in (0.0, 1.5):
            part = av.AudioFrame.from_ndarray((frame * 32767).astype(np.int16), format="s16", layout="mono")
            part.sample_rate, part.pts = 16000, round(at * 16000)
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    sound = read(path)
    assert len(sound) == pytest.approx(32000, abs=200)
    assert np.abs(sound[8200:23800]).max() < 1e-3
    assert np.abs(sound[24200:]).max() > 0.4
