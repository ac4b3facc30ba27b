"""From recordings with text to the times of their sounds: espeak-ng says the same, forced alignment does the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from ..phonemes import BILABIAL, SILENCE, VOICELESS_STOPS, from_ipa
from . import espeak
from .forced import HOP, PAUSE, Line, cepstra, refine, warp
from .utterance import RATE, Segment, spread

_PACE = 165
"""Words per minute that the engine speaks."""
_SHORTEST, _SLOWEST = 0.4, 3.0
"""Lengths of a recording, in those of the engine's, that can be the same text."""
_UNLIKELY = 2.5
"""Deviations by which an alignment may be less likely than its speaker's usual one."""
_LONGEST = 0.7
"""s of one sound: more is a gap that the text does not know."""
_SHORT_PAUSE = 0.06
"""s; shorter silences between words belong to a sound."""


@dataclass
class _Draft:
    line: Line
    guess: np.ndarray
    """[T] phone of each frame, -1 in pauses."""


def _draft(pcm: np.ndarray, text: str, language: str, voice: str, variant: str) -> _Draft | None:
    """What is said and first times, None where text and sound cannot belong together."""
    made = espeak.synthesize(text, language, voice, variant, _PACE)
    if made is None or len(pcm) < RATE // 3:
        return None
    words = espeak.word_starts()
    ends, names, begins = [], [], []
    begin = True
    for (phone, silent), group in groupby(made.segments, key=lambda s: (s.phone, s.viseme == SILENCE)):
        parts = list(group)
        start, end = parts[0].start, parts[-1].end
        if not silent and from_ipa(phone) is None:  # a mark that belongs to the sound before it
            if ends:
                ends[-1] = end
            continue
        begin = begin or any(start - 0.02 <= word < end - 0.02 for word in words)
        ends.append(end)
        names.append(PAUSE if silent else phone)
        begins.append(begin and not silent)
        begin = silent
    heard, told = cepstra(pcm), cepstra(made.pcm)
    if not _SHORTEST < len(heard) / len(told) < _SLOWEST:
        return None
    at = (warp(told, heard)[0] + 0.5) * HOP / RATE
    guess = np.searchsorted(ends, at, side="right").clip(0, len(ends) - 1)
    guess = np.where(np.array([name == PAUSE for name in names])[guess], -1, guess)
    classes = [(from_ipa(name) or [SILENCE])[0] for name in names]  # PAUSE is silence
    return _Draft(Line(heard, names, classes, np.array(begins)), guess)


def _segments(line: Line, owner: np.ndarray, pcm: np.ndarray) -> list[Segment] | None:
    """Segments of a recording from the phone of each frame, None where one lasts too long to be true."""
    runs = [(p, len(list(group))) for p, group in groupby(owner.tolist())]
    edges = np.cumsum([0, *(n for _, n in runs)]) * HOP / RATE
    edges[-1] = len(pcm) / RATE
    for i in range(1, len(runs) - 1):
        if runs[i][0] < 0 and edges[i + 1] - edges[i] < _SHORT_PAUSE:
            after = line.phones[runs[i + 1][0]]
            closes = line.classes[runs[i + 1][0]] == BILABIAL or after in VOICELESS_STOPS
            if closes:  # the closure of the stop that follows
                edges[i + 1] = edges[i]
            else:
                edges[i] = edges[i + 1]
    out: list[Segment] = []
    for (p, _), (start, end) in zip(runs, pairwise(edges.tolist()), strict=True):
        if p < 0:
            out += spread(start, end, [SILENCE], PAUSE)
            continue
        if end - start > _LONGEST:
            return None
        phone = line.phones[int(p)]
        out += spread(start, end, from_ipa(phone) or [SILENCE], phone)
    return espeak.fix_stops(out, pcm)


def align(
    sounds: Sequence[tuple[np.ndarray, str]], language: str, voice: str, variant: str = ""
) -> list[list[Segment] | None]:
    """Segments of one speaker's recordings, [samples] float32 at 16 kHz and text each; None where text and sound do
    not seem to agree.

    Args:
        language, voice, variant: of the engine that says the same, as for `espeak.synthesize`.

    Raises:
        BackendError: espeak-ng is not installed. InputError: it has no such voice.
    """
    drafts = {i: _draft(pcm, text, language, voice, variant) for i, (pcm, text) in enumerate(sounds)}
    known = {i: draft for i, draft in drafts.items() if draft is not None}
    out: list[list[Segment] | None] = [None] * len(sounds)
    if not known:
        return out
    aligned = refine([d.line for d in known.values()], [d.guess for d in known.values()])
    score = np.array([likelihood for _, likelihood in aligned])
    usual = score[np.isfinite(score)]
    middle = float(np.median(usual))
    least = middle - _UNLIKELY * 1.4826 * float(np.median(np.abs(usual - middle)))
    for (i, draft), (owner, likelihood) in zip(known.items(), aligned, strict=True):
        if likelihood >= least:
            out[i] = _segments(draft.line, owner, sounds[i][0])
    return out
