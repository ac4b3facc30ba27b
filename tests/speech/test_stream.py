"""The streaming runtime: parity, clock, interruption, bad input, no torch."""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from avatars.errors import InputError
from avatars.speech import Stream
from avatars.speech.articulation import INDEX, JAW, from_arkit, lip_gap
from avatars.speech.condition import LOOK_AHEADS, SIZE, condition
from avatars.speech.evaluate import joined, parity, quiet, whole
from avatars.speech.habits import Amounts
from avatars.speech.network import Net, arrays, from_arrays
from avatars.speech.runtime import Runtime
from avatars.speech.score import run
from avatars.speech.style import Style
from avatars.speech.vocal import laugh, sing

SONG = sing(np.random.default_rng(3)).pcm[:48000]
STILL = Amounts(0, 0, 0, 0, 0)


def test_numpy_equals_torch() -> None:
    torch.manual_seed(0)
    net = Net()
    torch.nn.init.normal_(net.film.weight, std=0.1)
    rng = np.random.default_rng(0)
    inputs, told = rng.normal(size=(80, 86)).astype(np.float32), rng.normal(size=SIZE).astype(np.float32)
    with torch.no_grad():
        wanted = net(torch.from_numpy(inputs)[None], torch.from_numpy(told)[None])
    runtime = Runtime(arrays(net))
    runtime.set_condition(told)
    block = runtime(inputs)
    runtime.reset()
    single = [np.concatenate(parts) for parts in zip(*(runtime(inputs[i : i + 1]) for i in range(80)), strict=True)]
    for a, b, c in zip(wanted, block, single, strict=True):
        assert np.abs(a[0].numpy() - b).max() < 1e-5  # float32 sums in another order; 1e-6 measured
        assert np.abs(b - c).max() < 1e-5
    again = from_arrays(arrays(net))
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("rate", "options"), [(16000, {}), (44100, {"fps": 30.0, "look_ahead_ms": 40}), (16000, {"look_ahead_ms": 160})]
)
def test_chunks_equal_one_shot(rate: int, options: dict) -> None:
    assert parity(SONG[:24000], rate, sizes=(7, 160, 3200), **options) <= 1e-5


def test_single_samples_equal_one_shot() -> None:
    assert parity(SONG[8000:10000], 16000, sizes=(1,)) <= 1e-5


def test_stereo_and_integers_equal_mono_floats() -> None:
    integers = (SONG * 32767).round().astype(np.int16)
    floats = integers.astype(np.float32) / 32768
    wanted = whole(floats, 16000).arkit
    np.testing.assert_array_equal(whole(integers, 16000).arkit, wanted)
    np.testing.assert_allclose(whole(np.stack([floats, -floats], 1), 16000).arkit, wanted, atol=1e-6)
    np.testing.assert_allclose(whole(np.stack([floats] * 6), 16000).arkit, wanted, atol=1e-5)
    wide = integers.astype(np.int32) << 16  # 24- and 32-bit files arrive like this
    np.testing.assert_array_equal(whole(wide, 16000).arkit, wanted)


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 96000, 192000])
def test_any_sample_rate_shows_nearly_the_same_motion(rate: int) -> None:
    """Resampled by the FFT, an independent way; at 8 kHz what lies above 4 kHz is gone, so hisses differ."""
    sound = SONG[:32000]
    count = len(sound) * rate // 16000
    spectrum = np.fft.rfft(sound)
    other = np.zeros(count // 2 + 1, complex)
    other[: min(len(other), len(spectrum))] = spectrum[: len(other)]
    made, wanted = (
        whole(np.fft.irfft(other, count) * rate / 16000, rate, amounts=STILL),
        whole(sound, 16000, amounts=STILL),
    )
    assert len(made.times) == len(wanted.times)
    apart = np.abs(lip_gap(made.arkit) - lip_gap(wanted.arkit)).mean()
    assert apart < (0.1 if rate < 16000 else 0.02)


def test_any_frame_rate_shows_the_same_motion() -> None:
    reference = whole(SONG, 16000, fps=100.0)
    for fps in (25.0, 50.0):
        motion = whole(SONG, 16000, fps=fps)
        assert len(motion.times) == int(np.ceil(len(SONG) / 16000 * fps))
        step = int(100 / fps)
        np.testing.assert_allclose(motion.arkit, reference.arkit[::step][: len(motion.times)], atol=1e-5)
        motion.validate()


def test_frames_wait_no_longer_than_the_latency() -> None:
    for ahead in (20 * n for n in LOOK_AHEADS):
        stream = Stream(fps=50.0, look_ahead_ms=ahead, amounts=STILL)
        for heard in range(1, 60):
            motion = stream.feed(SONG[(heard - 1) * 320 : heard * 320], 16000)
            newest = motion.times[-1] if len(motion.times) else None
            if newest is not None:
                # The next frame was not ready: it is at most the latency behind what was heard.
                assert 1000 * (heard * 0.02 - newest) <= stream.latency_ms + 1e-6
    assert Stream().latency_ms <= 100


def test_a_stream_of_the_longest_look_ahead_is_steadied() -> None:
    runtime = Runtime()
    runtime.set_condition(condition(look_ahead=8))
    wanted = run(runtime, SONG, 8)[1]
    made = from_arkit(whole(SONG, 16000, fps=50.0, look_ahead_ms=160, amounts=STILL).arkit)
    # Frames of a stream lie between two of the network's; the last one also sees how the sound ended.
    between = 0.5 * (wanted[:-1] + wanted[1:])
    np.testing.assert_allclose(made[1:-1, JAW], between[:-1, JAW], atol=1e-5)
    assert np.abs(np.diff(made[:, JAW])).max() > 0.02


def test_flush_ends_with_the_sound_and_needs_a_reset() -> None:
    stream = Stream()
    motion = joined([stream.feed(SONG, 16000), stream.flush()])
    assert motion.times[-1] < 3.0
    assert motion.times[-1] >= 3.0 - 1 / 25 - 1e-9
    with pytest.raises(InputError, match="reset"):
        stream.feed(SONG, 16000)
    stream.reset()
    np.testing.assert_array_equal(joined([stream.feed(SONG, 16000), stream.flush()]).arkit, motion.arkit)


def test_an_interrupted_mouth_comes_to_rest() -> None:
    stream = Stream(fps=50.0, amounts=STILL)
    before = stream.feed(SONG, 16000)
    stream.interrupt()
    after = stream.feed(np.zeros(16000, np.float32), 16000)
    assert after.times[0] == pytest.approx(before.times[-1] + 0.02)
    gap = lip_gap(after.arkit)
    assert gap[after.times >= before.times[-1] + 0.2].max() < 0.03
    jump = np.abs(np.diff(np.concatenate([lip_gap(before.arkit)[-1:], gap[:9]]))).max()
    assert jump <= max(0.25, float(lip_gap(before.arkit)[-1]) / 4)  # eased, not cut


def test_a_style_in_mid_speech_goes_on_smoothly() -> None:
    stream, other = Stream(fps=50.0, amounts=STILL), Stream(fps=50.0, amounts=STILL)
    stream.feed(SONG[:24000], 16000)
    other.feed(SONG[:24000], 16000)
    stream.set_style(Style())
    np.testing.assert_array_equal(stream.feed(SONG[24000:], 16000).arkit, other.feed(SONG[24000:], 16000).arkit)


def test_silence_and_noise_keep_the_mouth_shut() -> None:
    voice = np.concatenate([SONG, np.zeros(16000, np.float32)])
    motion = whole(voice, 16000, fps=50.0, amounts=STILL)
    assert lip_gap(motion.arkit)[motion.times > 3.15].mean() <= 0.03
    for name, gap in quiet(seconds=4.0).items():
        assert gap <= 0.1, name


def test_a_speaker_breathes_in_with_parted_lips() -> None:
    rng = np.random.default_rng(1)
    hiss = rng.normal(0, 1, 8000) * 0.002 * np.hanning(8000)
    sound = np.concatenate([SONG, np.zeros(1600), hiss, np.zeros(8000)]).astype(np.float32)
    sound += rng.normal(0, 2e-5, len(sound)).astype(np.float32)
    begin = (len(SONG) + 1600) / 16000
    motion = whole(sound, 16000, fps=50.0, amounts=Amounts(0, 0, 0, 0, 1))
    gap = lip_gap(motion.arkit)
    assert 0.5 <= gap[(motion.times > begin + 0.15) & (motion.times < begin + 0.4)].max() <= 0.8
    assert gap[motion.times > begin + 0.9].max() < 0.05


def test_emotion_shows_and_yields() -> None:
    stream = Stream(amounts=STILL)
    stream.set_emotion({"happy": 1.0}, 1.2)
    motion = joined([stream.feed(np.zeros(32000, np.float32), 16000), stream.flush()])
    smile = motion.arkit[:, INDEX["mouthSmileLeft"]]
    assert smile[-1] > 0.4
    assert smile[0] < smile[-1]
    with pytest.raises(InputError, match="Unknown emotion 'joyous'"):
        stream.set_emotion({"joyous": 1})
    with pytest.raises(InputError, match="intensity"):
        stream.set_emotion({"happy": 1}, 2.0)
    with pytest.raises(InputError, match="at least 0"):
        stream.set_emotion({"happy": -1.0})


def test_laughter_lifts_the_cheeks() -> None:
    motion = whole(laugh(np.random.default_rng(0)).pcm, 16000)
    talk = whole(SONG, 16000)
    cheek = INDEX["cheekSquintLeft"]
    assert motion.arkit[:, cheek].max() > 0.3
    assert motion.arkit[:, cheek].max() > 2 * talk.arkit[:, cheek].mean()


@pytest.mark.parametrize("sound", [np.zeros(0), np.zeros(1), np.zeros(5000), np.ones(5000), np.full(9000, 0.3)])
def test_odd_sounds_give_still_faces(sound: np.ndarray) -> None:
    motion = whole(sound, 16000)
    assert len(motion.times) == int(np.ceil(len(sound) / 16000 * 25 - 1e-9))
    assert np.isfinite(motion.arkit).all()
    motion.validate()
    assert len(motion.times) == 0 or lip_gap(motion.arkit).mean() < 0.1


def test_clipped_sound_is_sound() -> None:
    motion = whole(np.clip(8 * SONG, -1, 1), 16000)
    motion.validate()
    assert lip_gap(motion.arkit).max() > 0.1


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (np.full(100, np.nan), "NaN"),
        (np.full(100, np.inf), "infinity"),
        (np.full(100, 20000.0), r"lie in \[-1, 1\]"),
        (np.zeros((2, 3, 4)), "one or two axes"),
        (np.zeros((64, 64)), "channels"),
        (np.array(["a"]), "type"),
        (np.zeros(10, bool), "type"),
    ],
)
def test_what_is_no_sound_is_refused(sound: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Stream().feed(sound, 16000)


def test_changes_in_mid_stream_are_refused() -> None:
    stream = Stream()
    stream.feed(SONG[:1000], 16000)
    with pytest.raises(InputError, match="reset"):
        stream.feed(SONG[:1000], 48000)
    with pytest.raises(InputError, match="reset"):
        stream.feed(np.zeros((100, 2)), 16000)


def test_impossible_arguments_are_refused() -> None:
    for amount in (-1.0, 3.0, float("nan")):
        with pytest.raises(InputError, match="between 0 and 2"):
            Amounts(head=amount)
    for options in ({"fps": 0.0}, {"fps": float("nan")}, {"look_ahead_ms": 50}, {"look_ahead_ms": 100}):
        with pytest.raises(InputError):
            Stream(**options)
    with pytest.raises(InputError):
        condition(look_ahead=7)
    with pytest.raises(InputError, match="sample rate"):
        Stream().feed(SONG, 100)


def test_the_runtime_needs_neither_torch_nor_scipy() -> None:
    program = (
        "import sys, numpy as np, avatars.speech as s; x = s.Stream(); x.feed(np.zeros(48000, 'f'), 48000); x.flush();"
        "assert not {'torch', 'scipy', 'mediapipe', 'tyro'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("minutes", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_an_hour_is_like_a_minute(minutes: int) -> None:
    rng = np.random.default_rng(0)
    minute = np.tile(np.concatenate([SONG, np.zeros(8000, np.float32)]), 18)[: 60 * 16000]
    minute = (minute + rng.normal(0, 1e-3, len(minute))).astype(np.float32)
    stream = Stream(amounts=STILL)
    gaps, sizes = [], []
    for _ in range(minutes):
        gaps.append(lip_gap(stream.feed(minute, 16000).arkit))
        sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    assert sizes[-1] - sizes[1] < 20  # MB
    # The first second still learns the level; the statistics of the last minute equal those of the second within 5 %.
    assert gaps[-1].mean() == pytest.approx(gaps[1].mean(), rel=0.05)
    assert gaps[-1].std() == pytest.approx(gaps[1].std(), rel=0.05)
