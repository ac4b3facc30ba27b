"""Mouth curves from phoneme times."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.heads.arkit import NAMES
from avatars.speech.articulation import GAP, JAW, PUCKER, from_arkit, jaw, lip_gap, possible_gap, to_arkit
from avatars.speech.engines.utterance import Segment
from avatars.speech.metrics import closures
from avatars.speech.phonemes import INDEX
from avatars.speech.targets import Manner, curves, labels


def row(*sounds: tuple[str, float]) -> list[Segment]:
    out, at = [], 0.0
    for name, length in sounds:
        out.append(Segment(at, at + length, INDEX[name], name))
        at += length
    return out


SPOKEN = row(("sil", 0.3), ("aa", 0.12), ("PP", 0.08), ("ih", 0.1), ("SS", 0.1), ("ou", 0.15), ("FF", 0.09), ("E", 0.1),
             ("PP", 0.05), ("oh", 0.12), ("sil", 0.5))  # fmt: skip
SOUND = np.random.default_rng(0).normal(0, 0.1, int(SPOKEN[-1].end * 16000)).astype(np.float32)


def test_bilabials_close_for_forty_milliseconds_and_vowels_stay_open() -> None:
    gap = curves(SPOKEN, SOUND)[:, GAP]
    time = (np.arange(len(gap)) + 0.5) / 50
    for s in SPOKEN:
        if s.phone == "PP":
            assert (gap[np.abs(time - (s.start + s.end) / 2) < 0.02] == 0).all()
    hit, total, false, vowels = closures(gap, SPOKEN)
    assert (hit, total, false) == (2, 2, 0)
    assert vowels == 5


def test_lips_narrow_for_lip_sounds_alone() -> None:
    """Filmed speakers part their lips in s, t and k as far as in e, with the teeth together."""

    def middle(name: str) -> np.ndarray:
        segments = row(("E", 0.12), (name, 0.12), ("E", 0.12))
        return curves(segments, np.full(5760, 0.1, np.float32))[9]

    vowel = middle("E")
    for name in ("SS", "DD", "kk", "ih", "TH"):
        assert middle(name)[GAP] > 0.6 * vowel[GAP], name
    for name in ("PP", "FF", "ou"):
        assert middle(name)[GAP] < 0.5 * vowel[GAP], name
    assert middle("SS")[JAW] < 0.6 * vowel[JAW]


def test_pauses_close_within_150_ms() -> None:
    gap = curves(SPOKEN, SOUND)[:, GAP]
    end = int((SPOKEN[-1].start + 0.15) * 50)
    assert (gap[end:] < 0.01).all()
    assert (gap[: int(0.2 * 50)] == 0).all()


def test_lips_round_before_the_sound() -> None:
    usual = curves(SPOKEN, SOUND)[:, PUCKER]
    early = curves(SPOKEN, SOUND, Manner(lead=1.5))[:, PUCKER]
    begin = next(s.start for s in SPOKEN if s.phone == "ou")
    before = slice(int((begin - 0.12) * 50), int((begin - 0.06) * 50))
    assert usual[int(begin * 50) - 1] > 0.1
    assert early[before].mean() > usual[before].mean()


def test_louder_vowels_open_wider() -> None:
    segments = row(("aa", 0.15), ("DD", 0.1), ("aa", 0.15), ("DD", 0.1), ("aa", 0.15))
    sound = np.random.default_rng(0).normal(0, 0.05, 10400).astype(np.float32)
    sound[4000:6400] *= 3
    opened = curves(segments, sound)[:, JAW]
    assert opened[16] > 1.15 * opened[3]


def test_articulators_survive_arkit() -> None:
    made = curves(SPOKEN, SOUND)
    arkit = to_arkit(made)
    assert arkit.shape == (len(made), 52)
    assert arkit.min() >= 0
    assert arkit.max() <= 1
    np.testing.assert_allclose(from_arkit(arkit), made, atol=1e-6)
    np.testing.assert_allclose(lip_gap(arkit), made[:, GAP], atol=1e-6)
    np.testing.assert_allclose(jaw(arkit), arkit[:, NAMES.index("jawOpen")])


def test_gap_is_never_wider_than_the_jaw_and_lips_allow() -> None:
    made = curves(SPOKEN, SOUND)
    assert (made[:, GAP] <= possible_gap(made) + 1e-6).all()


def test_labels_follow_segments() -> None:
    label = labels(SPOKEN, 200)
    assert label[20] == INDEX["aa"]
    assert label[199] == INDEX["sil"]


def test_no_sounds_no_motion() -> None:
    assert not curves([], SOUND).any()
    assert curves(SPOKEN, SOUND[:100]).shape == (0, 11)


@pytest.mark.parametrize("name", ["mouthClose", "jawOpen"])
def test_closing_needs_both_jaw_and_lips(name: str) -> None:
    made = np.zeros((1, 11), np.float32)
    made[:, JAW] = 0.5
    assert to_arkit(made)[0, NAMES.index(name)] == pytest.approx(0.3)
