"""Scores of the whole runtime: against a tracked clip, and by itself (parity, latency, speed, silence)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from avatars.data import Motion
from avatars.heads.arkit import NAMES

from . import metrics
from .aligned import Aligned, align, resampled
from .articulation import GAP, JAW
from .condition import LONGEST_LOOK_AHEAD
from .engines.utterance import RATE
from .loudness import raised
from .personal import predict, scores
from .runtime import Runtime, default_weights
from .score import vocal_classes
from .stream import Stream
from .style import Style
from .vocal import CLASSES

UPPER_FACE = [i for i, name in enumerate(NAMES) if name.startswith(("brow", "cheek", "nose", "eyeWide", "eyeSquint"))]
_QUIET = 15.0
"""dB of `metrics.envelope` (35 below the loudest) that count as a pause."""
_LIDS = [NAMES.index("eyeBlinkLeft"), NAMES.index("eyeBlinkRight")]


@dataclass
class Evaluation:
    """Figures by name, and curves [T] at 50 Hz to draw."""

    figures: dict[str, Any]
    curves: dict[str, np.ndarray] = field(default_factory=dict)


def joined(parts: list[Motion]) -> Motion:
    """Motions in a row."""
    columns = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("times", "arkit", "rotation", "translation")
    )
    return Motion(*columns)


def whole(pcm: np.ndarray, rate: int, **options: Any) -> Motion:
    """The motion of a whole sound; options as for `Stream`."""
    stream = Stream(**options)
    return joined([stream.feed(pcm, rate), stream.flush()])


def parity(pcm: np.ndarray, rate: int = RATE, sizes: tuple[int, ...] = (7, 160, 3200), **options: Any) -> float:
    """Largest difference between feeding a sound whole and in pieces of these sizes and of random ones."""
    reference = whole(pcm, rate, **options)
    worst = 0.0
    rng = np.random.default_rng(0)
    for size in (*sizes, 0):
        stream, parts, at = Stream(**options), [], 0
        while at < len(pcm):
            step = size or int(rng.integers(1, 5000))
            parts.append(stream.feed(pcm[at : at + step], rate))
            at += step
        chunked = joined([*parts, stream.flush()])
        if len(chunked.times) != len(reference.times):
            return float("inf")
        for name in ("arkit", "rotation", "translation"):
            worst = max(worst, float(np.abs(getattr(chunked, name) - getattr(reference, name)).max(initial=0)))
    return worst


def speed(pcm: np.ndarray, **options: Any) -> dict[str, float]:
    """Milliseconds of one 20 ms step (processor time, the clock's median and 99th percentile), and the real-time
    factor of a whole sound."""
    stream = Stream(**options)
    steps, busy = [], []
    for at in range(0, min(len(pcm), 500 * 320) - 319, 320):
        began, worked = time.perf_counter(), time.thread_time()
        stream.feed(pcm[at : at + 320], RATE)
        steps.append(time.perf_counter() - began)
        busy.append(time.thread_time() - worked)
    began = time.perf_counter()
    whole(pcm, RATE, **options)
    elapsed = time.perf_counter() - began
    late, cpu = (np.array(x[len(x) // 10 :]) if x else np.zeros(1) for x in (steps, busy))
    return {
        "step_cpu_ms": 1000 * float(np.median(cpu)),
        "step_ms": 1000 * float(np.median(late)),
        "step_ms_p99": 1000 * float(np.percentile(late, 99)),
        "rtf": elapsed / max(len(pcm) / RATE, 1e-9),
    }


def quiet(
    look_ahead_ms: int = 60, seconds: float = 6.0, weights: Mapping[str, np.ndarray] | None = None
) -> dict[str, float]:
    """Mean lip gap in sounds without a voice, at -20 dB of full scale: white and pink noise, and the worst of five hums
    (one of 100 Hz, four of any pitch and partials)."""
    count = int(seconds * RATE)
    rng = np.random.default_rng(0)
    white = rng.standard_normal(count)
    pink = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) / np.sqrt(np.arange(count // 2 + 1) + 1), count)
    time_ = np.arange(count) / RATE
    tones = [(100.0, 1 / np.arange(1, 6))]
    tones += [(float(rng.uniform(60, 400)), rng.uniform(0, 1, int(rng.integers(1, 13)))) for _ in range(4)]
    hums = [sum(g * np.sin(2 * np.pi * f * k * time_) for k, g in enumerate(gains, 1)) for f, gains in tones]
    out: dict[str, float] = {}
    for name, sound in (("white", white), ("pink", pink), *(("hum", hum) for hum in hums)):
        sound = 0.1 * sound / np.sqrt(np.square(sound).mean())
        motion = whole(np.clip(sound, -1, 1).astype(np.float32), RATE, look_ahead_ms=look_ahead_ms, weights=weights)
        gap = float(metrics.lip_gap(motion.arkit).mean())
        out[f"gap_{name}"] = max(gap, out.get(f"gap_{name}", 0.0))
    return out


def _residual(clip: Aligned, made: np.ndarray) -> tuple[float, float]:
    """(correlation at the best lag, that lag in s) of the tracked lip gap after the made one [T, 11], with the clip's
    own offset off."""
    index = np.flatnonzero(clip.known)
    span = slice(int(index[0]), int(index[-1]) + 1)
    return metrics.best_offset(clip.curves[span, GAP], made[span, GAP])


def _from_file(weights: Mapping[str, np.ndarray], clip: Aligned) -> dict[str, float]:
    """Figures of the network with the longest look-ahead, of a sound that is there as a whole."""
    clip = replace(clip, pcm=raised(clip.pcm))
    made = predict(weights, Style(), clip, LONGEST_LOOK_AHEAD)
    figures = scores(made, clip)
    return {
        "lip_gap_correlation_file": figures.lip_gap_correlation,
        "offset_ms_file": 1000 * _residual(clip, made)[1],
        "closure_recall_file": figures.closure_recall,
        "false_closure_rate_file": figures.false_closure_rate,
    }


def evaluate_clip(
    pcm: np.ndarray, motion: Motion, style: Style | None = None, weights: Mapping[str, np.ndarray] | None = None
) -> Evaluation:
    """Figures of the network against a tracked clip, un-personalised and with a style.

    Args:
        pcm: [samples] float32 mono 16 kHz, sample 0 at the track's time 0.
        motion: ARKit-52 and head pose as tracked.
        style: the subject's; its held-out scores come from `personalize`, since this clip made it.

    Returns:
        Evaluation with at least lip_gap_correlation, lip_gap_correlation_personal (None without a style),
        offset_ms, closure_recall, false_closure_rate, latency_ms and rtf. `clip_offset_ms` is how late the clip's
        pictures come after its sound, which was taken off before all else; `offset_ms` is what remains, between the
        tracked lip gap and the made one; it means little where `offset_correlation` is low. All is as in a live
        stream, but for names that end in `_file`: with the longest look-ahead, as `drive` speaks a sound file; and
        in `_personal`: of a quiet clip's sound as it was raised to learn from.

    Raises:
        InputError: too little sound and track in common.
    """
    weights = default_weights() if weights is None else weights
    clip = align(Runtime(weights), pcm, motion)
    made = predict(weights, Style(), clip)
    known = clip.known
    plain = scores(made, clip)
    alike, remains = _residual(clip, made)
    out = whole(clip.pcm, RATE, fps=50.0, weights=weights, style=style)
    # Stream frames stand at k / 50 s, tracked ones at (k + 1/2) / 50 s: half a frame apart.
    arkit, near = resampled(motion, out.times + clip.offset)
    upper = metrics.dynamics_deviation(out.arkit[near][:, UPPER_FACE], arkit[near][:, UPPER_FACE])
    lids, own = out.arkit[:, _LIDS].mean(1), motion.arkit[:, _LIDS].mean(1)
    rate = (len(motion.times) - 1) / float(motion.times[-1] - motion.times[0])
    loud = metrics.envelope(clip.pcm)
    voiced = known & (vocal_classes(clip.pcm, Runtime(weights)) != CLASSES.index("quiet"))
    resting = known & metrics.settled(loud < _QUIET, 50)
    personal = (style.facts.get("personal") if style else None) or {}
    figures: dict[str, Any] = {
        "metrics_version": metrics.VERSION,
        "seconds": float(known.sum()) / 50,
        "lip_gap_correlation": plain.lip_gap_correlation,
        "lip_gap_correlation_personal": personal.get("lip_gap_correlation"),
        "lip_gap_correlation_speech": metrics.correlation(made[voiced, GAP], clip.curves[voiced, GAP]),
        "jaw_correlation": metrics.correlation(made[known, JAW], clip.curves[known, JAW]),
        "offset_ms": 1000 * remains,
        "offset_correlation": alike,
        **_from_file(weights, clip),
        "clip_offset_ms": 1000 * clip.offset,
        "clip_offset_correlation": clip.offset_correlation,
        "clip_offset_sureness": clip.offset_sureness,
        "closure_recall": plain.closure_recall,
        "false_closure_rate": plain.false_closure_rate,
        "closure_recall_personal": personal.get("closure_recall"),
        "false_closure_rate_personal": personal.get("false_closure_rate"),
        "articulator_error": plain.error,
        "articulator_error_personal": personal.get("error"),
        "lve": metrics.lip_error(out.arkit[near], arkit[near]),
        "silence_gap": float(made[resting, GAP].mean()) if resting.any() else None,
        "silence_gap_tracked": float(clip.curves[resting, GAP].mean()) if resting.any() else None,
        "mod": metrics.opening_deviation(made[known, GAP], clip.curves[known, GAP]),
        "fdd": upper[0],
        "fdd_absolute": upper[1],
        "loudness_correlation": metrics.correlation(made[known, GAP], loud[known]),
        "loudness_correlation_tracked": metrics.correlation(clip.curves[known, GAP], loud[known]),
        "jitter": metrics.jitter(made[known, GAP], 50),
        "jitter_tracked": metrics.jitter(clip.curves[known, GAP], 50),
        "blinks": metrics.blinks(lids, 50.0),
        "blinks_tracked": metrics.blinks(own, rate),
        "latency_ms": Stream(weights=weights).latency_ms,
        "parity": parity(clip.pcm[: 4 * RATE], weights=weights),
        **speed(clip.pcm, weights=weights),
        **quiet(weights=weights),
    }
    curves = {"lip gap, tracked": clip.curves[:, GAP], "lip gap, from sound": made[:, GAP], "loudness": loud / 50}
    if style is not None:
        curves["lip gap, personal"] = predict(weights, style, clip)[:, GAP]
    return Evaluation(figures, curves)
