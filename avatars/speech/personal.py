"""Personalisation: the subject's own way of speaking from the clip that the avatar was made of.

First the range of the lips is matched (see `reach`). The ladder is affine, style vector, low-rank additions. Each rung
is judged by cross-validation over contiguous parts of the clip: every frame is predicted by a style that never saw it.
A rung is taken only if the error on those held-out seconds falls, the lip gap goes with the tracked one no less, and
lip closures do not get worse: found closures less false ones, since either alone is had for nothing by lips that always
or never meet, and false ones no more than `MOST_FALSE`, or than before. A rung that fails is left out, and the next one
builds on those before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from avatars.data import Motion
from avatars.errors import InputError

from . import metrics
from .adapt import CLOSED_SHARE, OPEN_SHARE, Learner, learn, task
from .aligned import Aligned, align
from .articulation import GAP
from .condition import DEFAULT_LOOK_AHEAD
from .habits import fit
from .loudness import raised
from .reach import reach_gain
from .replay import replay_inputs
from .runtime import Runtime, default_weights
from .steady import steadied
from .style import Style

RUNGS = ("affine", "vector", "low_rank")
FOLDS = 4
_MARGIN = 25
"""Frames next to a held-out part that are not learned from."""
_BETTER = 0.99
"""The held-out error must fall to this share."""
_ALIKE = 0.005
"""Correlation that chance may take away: folds differ a little in their gains."""
MOST_FALSE = 0.15
"""Share of openings that may falsely close without being fewer than before."""


@dataclass
class Scores:
    """Held-out figures of one style."""

    error: float
    """Mean |difference| of articulators that the track sees."""
    lip_gap_correlation: float
    closure_recall: float
    """Share of tracked closures that the prediction closes within 40 ms."""
    false_closure_rate: float
    """Share of tracked openings in which the prediction closes."""

    @property
    def closure_balance(self) -> float:
        """Recall less false rate (Youden's J): 1 is perfect, 0 what lips that always or never close get."""
        return self.closure_recall - self.false_closure_rate

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return {k: round(float(v), 4) for k, v in self.__dict__.items()}


def _runs(mask: np.ndarray, least: int = 1) -> list[tuple[int, int]]:
    edges = np.diff(np.concatenate([[0], mask.astype(int), [0]]))
    pairs = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    return [(int(a), int(b)) for a, b in pairs if b - a >= least]


def track_closures(made: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
    """(recall, false rate) of lip closures of a predicted gap [T] against a tracked one [T] at 50 Hz.

    A tracked closure is a run below 15 % of its 95th percentile; it is found if the prediction falls below 15 % of
    its own within 40 ms of it. A tracked opening is a run above 40 %, 100 ms or more; it is falsely closed if the
    prediction falls below 15 % more than 40 ms inside of it.
    """
    low, high = CLOSED_SHARE * np.percentile(seen, 95), OPEN_SHARE * np.percentile(seen, 95)
    limit = CLOSED_SHARE * np.percentile(made, 95)
    closed = _runs(seen < max(low, 1e-6))
    opened = [(a + 2, b - 2) for a, b in _runs(seen > high, 5)]
    found = [made[max(a - 2, 0) : b + 2].min() < limit for a, b in closed]
    false = [made[a:b].min() < limit for a, b in opened]
    return float(np.mean(found)) if found else 1.0, float(np.mean(false)) if false else 0.0


def scores(made: np.ndarray, clip: Aligned) -> Scores:
    """Figures of predicted articulators [T, 11] against a clip's."""
    known = clip.known
    moving = clip.curves[known].std(0) > 0.012
    error = np.abs(made - clip.curves)[known][:, moving].mean() if moving.any() else 0.0
    recall, false = track_closures(made[known, GAP], clip.curves[known, GAP])
    return Scores(float(error), metrics.correlation(made[known, GAP], clip.curves[known, GAP]), recall, false)


def predict(
    weights: Mapping[str, np.ndarray], style: Style, clip: Aligned, look_ahead: int = DEFAULT_LOOK_AHEAD
) -> np.ndarray:
    """[T, 11] articulators that a style makes of the clip's sound, with `look_ahead` network frames of it to come.

    As a stream does it: steadied where there are most of them.
    """
    learner = Learner(style.apply(weights), style)
    with torch.no_grad():
        visemes, curves = learner.heard(task(clip, clip.known, look_ahead).inputs, look_ahead)
        return learner.shape(torch.from_numpy(steadied(visemes.numpy(), curves.numpy(), look_ahead))).numpy()


def _folds(frames: int) -> list[np.ndarray]:
    """[T] masks of the held-out part of each fold."""
    edges = np.linspace(0, frames, FOLDS + 1).astype(int)
    masks = np.zeros((FOLDS, frames), bool)
    for i in range(FOLDS):
        masks[i, edges[i] : edges[i + 1]] = True
    return list(masks)


def _held_out(
    rung: str, weights: Mapping[str, np.ndarray], clip: Aligned, replay: torch.Tensor, styles: list[Style]
) -> tuple[np.ndarray, list[Style]]:
    """(out-of-fold prediction [T, 11], styles of the folds) after `rung`, from the folds' earlier styles."""
    made = np.zeros_like(clip.curves)
    after = []
    for mask, style in zip(_folds(len(clip)), styles, strict=True):
        near = np.convolve(mask, np.ones(2 * _MARGIN + 1), "same") > 0
        style = learn(rung, weights, style, task(clip, ~near), replay)
        after.append(style)
        made[mask] = predict(weights, style, clip)[mask]
    return made, after


def is_better(now: Scores, best: Scores) -> bool:
    """Whether a rung's held-out scores are reason to take it."""
    return (
        now.error < _BETTER * best.error
        and now.lip_gap_correlation >= best.lip_gap_correlation - _ALIKE
        and now.closure_balance >= best.closure_balance
        and now.false_closure_rate <= max(best.false_closure_rate, MOST_FALSE)
    )


def personalize(
    pcm: np.ndarray, motion: Motion, weights: Mapping[str, np.ndarray] | None = None, report=lambda text: None
) -> Style:
    """Learn a subject's style from the clip's sound and track.

    Args:
        pcm: [samples] float32 mono at 16 kHz, sample 0 at the track's time 0.
        motion: the tracked clip (ARKit-52, head pose).
        weights: the network's parameters, None for the committed ones.
        report: called with a line of text per rung.

    Returns:
        The style with habits and, in `facts`: `offset_ms`, `offset_correlation`, `offset_sureness`, `seconds`,
        `accepted` rungs, and held-out scores of the usual style with the subject's range (`base`), of each tried rung
        (`tried`) and of the result (`personal`); `together`: whether the lips follow the sound at all. If they do not
        (music, another's voice), no rung is tried.

    Raises:
        InputError: less than 2 s of sound and track in common, or a silent clip.
    """
    if len(pcm) and float(np.abs(pcm).max()) < 1e-4:
        raise InputError("The clip is silent", fix="Personalise with a clip in which the subject speaks")
    weights = default_weights() if weights is None else weights
    clip = align(Runtime(weights), raised(pcm), motion)
    usual = Style(gain=reach_gain(motion))
    best = scores(predict(weights, usual, clip), clip)
    tried: dict[str, dict[str, float]] = {}
    base, accepted = best, []
    replay = replay_inputs()
    styles, style = [usual] * FOLDS, usual
    if not clip.together:
        report("the lips do not follow the sound, which teaches nothing then")
    for rung in RUNGS if clip.together else ():
        made, after = _held_out(rung, weights, clip, replay, styles)
        now = scores(made, clip)
        tried[rung] = now.to_json()
        better = is_better(now, best)
        report(
            f"{rung}: held-out error {best.error:.4f} -> {now.error:.4f}, "
            f"lip gap {best.lip_gap_correlation:.3f} -> {now.lip_gap_correlation:.3f}, "
            f"closures {best.closure_recall:.2f} -> {now.closure_recall:.2f}, "
            f"false {best.false_closure_rate:.2f} -> {now.false_closure_rate:.2f}, {'taken' if better else 'left'}"
        )
        if not better:
            continue
        accepted.append(rung)
        best, styles = now, after
        style = learn(rung, weights, style, task(clip, clip.known), replay)
    facts = {
        "offset_ms": round(1000 * clip.offset, 1),
        "offset_correlation": round(clip.offset_correlation, 4),
        "offset_sureness": round(clip.offset_sureness, 2),
        "together": clip.together,
        "seconds": round(float(clip.known.sum()) / 50, 2),
        "accepted": accepted,
        "base": base.to_json(),
        "tried": tried,
        "personal": best.to_json(),
    }
    return replace(style, habits=fit(motion), facts=facts)
