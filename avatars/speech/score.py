"""Scores on corpus test sets, where the sounds are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avatars.errors import InputError

from . import corpus, metrics
from .articulation import ARTICULATORS, GAP, JAW, PUCKER, ROLL_LOWER, from_arkit
from .condition import DEFAULT_LOOK_AHEAD, condition
from .engines.utterance import RATE
from .features import FrontEnd
from .phonemes import SILENCE
from .runtime import Runtime
from .steady import steadied
from .targets import labels
from .vocal import CLASSES


def run(runtime: Runtime, pcm: np.ndarray, look_ahead: int = DEFAULT_LOOK_AHEAD) -> tuple[np.ndarray, np.ndarray]:
    """(viseme logits [T, 14], articulators [T, 11]) of a whole sound, look-ahead taken off, from a fresh start.

    With the longest look-ahead articulators are steadied, as a stream does it.
    """
    runtime.reset()
    ending = np.zeros((look_ahead + 1) * RATE // 50, np.float32)
    inputs = FrontEnd()(np.concatenate([pcm, ending]))
    visemes, curves, _ = runtime(inputs)
    curves = steadied(visemes, curves, look_ahead)
    frames = len(pcm) * 50 // RATE
    return visemes[look_ahead : look_ahead + frames], curves[look_ahead : look_ahead + frames]


def vocal_classes(pcm: np.ndarray, runtime: Runtime | None = None) -> np.ndarray:
    """[T] index into `vocal.CLASSES` for each 20 ms frame of [samples] at 16 kHz."""
    runtime = runtime or Runtime()
    runtime.reset()
    runtime.set_condition(condition())
    ending = np.zeros((DEFAULT_LOOK_AHEAD + 1) * RATE // 50, np.float32)
    classes = runtime(FrontEnd()(np.concatenate([pcm, ending])))[2].argmax(1)
    return classes[DEFAULT_LOOK_AHEAD : DEFAULT_LOOK_AHEAD + len(pcm) * 50 // RATE]


def spoken_seconds(pcm: np.ndarray, runtime: Runtime | None = None) -> float:
    """Seconds of [samples] at 16 kHz of speech or song: whether a clip is worth personalising with."""
    voices = [CLASSES.index("speech"), CLASSES.index("sing")]
    return float(np.isin(vocal_classes(pcm, runtime), voices).sum()) / 50


def score(shard: Path, runtime: Runtime, look_ahead: int = DEFAULT_LOOK_AHEAD) -> dict[str, float]:
    """Figures on one test shard: accuracy, correlations, closures and silence; see `metrics` for definitions."""
    runtime.set_condition(condition(look_ahead=look_ahead))
    right = voiced_right = frames = voiced = 0
    counts = np.zeros(4, int)
    made, true, quiet, segments_gap = [], [], [], []
    for utterance, _, motion in corpus.read_shard(shard):
        visemes, curves = run(runtime, utterance.pcm, look_ahead)
        truth = from_arkit(motion.astype(np.float32))
        n = min(len(curves), len(truth))
        label = labels(utterance.segments, n)
        hits = visemes[:n].argmax(1) == label
        right, frames = right + int(hits.sum()), frames + n
        voiced_right, voiced = voiced_right + int(hits[label != SILENCE].sum()), voiced + int((label != SILENCE).sum())
        counts += metrics.closures(curves[:n, GAP], utterance.segments)
        quiet.append(metrics.silence_gap(curves[:n, GAP], utterance.segments))
        segments_gap.append(curves[:n, GAP])
        made.append(curves[:n])
        true.append(truth[:n])
    if not made:
        raise InputError("An empty test set", where=shard)
    a, b = np.concatenate(made), np.concatenate(true)
    still = np.concatenate(quiet)
    offset = metrics.best_offset(a[:, JAW], b[:, JAW])[1]
    return {
        "utterances": len(made),
        "viseme_accuracy": right / frames,
        "viseme_accuracy_speech": voiced_right / max(voiced, 1),
        "jaw_correlation": metrics.correlation(a[:, JAW], b[:, JAW]),
        "gap_correlation": metrics.correlation(a[:, GAP], b[:, GAP]),
        "pucker_correlation": metrics.correlation(a[:, PUCKER], b[:, PUCKER]),
        "contact_correlation": metrics.correlation(a[:, ROLL_LOWER], b[:, ROLL_LOWER]),
        "closure_recall": counts[0] / max(counts[1], 1),
        "false_closure_rate": counts[2] / max(counts[3], 1),
        "closures": int(counts[1]),
        "vowels": int(counts[3]),
        "silence_gap": float(still.mean()) if len(still) else 0.0,
        "offset_ms": 1000 * offset,
        "curve_error": float(np.abs(a - b).mean()),
    }


def score_all(folder: Path, runtime: Runtime, look_ahead: int = DEFAULT_LOOK_AHEAD) -> dict[str, dict[str, float]]:
    """`score` for each test set of a corpus, by name, rounded to four places."""
    shards = sorted(folder.glob("test-*.tar"))
    if not shards:
        raise InputError("No test sets", where=folder, fix="Make the corpus first: avatars speech corpus")
    return {
        path.stem[len("test-") :]: {k: round(float(v), 4) for k, v in score(path, runtime, look_ahead).items()}
        for path in shards
    }


assert len(ARTICULATORS) == 11
