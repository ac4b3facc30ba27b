"""Forced alignment against sounds whose times are known, and recorded speech in the corpus."""

from __future__ import annotations

import ctypes.util
import gzip
import itertools
import random
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from avatars.errors import BackendError
from avatars.speech import corpus
from avatars.speech.batches import load
from avatars.speech.engines import flite, forced, recorded
from avatars.speech.engines.timing import align
from avatars.speech.engines.utterance import RATE, Segment, Utterance
from avatars.speech.phonemes import BILABIAL, SILENCE
from avatars.speech.replay import FRAMES, SYNTHETIC, make_replay, replay_inputs
from avatars.speech.targets import Manner, labels
from avatars.speech.text import sentence

needs_engines = pytest.mark.skipif(
    ctypes.util.find_library("espeak-ng") is None or shutil.which("flite") is None,
    reason="apt-get install espeak-ng flite",
)


def test_a_warp_finds_what_was_stretched() -> None:
    rng = np.random.default_rng(0)
    told = np.cumsum(rng.standard_normal((120, 8)), 0)
    told = ((told - told.mean(0)) / told.std(0)).astype(np.float32)
    true = np.sort(np.concatenate([np.arange(120), rng.integers(0, 120, 80)]))  # held here and there
    heard = told[true] + 0.05 * rng.standard_normal((200, 8)).astype(np.float32)
    path, cost = forced.warp(told, heard)
    assert path[0] == 0
    assert path[-1] == 119
    assert np.abs(path - true).mean() < 1.0
    assert cost < forced.warp(told, heard[::-1].copy())[1]


def test_the_best_path_is_the_best_of_all() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        scores, skips = rng.standard_normal((7, 5)), np.array([False, False, True, False, True])

        def allowed(path: tuple[int, ...], skips: np.ndarray = skips) -> bool:
            steps = itertools.pairwise(path)
            going = all(b - a in (0, 1) or (b - a == 2 and skips[b]) for a, b in steps)
            return path[0] <= 1 and path[-1] >= 3 and going

        paths = [p for p in itertools.product(range(5), repeat=7) if allowed(p)]
        best = max(paths, key=lambda p: scores[np.arange(7), p].sum())
        found, mean = forced.viterbi(scores, skips)
        assert tuple(found) == best
        assert mean == pytest.approx(scores[np.arange(7), best].mean())


def test_refining_repairs_a_bad_guess() -> None:
    rng = np.random.default_rng(0)
    centres = {name: rng.standard_normal(27) * 2 for name in ("a", "b", "c", "d", forced.PAUSE)}
    lines, guesses, truths = [], [], []
    for _ in range(25):
        names = list(rng.permutation(["a", "b", "c", "d"]))
        lengths = rng.integers(6, 20, 6)
        owner = np.repeat([-1, 0, 1, 2, 3, -1], lengths)
        rows = np.stack([centres[forced.PAUSE if p < 0 else names[p]] for p in owner])
        heard = (rows + 0.7 * rng.standard_normal(rows.shape)).astype(np.float32)
        begins = np.array([True, False, True, False])
        lines.append(forced.Line(heard, names, [1, 2, 3, 4], begins))
        guesses.append(np.roll(owner, 4) if rng.random() < 0.5 else np.roll(owner, -4))
        truths.append(owner)
    before = np.mean([(g == t).mean() for g, t in zip(guesses, truths, strict=True)])
    after = np.mean([(o == t).mean() for (o, _), t in zip(forced.refine(lines, guesses), truths, strict=True)])
    assert before < 0.8
    assert after > 0.97


@needs_engines
def test_times_of_a_known_voice_are_found_and_wrong_texts_refused() -> None:
    rng = random.Random(1)
    made = [flite.synthesize(sentence("en", rng), "slt") for _ in range(36)]
    known = [u for u in made if u is not None]
    texts = [u.text for u in known]
    wrong = (3, 9, 15, 21)
    for i in wrong:
        texts[i] = known[i + 1].text
    found = align([(u.pcm, text) for u, text in zip(known, texts, strict=True)], "en", "gmw/en-US", "f2")
    assert all(found[i] is None for i in wrong)
    pairs = [(u, f) for u, f in zip(known, found, strict=True) if f is not None]
    assert len(pairs) >= 0.75 * len(known)
    away, alike = [], []
    for u, f in pairs:
        assert f[0].start == 0
        assert f[-1].end == pytest.approx(len(u.pcm) / RATE, abs=1e-6)
        assert all(a.end == pytest.approx(b.start) for a, b in itertools.pairwise(f))
        a, b = ([(s.start + s.end) / 2 for s in x if s.viseme == BILABIAL] for x in (u.segments, f))
        if len(a) == len(b):
            away += list(np.abs(np.subtract(a, b)))
        frames = len(u.pcm) * 50 // RATE
        alike.append(float((labels(u.segments, frames) == labels(f, frames)).mean()))
    assert len(away) > 40
    assert np.median(away) < 0.015  # 4 ms measured, against flite's own times
    assert np.percentile(away, 90) < 0.05
    assert np.mean(alike) > 0.75  # 0.82: the two engines do not always say the same sounds


def test_missing_recordings_name_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "SHARE", tmp_path)
    with pytest.raises(BackendError, match="asterisk-core-sounds-it asterisk-core-sounds-it-g722"):
        recorded.prompts("Carlo")


def _prompt(path: Path, hertz: float, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(seconds * RATE)) / RATE
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((8000 * np.sin(2 * np.pi * hertz * time)).astype("<i2").tobytes())


def test_transcripts_keep_what_is_spoken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "SHARE", tmp_path)
    folder = tmp_path / "asterisk" / "sounds" / "it_IT_m_Carlo"
    for name in ("b", "beep", "digits/uno", "lost", "key"):
        _prompt(folder / f"{name}.g722", 100, 0.1)
    text = tmp_path / "doc" / "asterisk-core-sounds-it" / "core-sounds-it.txt.gz"
    text.parent.mkdir(parents=True)
    lines = ["; comment", "", "digits/uno: uno", "b: Attivato.", "beep: [un bip]", "lost: cos? come", "key: premi #",
             "nowhere: senza suono"]  # fmt: skip
    text.write_bytes(gzip.compress(("\ufeff" + "\n".join(lines)).encode()))
    assert recorded.prompts("Carlo") == [(folder / "b.g722", "Attivato."), (folder / "digits/uno.g722", "uno")]


def _known(tmp_path: Path) -> list[recorded.Prompt]:
    out = []
    for i, seconds in enumerate((0.9, 1.3, 1.7)):
        path = tmp_path / f"{i}.wav"
        _prompt(path, 200 + 100 * i, seconds)
        segments = [Segment(0.0, 0.2, SILENCE, ""), Segment(0.2, seconds, 9, "a")]
        out.append(recorded.Prompt(path, f"text {i}", "en", segments))
    return out


def test_another_speed_keeps_sound_and_times_together(tmp_path: Path) -> None:
    known = _known(tmp_path)
    assert [recorded.Prompt.from_json(p.to_json()) for p in known] == known
    speeds = set()
    for seed in range(12):
        u = recorded.speak(random.Random(seed), "Allison", known)
        seconds = sum(known[int(word)].segments[-1].end for word in u.text.split() if word.isdigit())
        assert seconds >= recorded.LEAST
        speed = seconds / (len(u.pcm) / RATE)
        speeds.add(round(speed, 2))
        assert 0.8 < speed < 1.25
        assert u.segments[-1].end == pytest.approx(len(u.pcm) / RATE, abs=2e-4)
        # Each prompt is one tone, a speed higher than it was recorded.
        part = u.pcm[int(u.segments[1].start * RATE) :][: 12 * RATE // 100]
        found = np.fft.rfft(part * np.hanning(len(part)), RATE)
        first = 200 + 100 * int(u.text.split()[1])
        assert np.abs(found).argmax() == pytest.approx(first * speed, abs=3)
    assert len(speeds) > 4


def test_recorded_speech_in_shards_depends_on_seed_and_number_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "SHARD_SECONDS", 12.0)
    known = {"Allison": _known(tmp_path), "Carlo": _known(tmp_path)}
    only = {"recorded": 1.0}
    first, again, other = (corpus.utterances(s, 3, only, known) for s in (0, 0, 1))
    assert [u.pcm.tobytes() for u in first] == [u.pcm.tobytes() for u in again]
    assert [u.pcm.tobytes() for u in first] != [u.pcm.tobytes() for u in other]
    assert {u.engine for u in first} == {"recorded"}


def test_nothing_recorded_is_kept_for_replay(tmp_path: Path) -> None:
    time = np.arange(5 * RATE) / RATE
    batch = [
        Utterance(np.sin(2 * np.pi * hertz * time).astype(np.float32) * 0.3, [Segment(0.0, 5.0, 9, "a")], engine, "x",
                  "en", "")
        for engine, hertz in (("recorded", 150.0), ("flite", 250.0))
    ]  # fmt: skip
    shard = tmp_path / "train-00000.tar"
    corpus.write_shard(shard, batch, [Manner()] * 2)
    rng = np.random.default_rng
    assert sum(bool(e.language) for e in load([shard], rng(0))) == 2
    assert sum(bool(e.language) for e in load([shard], rng(0), engines=SYNTHETIC)) == 1
    make_replay(shard, tmp_path / "replay.safetensors")
    assert replay_inputs(tmp_path / "replay.safetensors").shape == (1, FRAMES, 86)
