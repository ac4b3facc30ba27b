"""Steady tones are told from voices."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.heads.arkit import INDEX
from avatars.speech import vocal
from avatars.speech.articulation import lip_gap
from avatars.speech.drone import Drone
from avatars.speech.evaluate import whole
from avatars.speech.features import FrontEnd
from avatars.speech.habits import Amounts

RATE = 16000
TIME = np.arange(3 * RATE) / RATE


def shut(pcm: np.ndarray) -> np.ndarray:
    return Drone()(FrontEnd()(pcm.astype(np.float32)))


def tone(pitch: float | np.ndarray, gains: list[float]) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(np.full(len(TIME), pitch)) / RATE
    return 0.1 * np.sum([g * np.sin(k * phase) for k, g in enumerate(gains, 1)], 0)


@pytest.mark.parametrize("beat", [0.0, 1.5])
@pytest.mark.parametrize("pitch", [52.0, 60.0, 67.0, 73.0, 80.0, 117.0, 250.0, 400.0])
def test_tones_shut_the_lips_within_seven_tenths_of_a_second(pitch: float, beat: float) -> None:
    rng = np.random.default_rng(int(pitch))
    sound = tone(pitch, list(rng.uniform(0.1, 1, 8))) * 10 ** (beat / 20 * np.sin(2 * np.pi * 3 * TIME))
    found = shut(sound + 1e-4 * rng.standard_normal(len(sound)))
    assert (found[:20] == 0).all()
    assert (found[35:] == 1).all()


def test_voices_are_followed() -> None:
    wavering = tone(220 * (1 + 0.015 * np.sin(2 * np.pi * 5.5 * TIME)), [1, 0.9, 0.7, 0.8, 0.5, 0.4, 0.3, 0.3, 0.2])
    assert shut(wavering).max() == 0
    gliding = tone(np.linspace(110, 180, len(TIME)), [1, 0.8, 0.6, 0.5, 0.5, 0.4, 0.3])
    assert shut(gliding).max() == 0
    hiss = 0.05 * np.random.default_rng(0).standard_normal(len(TIME))
    assert shut(hiss).max() == 0
    for kind in ("laugh", "sigh"):
        u = vocal.MAKERS[kind](np.random.default_rng(2))
        loud = [s for s in u.segments if s.phone != "pau"]
        span = slice(int(loud[0].start * 50) + 4, int(loud[-1].end * 50))
        assert shut(u.pcm)[span].max() == 0


def test_the_lips_follow_again_at_once_when_a_voice_sets_in() -> None:
    hum = tone(120.0, [1, 0.5, 0.3])
    wavering = tone(200 * (1 + 0.03 * np.sin(2 * np.pi * 6 * TIME)), [3, 3, 2, 2, 2, 1, 1, 1])
    found = shut(np.concatenate([hum, hum + wavering]))
    assert found[149] == 1
    assert (found[153:] == 0).all()


def test_pieces_equal_the_whole() -> None:
    sound = FrontEnd()(np.concatenate([tone(150.0, [1, 0.6, 0.5]), np.zeros(8000)]).astype(np.float32))
    one, drone = Drone()(sound), Drone()
    np.testing.assert_array_equal(np.concatenate([drone(part) for part in np.array_split(sound, 7)]), one)
    drone.reset()
    np.testing.assert_array_equal(drone(sound), one)
    assert Drone()(sound[:0]).shape == (0,)


def test_a_stream_rests_on_a_tone() -> None:
    sound = np.concatenate([tone(314.0, [0.1, 0.7, 1.4, 1]), np.zeros(RATE)]).astype(np.float32)
    motion = whole(sound, RATE, fps=50.0, amounts=Amounts(0, 0, 0, 0, 0))
    gap, jaw = lip_gap(motion.arkit), motion.arkit[:, INDEX["jawOpen"]]
    resting = (motion.times > 0.7) & (motion.times < 2.9)
    assert max(gap[resting].max(), jaw[resting].max()) < 1e-6
    assert gap[motion.times > 2.9].max() < 0.15  # nor do they open as it ends
