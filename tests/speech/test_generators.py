"""Blinks, gaze, head, brows, emotion, and their fit to a track."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.data import Motion
from avatars.errors import FileFormatError
from avatars.heads.arkit import NAMES
from avatars.speech.articulation import GAP, JAW, lip_gap, to_arkit
from avatars.speech.blink import Blinks
from avatars.speech.brows import Brows
from avatars.speech.condition import EMOTIONS, emotion_vector
from avatars.speech.emotion import OFFSETS, offsets
from avatars.speech.evaluate import whole
from avatars.speech.face import Face
from avatars.speech.gaze import Gaze
from avatars.speech.habits import Amounts, Habits, fit, look_angles
from avatars.speech.head import Head
from avatars.speech.metrics import blinks

MINUTES = 10
TICKS = MINUTES * 60 * 50


def test_blinks_come_at_the_asked_rate_and_close_fully() -> None:
    for rate in (8.0, 20.0):
        made = Blinks(Habits(blinks_per_minute=rate), np.random.default_rng(0))
        lids = np.array([made.tick() for _ in range(TICKS)])
        figures = blinks(lids, 50.0)
        # Doubles add 7 %, halves stay below the threshold; the mean of 80 to 200 log-normal gaps varies by about 8 %.
        assert figures["per_minute"] == pytest.approx(rate, rel=0.25)
        assert figures["complete"] > 0.85
        assert 0.1 < figures["duration"] < 0.35
        assert 0.3 < figures["variation"] < 1.2
        full = lids[: TICKS // 2 * 2].reshape(-1, 2)[:, 0]  # seen at 25 fps
        assert blinks(full, 25.0)["complete"] > 0.85


def test_blinks_can_be_switched_off_and_invited() -> None:
    none = Blinks(Habits(), np.random.default_rng(0), 0.0)
    assert not any(none.tick(1.0) for _ in range(2000))
    invited = Blinks(Habits(), np.random.default_rng(0))
    lids = np.array([invited.tick(1.0 if i % 100 == 0 else 0.0) for i in range(6000)])
    assert blinks(lids, 50.0)["per_minute"] > 1.3 * Habits().blinks_per_minute


def test_no_phrase_brings_on_a_second_blink_at_once() -> None:
    """But for doubles, which come by themselves, a blink that is invited comes a second or more after the last."""
    invited = Blinks(Habits(blinks_per_minute=3.0), np.random.default_rng(0))
    lids = np.array([invited.tick(1.0) for _ in range(TICKS)])
    starts = np.flatnonzero((lids[1:] > 0) & (lids[:-1] == 0)) / 50
    gaps = np.diff(starts)
    assert len(gaps) > 200
    assert (gaps < 1).mean() < 0.15  # 7 % are doubles
    assert np.percentile(gaps, 20) > 1.2


def test_eyes_hold_still_while_the_head_turns() -> None:
    gaze = Gaze(Habits(fixation=50.0, gaze_spread=(1e-6, 1e-6)), np.random.default_rng(0))
    for _ in range(100):
        gaze.tick(0.0, 0.0)
    turned = [gaze.tick(0.002 * i, 0.0)[0] for i in range(100)]
    world = np.array(turned) + 0.002 * np.arange(100)
    assert np.abs(world).max() < 0.12 * 0.2  # nine tenths of the turn are taken back


def test_saccades_are_quick_and_fixations_are_not() -> None:
    gaze = Gaze(Habits(), np.random.default_rng(1))
    way = np.array([gaze.tick(0.0, 0.0) for _ in range(TICKS)])
    speed = np.linalg.norm(np.diff(way, axis=0), axis=1) * 50
    assert (speed < 1e-9).mean() > 0.85
    assert np.abs(way).max() < np.radians(25.1)
    assert way[:, 0].std() == pytest.approx(Habits().gaze_spread[0], rel=0.9)


def test_the_head_wanders_as_far_as_asked_and_never_off() -> None:
    habits = Habits()
    head = Head(habits, np.random.default_rng(0))
    made = np.array([[x for part in head.tick(1.0, 0.0) for x in part] for _ in range(2 * TICKS)])
    wanted = np.array([*habits.head_spread, *habits.sway])
    np.testing.assert_allclose(made[500:].std(0), wanted, rtol=0.2)  # 20 min of a process that forgets in 0.9 s
    assert (np.abs(made[:, :3].mean(0)) < 0.2 * wanted[:3]).all()
    halves = made[: len(made) // 2].std(0) / made[len(made) // 2 :].std(0)
    assert (np.abs(halves - 1) < 0.25).all()
    idle = Head(habits, np.random.default_rng(0))
    calm = np.array([idle.tick(0.0, 0.0)[0] for _ in range(TICKS)])
    assert calm[500:].std() < 0.7 * made[:, :3].std()


def test_accents_nod_the_head_and_raise_the_brows() -> None:
    plain, nodding = (Head(Habits(sway=(0, 0, 0)), np.random.default_rng(0)) for _ in range(2))
    difference = [nodding.tick(1.0, float(i % 40 == 0))[0][0] - plain.tick(1.0, 0.0)[0][0] for i in range(2000)]
    assert max(difference) > 0.01
    brows = Brows(Habits(), np.random.default_rng(0))
    quiet, loud = ([brows.tick(float(a and i % 50 == 0)) for i in range(3000)] for a in (False, True))
    assert np.mean(loud) > np.mean(quiet)
    assert Brows(Habits(), np.random.default_rng(0), 0.0).tick(1.0) == 0.0


def test_amounts_switch_everything_off() -> None:
    silence = np.zeros(16000 * 20, np.float32)
    still = whole(silence, 16000, amounts=Amounts(0, 0, 0, 0, 0))
    assert not still.rotation.any()
    assert not still.translation.any()
    eyes = [i for i, name in enumerate(NAMES) if name.startswith(("eye", "brow"))]
    assert np.abs(still.arkit[:, eyes]).max() < 1e-6
    alive = whole(silence, 16000)  # all goes on in silence
    assert blinks(alive.arkit[:, 0], 25.0)["per_minute"] > 3
    assert alive.rotation.std() > 0.003


def test_the_seed_decides() -> None:
    silence = np.zeros(16000 * 5, np.float32)
    a, b, c = (whole(silence, 16000, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.arkit, b.arkit)
    np.testing.assert_array_equal(a.rotation, b.rotation)
    assert np.abs(a.rotation - c.rotation).max() > 1e-3


def test_emotions_yield_to_speech_and_never_open_closed_lips() -> None:
    emotion = np.tile(emotion_vector({"happy": 1.0}), (2, 1))
    made = offsets(emotion, np.array([0.0, 1.0], np.float32), np.full(2, 0.5, np.float32))
    smile, cheek = NAMES.index("mouthSmileLeft"), NAMES.index("cheekSquintLeft")
    assert made[1, smile] == pytest.approx(0.35 * made[0, smile])
    assert made[1, cheek] == pytest.approx(made[0, cheek])
    for name in EMOTIONS:
        face = Face(Habits(), Amounts(), 0)
        curves = np.zeros((60, 11), np.float32)
        curves[:, JAW] = 0.1
        classes = np.zeros((60, 6), np.float32)
        classes[:, 1] = 8.0  # speech
        vector = np.tile(emotion_vector({name: 1.0}, 1.5), (60, 1))
        out = face(curves, classes, np.zeros((60, 86), np.float32), vector)
        assert curves[:, GAP].max() == 0
        assert lip_gap(out[-10:, :52]).max() < 0.05, name
    assert OFFSETS.shape == (8, 52)
    assert OFFSETS.min() >= 0


def test_emotion_vector_scales_to_one() -> None:
    vector = emotion_vector({"happy": 2.0, "sad": 2.0}, 0.5)
    assert vector.sum() == pytest.approx(0.5)
    assert emotion_vector({"fear": 0.3})[EMOTIONS.index("fear")] == pytest.approx(0.3)


def test_habits_are_found_in_a_track() -> None:
    wanted = Habits(blinks_per_minute=30, head_spread=(0.06, 0.02, 0.04), gaze_spread=(0.06, 0.03), brow_level=0.2)
    silence = np.zeros((16000 * 60, 1), np.float32)
    track = whole(silence[:, 0], 16000, habits=wanted, fps=30.0)
    found = fit(track)
    assert found.blinks_per_minute > 22
    usual = Habits()
    # Idle heads move less than half as much, and a minute does not outweigh the defaults: the order must follow.
    assert usual.head_spread[0] < usual.head_spread[1]
    assert found.head_spread[0] > 1.2 * found.head_spread[1]
    assert found.brow_level > usual.brow_level
    short = Motion(track.times[:10], track.arkit[:10], track.rotation[:10], track.translation[:10])
    assert fit(short) == usual
    angles = look_angles(track.arkit)
    assert angles.shape == (len(track.times), 2)


def test_habits_survive_json_and_refuse_nonsense() -> None:
    habits = Habits(blinks_per_minute=9, sway=(0.001, 0.002, 0.003))
    assert Habits.from_json(habits.to_json()) == habits
    for bad in ({"nobody": 1}, {"sway": [1, 2]}, {"fixation": float("nan")}, {"head_time": -1}, {"head_time": "long"}):
        with pytest.raises(FileFormatError):
            Habits.from_json(bad)


def test_to_arkit_stays_in_range() -> None:
    wild = np.random.default_rng(0).uniform(0, 1.5, (100, 11)).astype(np.float32)
    made = to_arkit(wild)
    assert made.min() >= 0
    assert made.max() <= 1
