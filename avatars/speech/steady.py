"""Lips without flicker, for sound that is there ahead of time: answers are averaged with their neighbours in time.

A network that answers every 20 ms anew moves lips faster than muscles do. Averaging alone would leave lips ajar in p, b
and m, which last no longer than a few answers. So what closes lips stays as it is, as surely as the network hears one
of these, or as nearly as its lips touch: some closures it makes without being sure of their sound.
"""

from __future__ import annotations

import numpy as np

from .articulation import ARTICULATORS, GAP
from .condition import LONGEST_LOOK_AHEAD
from .phonemes import BILABIAL
from .vocal import CLASSES

RADIUS = 2
"""Frames of 20 ms on either side; an answer waits for that many more."""
_KERNEL = np.exp(-0.5 * np.arange(-RADIUS, RADIUS + 1) ** 2)
_KERNEL = (_KERNEL / _KERNEL.sum()).astype(np.float32)
"""A Gaussian of one frame."""
_TOUCH = 0.1
"""Lip gap below which lips begin to count as touching."""


def waits(look_ahead: int) -> int:
    """Frames that steady lips wait for beyond a look-ahead: only the longest has time for them."""
    return RADIUS if look_ahead == LONGEST_LOOK_AHEAD else 0


def _closing(visemes: np.ndarray) -> np.ndarray:
    """[n] how surely p, b or m is heard, of viseme logits [n, 14]."""
    power = np.exp(visemes - visemes.max(1, keepdims=True))
    return power[:, BILABIAL] / power.sum(1)


class Steady:
    """A running average; every answer is given `RADIUS` frames late, the first ones after a mouth at rest."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was answered."""
        self._curves = np.zeros((2 * RADIUS, len(ARTICULATORS)), np.float32)
        self._closing = np.zeros(RADIUS, np.float32)
        self._classes = np.zeros((RADIUS, len(CLASSES)), np.float32)

    def __call__(self, visemes: np.ndarray, curves: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(curves [n, 11], class logits [n, 6]) of `RADIUS` frames ago, given the next answers of the network."""
        count = len(curves)
        rows = np.concatenate([self._curves, curves])
        even = np.sum([weight * rows[k : k + count] for k, weight in enumerate(_KERNEL)], 0)
        middle = rows[RADIUS : RADIUS + count]
        sure = np.concatenate([self._closing, _closing(visemes)])
        touching = (1 - middle[:, GAP] / _TOUCH).clip(0, 1)
        shut = np.maximum(sure[:count], touching) * (middle[:, GAP] < even[:, GAP])
        told = np.concatenate([self._classes, classes])
        self._curves, self._closing, self._classes = rows[count:], sure[count:], told[count:]
        return even + shut[:, None] * (middle - even), told[:count]


def steadied(visemes: np.ndarray, curves: np.ndarray, look_ahead: int) -> np.ndarray:
    """[n, 11] of a whole sound's viseme logits [n, 14] and curves [n, 11], each in its place; it ends at rest.

    Answers of a look-ahead that leaves no time for it come back as they are.
    """
    if not waits(look_ahead):
        return curves
    ending = ((0, RADIUS), (0, 0))
    visemes, curves = np.pad(visemes, ending), np.pad(curves, ending)
    return Steady()(visemes, curves, np.zeros((len(curves), len(CLASSES)), np.float32))[0][RADIUS:]
