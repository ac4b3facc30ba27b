"""Personalisation of a simulated subject, and the style file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatars.data import Motion
from avatars.errors import FileFormatError, InputError
from avatars.files import save_tensors
from avatars.motion.voice import taken
from avatars.speech import metrics, personal
from avatars.speech.adapt import Learner, learn, lesson_loss, task
from avatars.speech.aligned import align, estimate_offset
from avatars.speech.articulation import GAP, JAW, from_arkit, to_arkit
from avatars.speech.condition import condition
from avatars.speech.evaluate import evaluate_clip, whole
from avatars.speech.personal import MOST_FALSE, Scores, is_better, personalize, predict, track_closures
from avatars.speech.report import page
from avatars.speech.resample import Resampler
from avatars.speech.runtime import Runtime, default_weights
from avatars.speech.score import run
from avatars.speech.stream import Stream
from avatars.speech.style import Style
from avatars.speech.tracked import load_motion, save_motion
from avatars.speech.vocal import sing
from avatars.synthetic.performance import _mouth as mouth
from avatars.synthetic.sounds import babble
from avatars.synthetic.voice import RATE as VOICE_RATE
from avatars.synthetic.voice import speak

LATE = 0.08
"""s by which the simulated picture comes late."""


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    rng = np.random.default_rng(7)
    return np.concatenate([sing(rng).pcm for _ in range(2)])[: 16000 * 7]


@pytest.fixture(scope="module")
def subject(sound: np.ndarray) -> Motion:
    """A mumbler with strong rounding, tracked at 25 fps with noise, 80 ms late."""
    torch.set_num_threads(1)
    runtime = Runtime()
    runtime.set_condition(condition())
    _, usual = run(runtime, sound)
    curves = usual.copy()
    curves[:, JAW] *= 0.6
    curves[:, GAP] *= 0.7
    curves[:, 3] = np.clip(1.3 * curves[:, 3], 0, 1)
    arkit = to_arkit(curves)
    times = np.arange(int(len(sound) / 16000 * 25)) / 25
    index = np.clip(((times - LATE) * 50).astype(int), 0, len(arkit) - 1)
    noise = np.random.default_rng(0).normal(0, 0.004, (len(times), 52))
    made = np.clip(arkit[index] + noise, 0, 1).astype(np.float32)
    still = np.zeros((len(times), 3), np.float32)
    return Motion(times, made, still, still)


def test_the_offset_is_found(sound: np.ndarray, subject: Motion) -> None:
    offset, correlation, sureness = estimate_offset(Runtime(), sound, subject)
    assert offset == pytest.approx(LATE, abs=0.02)  # tracked frames are 40 ms apart, network frames 20
    assert correlation > 0.5
    assert sureness > 3
    clip = align(Runtime(), sound, subject)
    assert clip.offset == pytest.approx(offset)


def made_up(seconds: int, late: float, seed: int) -> tuple[np.ndarray, Motion]:
    """(sound, mouth `late` s after it) of the synthetic person, whose mouth and voice know nothing of the network."""
    rng = np.random.default_rng(seed)
    spoken = babble(seconds, rng)
    pcm = Resampler(VOICE_RATE)(speak(spoken, seconds, rng)[None], last=True)[0]
    times = np.arange(seconds * 25) / 25
    still = np.zeros((len(times), 3), np.float32)
    return pcm, Motion(times, mouth(spoken, times - late).astype(np.float32), still, still)


@pytest.mark.parametrize("late", [0.0, 0.12, -0.1])
def test_the_offset_of_a_made_up_person_is_found(late: float) -> None:
    """The network leads or lags by no more than a frame of film."""
    pcm, shown = made_up(20, late, 4)
    clip = align(Runtime(), pcm, shown)
    assert clip.offset == pytest.approx(late, abs=0.025)
    made = predict(default_weights(), Style(), clip)
    assert metrics.best_offset(clip.curves[clip.known, GAP], made[clip.known, GAP])[1] == pytest.approx(0, abs=0.04)


@pytest.mark.parametrize("rungs", [("affine",), pytest.param(personal.RUNGS, marks=pytest.mark.slow)])
def test_personalisation_helps_on_held_out_seconds(
    sound: np.ndarray, subject: Motion, tmp_path: Path, rungs: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(personal, "RUNGS", rungs)
    style = personalize(sound, subject)
    facts = style.facts
    assert facts["accepted"][0] == "affine"
    assert facts["personal"]["error"] < 0.6 * facts["base"]["error"]
    assert facts["personal"]["closure_recall"] >= facts["base"]["closure_recall"]
    assert style.gain[JAW] < 0.85
    style.save(tmp_path / "style.safetensors")
    again = Style.load(tmp_path / "style.safetensors")
    np.testing.assert_array_equal(again.gain, style.gain)
    assert again.facts == facts
    assert again.habits == style.habits
    usual, own = whole(sound[:32000], 16000), whole(sound[:32000], 16000, style=again)
    assert own.arkit[:, 17].mean() < 0.9 * usual.arkit[:, 17].mean()


def test_another_voice_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A film with somebody else's speech under it: what the lips do has nothing to do with what is heard."""
    said: list[str] = []
    monkeypatch.setattr(personal, "learn", lambda *args, **kwargs: pytest.fail("it tried to learn"))
    style = personalize(made_up(20, 0.0, 5)[0], made_up(20, 0.0, 4)[1], report=said.append)
    assert not style.facts["together"]
    assert style.facts["accepted"] == []
    assert style.facts["tried"] == {}
    assert style.facts["personal"] == style.facts["base"]
    assert said == ["the lips do not follow the sound, which teaches nothing then"]
    assert "do not follow the sound" in taken(style)


@pytest.mark.slow
def test_half_a_minute_teaches_a_made_up_persons_closures() -> None:
    torch.set_num_threads(1)
    facts = personalize(*made_up(30, 0.0, 5)).facts
    before, after = facts["base"], facts["personal"]
    assert "low_rank" in facts["accepted"]
    assert after["error"] < 0.75 * before["error"]
    assert after["lip_gap_correlation"] > before["lip_gap_correlation"] + 0.1
    assert after["closure_recall"] >= before["closure_recall"]
    assert after["false_closure_rate"] <= max(before["false_closure_rate"], MOST_FALSE)


def test_a_rung_that_loses_closures_is_left(
    sound: np.ndarray, subject: Motion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(rung, weights, style, lesson, replay, seed=0):
        return Style(bias=np.full(11, 0.3, np.float32), gain=np.full(11, 2.0, np.float32))

    monkeypatch.setattr(personal, "learn", spoil)
    style = personalize(sound, subject)
    assert style.facts["accepted"] == []
    assert not style.vector.any()
    assert style.facts["personal"] == style.facts["base"]


def test_a_rung_after_one_that_was_left_still_has_its_chance(
    sound: np.ndarray, subject: Motion, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = np.ones(11, np.float32)
    truth[JAW], truth[GAP], truth[3] = 0.6, 0.7, 1.3

    def teach(rung, weights, style, lesson, replay, seed=0):
        assert style.gain[JAW] > 0.8, "built on a rung that was left"
        return Style(gain=truth if rung == "vector" else np.full(11, 2.0, np.float32))

    monkeypatch.setattr(personal, "learn", teach)
    monkeypatch.setattr(personal, "RUNGS", ("affine", "vector"))
    style = personalize(sound, subject)
    assert style.facts["accepted"] == ["vector"]
    assert list(style.facts["tried"]) == ["affine", "vector"]
    np.testing.assert_array_equal(style.gain, truth)


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({}, True),
        ({"error": 0.0995}, False),
        ({"lip_gap_correlation": 0.59}, False),
        ({"closure_recall": 0.95, "false_closure_rate": 0.14}, True),  # nine more found, four more false
        ({"closure_recall": 0.85, "false_closure_rate": 0.12}, False),  # no more found, two more false
        ({"closure_recall": 0.84, "false_closure_rate": 0.05}, True),
        ({"closure_recall": 0.80, "false_closure_rate": 0.06}, False),
        ({"closure_recall": 1.0, "false_closure_rate": 0.16}, False),  # past the bound
    ],
)
def test_rungs_are_taken_for_found_closures_less_false_ones(change: dict[str, float], taken: bool) -> None:
    before = {"error": 0.1, "lip_gap_correlation": 0.6, "closure_recall": 0.86, "false_closure_rate": 0.1}
    after = Scores(**(before | {"error": 0.09} | change))
    assert is_better(after, Scores(**before)) == taken


def test_where_many_openings_close_no_more_may() -> None:
    before = Scores(0.1, 0.6, 0.5, 0.4)
    assert is_better(Scores(0.09, 0.6, 0.5, 0.4), before)
    assert not is_better(Scores(0.09, 0.6, 0.9, 0.41), before)


def test_lessons_teach_lips_to_meet_and_to_part(sound: np.ndarray, subject: Motion) -> None:
    """A mouth that is always half open costs less if it meets where lips are seen to, and if it parts where they are;
    what weighs the one is as much as what weighs the other, however rare closures are."""
    clip = align(Runtime(), sound, subject)
    lesson = task(clip, clip.known)
    wide = float(np.percentile(clip.curves[clip.known, GAP], 95))
    assert lesson.wide == pytest.approx(wide)
    seen, moved = lesson.target[:, GAP], torch.zeros(11)
    moved[GAP] = 1
    even = replace(lesson, moving=torch.zeros(11))  # the terms of closures alone
    half = lesson.target * (1 - moved) + 0.25 * wide * moved
    met, parted = (seen < 0.15 * wide), (seen > 0.4 * wide)
    for where, goal in ((met, seen.clamp_min(0.1 * wide)), (parted, torch.full_like(seen, 0.4 * wide))):
        assert where.sum() > 10
        better = torch.where((moved * where[:, None]) > 0, goal[:, None], half)
        gain = lesson_loss(half, even) - lesson_loss(better, even)
        assert float(gain) == pytest.approx(3 * float((goal[where] / wide - 0.25).abs().mean()), abs=1e-4)
        assert lesson_loss(better, even) < lesson_loss(half, even)


def test_low_rank_additions_are_the_same_in_both_runtimes(sound: np.ndarray, subject: Motion) -> None:
    torch.set_num_threads(1)
    clip = align(Runtime(), sound[:40000], subject)
    lesson = task(clip, clip.known)
    replay = torch.zeros(2, 60, 86)
    learner = Learner(default_weights(), Style())
    learner.add_low_rank(torch.Generator().manual_seed(0))
    for name, parameter in learner.named_parameters():
        if name.endswith(".up"):
            torch.nn.init.normal_(parameter, std=0.02)
    with torch.no_grad():
        wanted = learner.shape(learner.raw(lesson.inputs)).numpy()
    style = learner.style(Style())
    np.testing.assert_allclose(predict(default_weights(), style, clip), wanted, atol=2e-5)
    runtime = Runtime(style.apply(None))
    stream = Stream(style=style)
    assert stream.latency_ms <= 100
    assert len(style.low_rank) == 18
    assert runtime.channels == 128
    for rung in ("vector", "low_rank"):
        taught = learn(rung, default_weights(), Style(), lesson, replay)
        assert taught.vector.any() == (rung == "vector")
        assert bool(taught.low_rank) == (rung == "low_rank")


def test_style_shapes_agree_with_torch() -> None:
    rng = np.random.default_rng(0)
    style = Style(gain=rng.uniform(0.5, 1.5, 11).astype(np.float32), bias=rng.uniform(-0.1, 0.2, 11).astype(np.float32))
    curves = rng.uniform(0, 1, (50, 11)).astype(np.float32)
    curves[:10, GAP] = 0
    learner = Learner(default_weights(), style)
    with torch.no_grad():
        np.testing.assert_allclose(learner.shape(torch.from_numpy(curves)).numpy(), style.shape(curves), atol=1e-6)
    assert style.shape(curves)[:10, GAP].max() == 0


def test_hostile_styles_are_refused() -> None:
    tensors, facts = Style().tensors(), Style().to_json()
    assert Style.from_parts(tensors, facts).to_json() == facts
    for change in ({"kind": "x"}, {"version": 99}, {"version": "1"}, {"habits": {"nobody": 1}}):
        with pytest.raises(FileFormatError):
            Style.from_parts(tensors, {**facts, **change})
    for name, value in (
        ("style.gain", np.ones(3)),
        ("style.bias", np.full(11, np.nan)),
        ("style.low_rank.a.up", np.ones(2)),
    ):
        with pytest.raises(FileFormatError):
            Style.from_parts({**tensors, name: value}, facts)
    wrong = Style(low_rank={"head.weight.up": np.ones((3, 1)), "head.weight.down": np.ones((1, 3))})
    with pytest.raises(FileFormatError, match="does not fit"):
        wrong.apply(None)


def test_clips_that_do_not_serve_are_refused(sound: np.ndarray, subject: Motion) -> None:
    with pytest.raises(InputError, match="silent"):
        personalize(np.zeros(64000, np.float32), subject)
    with pytest.raises(InputError, match="overlap"):
        personalize(sound[:8000], subject)
    with pytest.raises(InputError, match="overlap"):
        personalize(np.zeros(0, np.float32), subject)


def test_tracked_closures_are_counted() -> None:
    seen = np.full(200, 0.5)
    made = np.full(200, 0.4)
    for at in (40, 90, 140):
        seen[at : at + 4] = 0
    made[41] = made[90] = 0
    made[120] = 0
    recall, false = track_closures(made, seen)
    assert recall == pytest.approx(2 / 3)
    assert false == pytest.approx(1 / 4)


def test_evaluation_of_a_clip_and_its_page(sound: np.ndarray, subject: Motion, tmp_path: Path) -> None:
    save_motion(tmp_path / "m.safetensors", subject)
    result = evaluate_clip(sound, load_motion(tmp_path / "m.safetensors"))
    figures = result.figures
    for name in ("lip_gap_correlation", "offset_ms", "closure_recall", "false_closure_rate", "latency_ms", "rtf"):
        assert np.isfinite(figures[name]), name
    assert figures["lip_gap_correlation_personal"] is None
    assert figures["lip_gap_correlation"] > 0.9
    assert figures["lip_gap_correlation_file"] > 0.85  # the subject's lips were made with the usual look-ahead
    assert abs(figures["offset_ms_file"]) <= 20
    assert figures["clip_offset_ms"] == pytest.approx(1000 * LATE, abs=20)
    assert abs(figures["offset_ms"]) <= 20  # what the clip's own offset leaves over
    assert figures["offset_correlation"] > 0.9
    assert figures["lip_gap_correlation_speech"] > 0.85  # tracked gaps are bounded by jaw and lips
    assert figures["silence_gap"] is None or figures["silence_gap"] < 0.03
    assert figures["parity"] <= 1e-5
    assert figures["latency_ms"] <= 100
    text = page("A <clip>", result)
    assert "A &lt;clip&gt;" in text
    assert text.count("<polyline") >= 3
    assert "lip_gap_correlation" in text
    assert "http" not in text
    save_tensors(tmp_path / "x.safetensors", {"times": np.zeros(3)})
    with pytest.raises(FileFormatError, match="lacks"):
        load_motion(tmp_path / "x.safetensors")
    assert from_arkit(subject.arkit).shape[1] == 11
