"""The committed network: what it is, and what it reaches on speech that it never met."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from avatars.errors import FileFormatError
from avatars.files import save_tensors, sha256
from avatars.speech import corpus, vocal
from avatars.speech.articulation import lip_gap
from avatars.speech.engines import festival
from avatars.speech.evaluate import whole
from avatars.speech.habits import Amounts
from avatars.speech.replay import PATH, replay_inputs
from avatars.speech.runtime import WEIGHTS, Runtime, default_weights, provenance
from avatars.speech.score import score, spoken_seconds
from avatars.speech.targets import Manner

needs_festival = pytest.mark.skipif(
    shutil.which("festival") is None or not festival.installed("kal_diphone"), reason="apt-get install festival"
)


def test_weights_are_small_and_say_where_they_come_from() -> None:
    assert WEIGHTS.stat().st_size + PATH.stat().st_size < 4_000_000
    facts = provenance()
    assert facts["sha256"] == sha256(WEIGHTS)
    assert "avatars speech train CORPUS" in facts["command"]
    assert facts["corpus_command"].startswith("avatars speech corpus")
    assert facts["parameters"] == sum(v.size for v in default_weights().values())
    assert 350_000 < facts["parameters"] < 500_000
    assert set(facts["scores"]) == set(corpus.TESTS)
    assert replay_inputs().shape[1:] == (150, 86)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError):
        default_weights(tmp_path / "none.safetensors")
    save_tensors(tmp_path / "other.safetensors", {"head.weight": np.zeros((3, 3), np.float32)})
    with pytest.raises(FileFormatError, match="another version"):
        default_weights(tmp_path / "other.safetensors")


@needs_festival
def test_a_voice_never_trained_on(tmp_path: Path) -> None:
    made = corpus.test_utterances("festival_kal", 1, 25)  # another seed than the published score's: other sentences
    corpus.write_shard(tmp_path / "test-x.tar", made, [Manner()] * len(made))
    figures = score(tmp_path / "test-x.tar", Runtime())
    assert figures["jaw_correlation"] >= 0.85
    assert figures["closure_recall"] >= 0.95
    assert figures["false_closure_rate"] <= 0.15
    assert figures["viseme_accuracy"] >= 0.62
    assert abs(figures["offset_ms"]) <= 20
    assert figures["silence_gap"] <= 0.03


def _mean_gap(pcm: np.ndarray) -> np.ndarray:
    motion = whole(pcm.astype(np.float32), 16000, fps=50.0, amounts=Amounts(0, 0, 0, 0, 0))
    return lip_gap(motion.arkit)


@pytest.mark.parametrize("decibels", [-12, -18, -20, -35])  # speech has about -18
def test_hums_leave_the_mouth_shut(decibels: float) -> None:
    rng = np.random.default_rng(11)
    time = np.arange(4 * 16000) / 16000
    for _ in range(14):
        pitch, count = rng.uniform(60, 400), int(rng.integers(1, 13))
        parts = [
            rng.uniform(0, 1) * np.sin(2 * np.pi * pitch * k * time + rng.uniform(0, 2 * np.pi))
            for k in range(1, count + 1)
            if k * pitch < 7500
        ]
        hum = np.sum(parts, 0)
        hum *= 10 ** (decibels / 20) / np.sqrt(np.square(hum).mean())
        gap = _mean_gap(hum)
        assert gap.mean() <= 0.1, f"{pitch:.0f} Hz, {len(parts)} partials"
        assert gap[25:].mean() <= 0.05, f"{pitch:.0f} Hz, {len(parts)} partials"
        assert gap[50:-3].max() <= 0.1, f"{pitch:.0f} Hz, {len(parts)} partials"


def test_hums_as_loud_as_the_speech_before_them_leave_the_mouth_shut() -> None:
    spoken = vocal.sing(np.random.default_rng(101)).pcm
    level = np.sqrt(np.square(spoken).mean())
    time = np.arange(3 * 16000) / 16000
    for pitch in (73.0, 120.0, 211.0, 340.0):
        hum = np.sum([np.sin(2 * np.pi * pitch * k * time + k * k) / k for k in range(1, 12)], 0)
        gap = _mean_gap(np.concatenate([spoken, hum * level / np.sqrt(np.square(hum).mean())]))
        begins = len(spoken) * 50 // 16000
        assert gap[:begins].max() > 0.25
        assert gap[begins + 30 : -3].max() <= 0.1, f"{pitch:.0f} Hz"


def test_singing_opens_the_mouth() -> None:
    sung = []
    for seed in range(14):
        u = vocal.sing(np.random.default_rng(100 + seed))
        gap = _mean_gap(u.pcm)
        notes = [s for s in u.segments if s.phone == "aa" and s.end - s.start > 0.3]
        sung += [gap[int(s.start * 50) + 5 : int(s.end * 50)].mean() for s in notes]
    assert len(sung) >= 4
    assert min(sung) > 0.25
    assert np.mean(sung) > 0.4


@needs_festival
def test_the_mouth_closes_when_speech_ends() -> None:
    for u in corpus.test_utterances("festival_kal", 2, 4):
        assert spoken_seconds(u.pcm) > 0.5 * len(u.pcm) / 16000  # pauses around the sentence are a third of it
        assert spoken_seconds(np.zeros(32000, np.float32)) < 0.1
        end = max(s.end for s in u.segments if s.viseme != 0)
        pcm = np.concatenate([u.pcm[: int(end * 16000)], np.zeros(16000, np.float32)])
        motion = whole(pcm, 16000, fps=50.0, amounts=Amounts(0, 0, 0, 0, 0))
        late = lip_gap(motion.arkit)[motion.times > end + 0.15]
        assert late.mean() <= 0.03
        assert late.max() <= 0.1
