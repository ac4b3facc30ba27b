"""What the synthetic person does, and how they sound."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import welch
from scipy.spatial.transform import Rotation

from avatars.heads.arkit import INDEX, NAMES
from avatars.heads.head import Head
from avatars.synthetic.performance import FACING, Performance, perform
from avatars.synthetic.sounds import CONSONANTS, SILENCE, VOWELS, Spoken, babble
from avatars.synthetic.voice import RATE, speak

YAW = np.radians(30.0)
TIMES = np.arange(250) / 25.0


@pytest.fixture(scope="module")
def played(default_head: Head) -> tuple[Performance, list[Spoken]]:
    rng = np.random.default_rng(3)
    spoken = babble(10.0, rng)
    return perform(default_head, spoken, TIMES, np.array([0.0, 0.0, 0.9]), float(YAW), rng), spoken


def test_speech_fills_the_time_without_gaps() -> None:
    spoken = babble(6.0, np.random.default_rng(0))
    assert spoken[0].start == 0
    assert spoken[-1].end >= 6.0
    for a, b in pairwise(spoken):
        assert b.start == a.end > a.start


def test_head_turns_to_both_sides_as_far_as_asked(played: tuple[Performance, list[Spoken]]) -> None:
    turn = Rotation.from_matrix(FACING @ Rotation.from_rotvec(played[0].rotation).as_matrix())
    yaw = turn.as_euler("YXZ")[:, 0]
    assert yaw.max() == pytest.approx(YAW, abs=np.radians(3))
    assert yaw.min() == pytest.approx(-YAW, abs=np.radians(3))
    speed = np.degrees(np.abs(np.diff(yaw)) * 25)
    assert speed.max() < 120  # degrees/s, as fast as people turn their heads


def test_head_stays_on_its_neck(played: tuple[Performance, list[Spoken]], default_head: Head) -> None:
    p = played[0]
    pivot = np.array([0.0, -0.055, 0.0])
    neck = default_head.joints[0].astype(float)
    by_head = Rotation.from_rotvec(p.rotation).apply(pivot) + p.translation
    by_torso = Rotation.from_rotvec(p.torso_rotation).apply(pivot - neck) + neck + p.torso_translation
    np.testing.assert_allclose(by_head, by_torso, atol=1e-5)


def test_face_stays_within_its_bounds_and_blinks(played: tuple[Performance, list[Spoken]], default_head: Head) -> None:
    e = played[0].expression
    assert (e >= default_head.expression_low).all()
    assert (e <= default_head.expression_high).all()
    blink = e[:, INDEX["eyeBlinkLeft"]]
    assert blink.max() > 0.95
    assert 2 <= (np.diff((blink > 0.5).astype(int)) == 1).sum() <= 8  # in ten seconds
    assert (blink < 0.1).mean() > 0.7


def test_mouth_follows_the_sounds(played: tuple[Performance, list[Spoken]]) -> None:
    p, spoken = played
    jaw = p.expression[:, INDEX["jawOpen"]]
    open_times = [(s.start + s.end) / 2 for s in spoken if s.sound is VOWELS["a"]]
    shut_times = [(s.start + s.end) / 2 for s in spoken if s.sound in (CONSONANTS["m"], CONSONANTS["b"], SILENCE)]
    assert np.interp(open_times, TIMES, jaw).mean() > 0.25
    assert np.interp(shut_times, TIMES, jaw).mean() < 0.12
    assert np.abs(np.diff(p.expression[:, [INDEX[n] for n in NAMES if n.startswith("mouth")]], axis=0)).max() < 0.4


def test_vowels_have_their_formants() -> None:
    """Around a vowel's second formant it has more of its power than vowels whose formants lie elsewhere."""

    def share(name: str, hertz: float) -> float:
        sound = speak([Spoken(VOWELS[name], 0.0, 1.0)], 1.0, np.random.default_rng(0))
        frequency, power = welch(sound[RATE // 5 :], RATE, nperseg=1024)
        return float(power[np.abs(frequency - hertz) < 200].sum() / power[(frequency > 200) & (frequency < 3200)].sum())

    for name, others in (("i", "auo"), ("a", "iu"), ("e", "uo")):
        second = VOWELS[name].formants[1]
        for other in others:
            assert share(name, second) > 2 * share(other, second), (name, other)


def test_pauses_are_quiet_and_the_voice_repeats_itself() -> None:
    spoken = [Spoken(VOWELS["a"], 0.0, 0.5), Spoken(SILENCE, 0.5, 1.0)]
    first, again = (speak(spoken, 1.0, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(first) == RATE
    loud, quiet = first[: RATE // 2], first[int(0.65 * RATE) :]
    assert np.abs(loud).max() == pytest.approx(0.5)
    assert np.sqrt((quiet**2).mean()) < 0.01 * np.sqrt((loud**2).mean())
