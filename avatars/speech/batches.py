"""Corpus shards to training batches: front end, augmentation, styles. NumPy, deterministic by seed and step."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avatars.errors import InputError

from . import corpus
from .articulation import ARTICULATORS, from_arkit
from .augment import degrade, muted
from .breaths import is_audible, opening, pause, rumble
from .condition import EMOTIONS, LOOK_AHEADS, STYLE, STYLE_MANNER, STYLE_REST, condition, styled
from .engines.utterance import RATE, Utterance
from .features import FLOOR, HOP, MELS, STACK, Analysis, Frames, LevelState, levels
from .inhale import inhaled
from .losses import IGNORED
from .phonemes import SILENCE
from .targets import FPS, Manner, curves, labels
from .vary import vary
from .vocal import CLASSES

FRAME = HOP * STACK
MUTED_SHARE = 0.14
"""Share of crops that hold no voice."""
SUNG_SHARE = 0.03
"""Share of the others that are sung: what tells a held note from a machine's tone is rare in the corpus."""
WARM_UP = 20
"""Frames at the start of a crop that are not scored: the network has not heard enough."""
JOINED_SHARE = 0.5
"""Share of utterances that follow another one after a pause."""
RUMBLE_SHARE = 0.5
"""Share of those with a low noise throughout."""
_AHEAD_SHARES = (0.06, 0.08, 0.55, 0.08, 0.23)
"""How often each look-ahead is trained: live speech has 60 ms, a sound file the longest."""


@dataclass
class Example:
    """One utterance, analysed."""

    mel: np.ndarray
    """[T, 2, 40] float16, log of power."""
    voicing: np.ndarray
    pitch: np.ndarray
    label: np.ndarray
    """[T] int8 viseme."""
    vocal: np.ndarray
    """[T] int8 class."""
    curves: np.ndarray
    """[T, 11] float16 articulators of a usual speaker with this manner."""
    manner: np.ndarray
    """[4] float32."""
    language: str


def analyse(pcm: np.ndarray) -> Frames:
    """Front-end frames of whole 20 ms frames of [samples] at 16 kHz."""
    return Analysis()(pcm)


def _example(frames: Frames, label, vocal, curves, manner, language: str) -> Example:
    n = min(len(frames.mel), len(label), len(curves))
    log = np.log(frames.mel[:n] + FLOOR).astype(np.float16)
    arrays = (frames.voicing[:n], frames.pitch[:n], label[:n].astype(np.int8), vocal[:n].astype(np.int8))
    return Example(log, *arrays, curves[:n].astype(np.float16), manner, language)


def _numbers(manner: Manner) -> np.ndarray:
    return np.array([manner.width, manner.lead, manner.loudness, manner.hold], np.float32)


def labels_of(utterance: Utterance, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(viseme [count], vocal class [count]) of an utterance."""
    label = labels(utterance.segments, count)
    kind = utterance.voice if utterance.engine == "vocal" else "speech"
    vocal = np.where(label == SILENCE, CLASSES.index("quiet"), CLASSES.index(kind))
    if utterance.engine == "vocal":
        for start, end, _, phone in utterance.segments:
            if phone != "pau":
                vocal[int(start * 50) : int(end * 50)] = CLASSES.index(kind)
    return label, vocal


def _shapes(utterance: Utterance, motion: np.ndarray, vocal: np.ndarray) -> np.ndarray:
    """[T, 11] articulators of a shard's [T, 52] coefficients; breaths by themselves part the lips as in speech."""
    out = from_arkit(motion.astype(np.float32))
    if utterance.engine == "vocal" and utterance.voice == "breath":
        n = min(len(out), len(vocal))
        out[:n] = np.maximum(out[:n], (vocal[:n] == CLASSES.index("breath"))[:, None] * inhaled())
    return out


def _joined(
    utterance: Utterance, before: Utterance, manner: Manner, motion: np.ndarray, rng: np.random.Generator
) -> Example:
    """The end of `before`, a pause, and `utterance`, in one manner."""
    pcm = utterance.pcm[: len(utterance.pcm) // FRAME * FRAME]
    level = float(np.sqrt(np.square(pcm).mean())) + 1e-6
    told = before.pcm[: len(before.pcm) // FRAME * FRAME]
    told = told * np.float32(level * 10 ** (rng.uniform(-3, 3) / 20) / (np.sqrt(np.square(told).mean()) + 1e-6))
    quiet, breath = pause(level, rng)
    rows = [curves(before.segments, told, manner), np.zeros((len(quiet) // FRAME, len(ARTICULATORS)), np.float32)]
    rows.append(from_arkit(motion.astype(np.float32)))
    first, count = len(told) // FRAME, len(quiet) // FRAME
    seed = int(rng.integers(1 << 62))
    room = rumble(len(told) + len(quiet) + len(pcm), level, rng) if rng.random() < RUMBLE_SHARE else np.float32(0)
    frames = analyse(degrade(np.concatenate([told, quiet, pcm]) + room, np.random.default_rng(seed)))
    still = np.zeros(count, np.int64)
    parts = [labels_of(before, first), (still, still.copy()), labels_of(utterance, len(pcm) // FRAME)]
    if breath is not None:
        bare = degrade(np.concatenate([told, 0 * quiet, pcm]) + room, np.random.default_rng(seed))
        place = (first + breath[0], first + breath[1])
        if is_audible(frames, analyse(bare), place):
            begins = next((s.start for s in utterance.segments if s.viseme != SILENCE), 0.0)
            onset = first + count + int(begins * FPS)
            rows = [np.concatenate(rows)]
            rows[0] = np.maximum(rows[0], opening(len(rows[0]), place, onset)[:, None] * inhaled())
            parts[1][1][slice(*breath)] = CLASSES.index("breath")
    label, vocal = (np.concatenate([p[k] for p in parts]) for k in (0, 1))
    # Crops are shorter than two utterances: keep the pause within reach.
    near = slice(max(first - int(rng.integers(30, 120)), 0), first + count + 130)
    frames = Frames(frames.mel[near], frames.voicing[near], frames.pitch[near])
    shapes = np.concatenate(rows)[near]
    return _example(frames, label[near], vocal[near], shapes, _numbers(manner), utterance.language)


def load(
    paths: list[Path], rng: np.random.Generator, breaths: bool = False, engines: frozenset[str] | None = None
) -> list[Example]:
    """Examples of these shards, each utterance degraded anew, with soundless ones between them.

    With `breaths`, two utterances in a row become one example half of the time, with a pause between them in which the
    speaker may breathe in with an open mouth. With `engines` the others' utterances are left out.
    """
    out: list[Example] = []
    for path in paths:
        before: Utterance | None = None
        for utterance, manner, motion in corpus.read_shard(path):
            if engines is not None and utterance.engine not in engines:
                continue
            if breaths and before is not None and utterance.engine != "vocal" and rng.random() < JOINED_SHARE:
                out.append(_joined(utterance, before, manner, motion, rng))
            else:
                frames = analyse(degrade(utterance.pcm, rng))
                label, vocal = labels_of(utterance, len(frames.mel))
                shapes = _shapes(utterance, motion, vocal) if breaths else from_arkit(motion.astype(np.float32))
                out.append(_example(frames, label, vocal, shapes, _numbers(manner), utterance.language))
            before = utterance if utterance.engine != "vocal" else before
    if not out:
        raise InputError("No training shards", fix="Make them first: avatars speech corpus")
    still = max(int(len(out) * 0.12), 4)
    for _ in range(still):
        frames = analyse(muted(int(rng.uniform(4, 8) * RATE), rng))
        n = len(frames.mel)
        zero = np.zeros(n, np.int64)
        out.append(_example(frames, zero, zero, np.zeros((n, len(ARTICULATORS))), np.zeros(4, np.float32), ""))
    return out


@dataclass
class Pool:
    """Examples by what they teach."""

    voiced: list[Example] = field(default_factory=list)
    sung: list[Example] = field(default_factory=list)
    """Those of `voiced` in which somebody sings."""
    still: list[Example] = field(default_factory=list)
    """Without a voice."""

    @classmethod
    def of(cls, examples: list[Example]) -> Pool:
        """Sort them."""
        voiced = [e for e in examples if e.language]
        sung = [e for e in voiced if (e.vocal == CLASSES.index("sing")).any()]
        return cls(voiced, sung, [e for e in examples if not e.language])


@dataclass
class Batch:
    """Numbers for one step; see `losses`."""

    inputs: np.ndarray
    condition: np.ndarray
    label: np.ndarray
    vocal: np.ndarray
    target: np.ndarray


def random_style(rng: np.random.Generator, manner: np.ndarray) -> np.ndarray:
    """[16] a random speaker: zero one time in four, else gains that jaw and lips share in part."""
    style = np.zeros(STYLE, np.float32)
    if rng.random() > 0.25:
        style[: STYLE_REST + 1] = np.clip(rng.normal(0, 0.6, STYLE_REST + 1), -1.5, 1.5)
        style[:2] = np.clip(0.4 * style[:2] + rng.normal(0, 0.5), -1.5, 1.5)
    style[STYLE_MANNER] = manner
    return style


def _random_emotion(rng: np.random.Generator) -> np.ndarray:
    emotion = np.zeros(len(EMOTIONS), np.float32)
    if rng.random() < 0.4:
        emotion[rng.integers(0, len(EMOTIONS))] = rng.uniform(0, 1.2)
    return emotion


def batch(pool: Pool, rng: np.random.Generator, size: int, frames: int) -> Batch:
    """`size` crops of `frames` frames, augmented in the mel domain, with the targets that their look-ahead asks for."""
    mel = np.full((size, frames, STACK, MELS), FLOOR, np.float32)
    voicing, pitch = np.zeros((2, size, frames), np.float32)
    label = np.full((size, frames), SILENCE, np.int64)
    vocal = np.zeros((size, frames), np.int64)
    base = np.zeros((size, frames, len(ARTICULATORS)), np.float32)
    style, emotion, conditions = [], [], []
    ahead = rng.choice(len(LOOK_AHEADS), size, p=_AHEAD_SHARES)
    for i in range(size):
        sing = pool.sung and rng.random() < SUNG_SHARE
        chosen = pool.still if rng.random() < MUTED_SHARE else pool.sung if sing else pool.voiced
        example = chosen[int(rng.integers(len(chosen)))]
        source = int(rng.integers(0, max(len(example.label) - frames, 0) + 1))
        n = min(len(example.label) - source, frames)
        place = int(rng.integers(0, frames - n + 1))
        delay = LOOK_AHEADS[ahead[i]]
        heard, here = slice(place, place + n), slice(source, source + n)
        mel[i, heard] = vary(np.exp(example.mel[here].astype(np.float32)), rng)
        voicing[i, heard], pitch[i, heard] = example.voicing[here], example.pitch[here]
        m = min(n, frames - place - delay)  # the answer for frame t is given at t + delay
        if m > 0:
            told, known = slice(place + delay, place + delay + m), slice(source, source + m)
            label[i, told], vocal[i, told], base[i, told] = (
                example.label[known],
                example.vocal[known],
                example.curves[known],
            )
        if source:
            label[i, :delay] = vocal[i, :delay] = IGNORED
        style.append(random_style(rng, example.manner))
        emotion.append(_random_emotion(rng))
        language = example.language if rng.random() < 0.5 else None
        conditions.append(condition(style[-1], emotion[-1], language, delay))
    label[:, :WARM_UP] = vocal[:, :WARM_UP] = IGNORED
    state = LevelState.start((size,))
    state.level[:] = rng.uniform(-50, -5, size)
    state.noise[:] = state.level - rng.uniform(5, 60, size)
    inputs = levels(mel, voicing, pitch, state)
    target = styled(base, np.stack(style), np.stack(emotion))
    return Batch(inputs, np.stack(conditions), label, vocal, target)
