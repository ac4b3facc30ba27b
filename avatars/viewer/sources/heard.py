"""What was heard lately, for films: sounds at the monotonic times at which the face showed them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 16000
_SECONDS = 300.0
"""s that are remembered."""


@dataclass(frozen=True)
class Utterance:
    """One sound as it was heard."""

    start: float
    """Monotonic time of its first sample, s."""
    end: float
    """When it stopped, at the latest."""
    pcm: np.ndarray
    """[n] floats."""
    rate: int


class Heard:
    """Utterances one after another."""

    def __init__(self) -> None:
        self._kept: list[Utterance] = []

    def add(self, said: Utterance) -> None:
        """Remember one that is over."""
        self._kept = [u for u in self._kept if u.end > said.end - _SECONDS] + [said]

    def between(self, start: float, end: float, now: Utterance | None = None) -> np.ndarray | None:
        """[samples] at `RATE` of what was heard between two monotonic times; None if nothing was.

        Args:
            now: what is still being said.
        """
        times = start + np.arange(int((end - start) * RATE)) / RATE
        out, any_heard = np.zeros(len(times), np.float32), False
        for said in [*self._kept, *([now] if now is not None else [])]:
            last = min(said.end, said.start + len(said.pcm) / said.rate)
            inside = (times >= said.start) & (times < last)
            if inside.any():
                places = (times[inside] - said.start) * said.rate
                out[inside] += np.interp(places, np.arange(len(said.pcm)), said.pcm)
                any_heard = True
        return out if any_heard else None
