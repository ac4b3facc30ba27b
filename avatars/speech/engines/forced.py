"""Forced alignment: when each sound of a known text is spoken in a recording, learned from the recordings themselves.

Speech of the same text from an engine that knows its times is warped onto each recording (dynamic time warping). From
these first times one model per phone is estimated, three Gaussian states in a row over cepstra and their slopes, and
recordings and models take turns to be refined (Viterbi training: Rabiner 1989, "A tutorial on hidden Markov models").
Between words the speaker may pause. NumPy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..features import FFT, WINDOW, mel_matrix

HOP = 160
"""Samples between frames of 10 ms; frame k is centred at (k + 1/2) HOP."""
STATES = 3
"""Of a phone, one frame or more each."""
PAUSE = ""
"""Name of the model of silence."""
_CEPSTRA = 13
_FEW = 24
"""Frames below which a phone's state borrows from all phones of its class."""
_ROUNDS = 6
_DIFFERENT = 4.0
"""Cost of stretching or squeezing the warp by a frame, in squared deviations."""
_HUGE = 1e9


@dataclass
class Line:
    """One recording and what is said in it."""

    cepstra: np.ndarray
    """[T, 27] of `cepstra`."""
    phones: Sequence[str]
    """[P] names, in order, PAUSE where the engine paused."""
    classes: Sequence[int]
    """[P] coarse class of each, for phones too rare to be learned."""
    begins: np.ndarray
    """[P] bool: whether a word begins here."""


def cepstra(pcm: np.ndarray) -> np.ndarray:
    """[T, 27] float32 of [samples] at 16 kHz: cepstra, their slopes over 50 ms, and energy; zero mean, unit deviation
    over the louder frames."""
    count = len(pcm) // HOP
    side = (WINDOW - HOP) // 2
    padded = np.pad(np.asarray(pcm, np.float32), (side, side + HOP))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:count]
    spectrum = np.fft.rfft((windows - windows.mean(1, keepdims=True)) * np.hanning(WINDOW), FFT)
    mel = np.log(np.square(np.abs(spectrum)) @ mel_matrix() + 1e-6)
    order = np.arange(_CEPSTRA)[:, None]
    basis = np.cos(np.pi * order * (np.arange(mel.shape[1]) + 0.5) / mel.shape[1])
    still = mel @ basis.T
    ends = np.pad(still, ((2, 2), (0, 0)), "edge")
    slope = (2 * (ends[4:] - ends[:-4]) + ends[3:-1] - ends[1:-3]) / 10
    energy = mel.mean(1)
    out = np.concatenate([still, slope, energy[:, None]], 1)
    loud = energy > np.percentile(energy, 95) - 4.0
    return ((out - out[loud].mean(0)) / (out[loud].std(0) + 1e-3)).astype(np.float32)


def warp(told: np.ndarray, heard: np.ndarray) -> tuple[np.ndarray, float]:
    """([T] frame of `told` [U, C] that each frame of `heard` [T, C] corresponds to, mean cost of a frame).

    The warp begins and ends with both, and runs between half and three times as fast or stands still.
    """
    frames, count = len(heard), len(told)
    distance = np.square(heard).sum(1)[:, None] + np.square(told).sum(1) - 2 * heard @ told.T
    distance /= told.shape[1]
    cost = np.full(count, _HUGE)
    cost[0] = distance[0, 0]
    back = np.zeros((frames, count), np.int8)
    options = np.full((4, count), _HUGE)
    for t in range(1, frames):
        options[0] = cost + _DIFFERENT / 10
        options[1, 1:] = cost[:-1]
        options[2, 2:] = cost[:-2] + _DIFFERENT / 10
        options[3, 3:] = cost[:-3] + _DIFFERENT / 5
        back[t] = options.argmin(0)
        cost = options.min(0) + distance[t]
    path = np.empty(frames, int)
    path[-1] = count - 1
    for t in range(frames - 1, 0, -1):
        path[t - 1] = path[t] - back[t, path[t]]
    return path, float(cost[-1] / frames)


def _chain(line: Line, model: dict[tuple[str, int], int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(model index [S], phone [S] or -1 for a pause, whether the state before may be skipped [S]) of a line."""
    states, owners, skips = [model[PAUSE, 0]], [-1], [False]
    for p, phone in enumerate(line.phones):
        if phone == PAUSE:
            continue
        if line.begins[p] and owners[-1] >= 0:
            states.append(model[PAUSE, 0])
            owners.append(-1)
            skips.append(False)
        for k in range(STATES):
            states.append(model[phone, k])
            skips.append(k == 0 and owners[-1] < 0 and len(owners) > 1)
            owners.append(p)
    states.append(model[PAUSE, 0])
    owners.append(-1)
    skips.append(False)
    return np.array(states), np.array(owners), np.array(skips)


def viterbi(scores: np.ndarray, skips: np.ndarray) -> tuple[np.ndarray, float]:
    """([T] state of each frame, mean score) of the best path through a row of states [S] with `scores` [T, S].

    A path stays, goes on by one state, or where `skips` [S] passes the state before. It begins in one of the first
    two states and ends in one of the last two.
    """
    frames, count = scores.shape
    best = np.full(count, -_HUGE)
    best[:2] = scores[0, :2]
    back = np.zeros((frames, count), np.int8)
    options = np.full((3, count), -_HUGE)
    for t in range(1, frames):
        options[0] = best
        options[1, 1:] = best[:-1]
        options[2, 2:] = np.where(skips[2:], best[:-2], -_HUGE)
        back[t] = options.argmax(0)
        best = options.max(0) + scores[t]
    path = np.empty(frames, int)
    path[-1] = count - 1 if best[-1] >= best[-2] else count - 2
    total = float(best[path[-1]])
    for t in range(frames - 1, 0, -1):
        path[t - 1] = path[t] - back[t, path[t]]
    return path, total / frames


def _estimate(
    lines: Sequence[Line], owners: Sequence[np.ndarray], stages: Sequence[np.ndarray]
) -> tuple[dict[tuple[str, int], int], np.ndarray, np.ndarray]:
    """(index by phone and state, means [M, C], variances [M, C]) of frames that belong to phone `owners` [T] (-1: a
    pause) at `stages` [T] of STATES."""
    rows: dict[tuple[str, int], list[np.ndarray]] = {(PAUSE, 0): []}
    coarse: dict[tuple[int, int], list[np.ndarray]] = {}
    names: dict[str, int] = {}
    for line, owner, stage in zip(lines, owners, stages, strict=True):
        rows[PAUSE, 0].append(line.cepstra[owner < 0])
        for p, phone in enumerate(line.phones):
            if phone == PAUSE:
                continue
            names[phone] = line.classes[p]
            for k in range(STATES):
                part = line.cepstra[(owner == p) & (stage == k)]
                rows.setdefault((phone, k), []).append(part)
                coarse.setdefault((line.classes[p], k), []).append(part)
    every = np.concatenate([line.cepstra for line in lines])
    overall, floor = every.mean(0), 0.05 * every.var(0)
    index, means, variances = {}, [], []
    for (phone, k), parts in rows.items():
        data = np.concatenate(parts)
        if len(data) < _FEW and phone != PAUSE:
            data = np.concatenate(coarse[names[phone], k])
        index[phone, k] = len(means)
        known = len(data) >= _FEW
        means.append(data.mean(0) if known else overall)
        variances.append(np.maximum(data.var(0), floor) if known else every.var(0))
    return index, np.stack(means), np.stack(variances)


def refine(lines: Sequence[Line], starts: Sequence[np.ndarray]) -> list[tuple[np.ndarray, float]]:
    """([T] phone of each frame or -1 in pauses, mean log-likelihood) per line, from first guesses `starts` ([T] each)
    of the same form. All lines are of one speaker."""
    stages = []
    for start in starts:
        stage = np.zeros(len(start), int)
        edges = np.flatnonzero(np.diff(start, prepend=-2, append=-2))
        for a, b in pairwise(edges):
            stage[a:b] = np.arange(b - a) * STATES // (b - a)
        stages.append(stage)
    owners = list(starts)
    likelihood = [0.0] * len(lines)
    for _ in range(_ROUNDS):
        model, means, variances = _estimate(lines, owners, stages)
        constant = -0.5 * np.log(2 * np.pi * variances).sum(1) - 0.5 * (means**2 / variances).sum(1)
        for i, line in enumerate(lines):
            states, phones, skips = _chain(line, model)
            if len(states) > len(line.cepstra):
                likelihood[i] = -np.inf  # more sounds than the recording has time for
                continue
            used, column = np.unique(states, return_inverse=True)
            scores = constant[used] + line.cepstra @ (means / variances)[used].T
            scores -= 0.5 * np.square(line.cepstra) @ (1 / variances)[used].T
            path, likelihood[i] = viterbi(scores[:, column], skips)
            owners[i] = phones[path]
            stages[i] = path - _first(phones)[path]
    return list(zip(owners, likelihood, strict=True))


def _first(phones: np.ndarray) -> np.ndarray:
    """[S] index of the first state of each state's phone."""
    out = np.arange(len(phones))
    for s in range(1, len(phones)):
        if phones[s] >= 0 and phones[s] == phones[s - 1]:
            out[s] = out[s - 1]
    return out
