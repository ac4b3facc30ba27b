"""Which part of the picture a clip keeps, and at what size.

Rule: a square around head and shoulders that holds them in nearly every frame: 1.5 face sizes to either side of the
face's middle, 1.15 above and 1.65 below. Where the frame is too narrow for the square, the other side of the box is
at most a third longer. The whole frame is kept instead where the box covers more than 60 % of it, or the face is at
least a quarter of its height, unless cropping would show the face more than a quarter larger at the working size (a
phone held upright). Nothing is ever enlarged.
"""

from __future__ import annotations

import numpy as np

from .orientation import Box
from .subject import Person

_SIDE, _UP, _DOWN = 1.5, 1.15, 1.65
"""Face sizes from the middle of the face."""
_MOST = 0.6
"""Of the frame's area."""
_LARGE = 0.25
"""Face size per frame height."""
_LONG = 4 / 3
"""Longer side of a box per shorter side."""
_GAIN = 1.25
"""Magnification that is worth cropping for."""


def choose_box(person: Person, width: int, height: int, size: int) -> tuple[Box, tuple[int, int]]:
    """(box to cut from a width x height picture, (width, height) to scale it to); both even where the picture is.

    Args:
        person: the subject, with sightings in px of that picture.
        size: longest side of the result, px.
    """
    centers = np.array([face.center for _, face in person.seen])
    face = float(np.percentile([face.size for _, face in person.seen], 90))
    low, high = np.percentile(centers, 2, axis=0), np.percentile(centers, 98, axis=0)  # a stray frame is no reason
    left, right = low[0] - _SIDE * face, high[0] + _SIDE * face
    top, bottom = low[1] - _UP * face, high[1] + _DOWN * face
    side = max(right - left, bottom - top)
    # A narrow frame shortens the other side too, but never so far that the head sways out of it.
    sway = high - low + 1.9 * face
    wide, tall = min(side, max(_LONG * height, sway[0])), min(side, max(_LONG * width, sway[1]))
    x, w = _fit((left + right) / 2, wide, width)
    # Of a height that is cut short, the head keeps its part.
    y, h = _fit((low[1] + high[1]) / 2 + (_DOWN - _UP) / 2 * face * tall / side, tall, height)
    gain = min(1.0, size / max(w, h)) / min(1.0, size / max(width, height))
    covers = w * h > _MOST * width * height or face >= _LARGE * height
    box = (0, 0, width, height) if covers and gain <= _GAIN else (x, y, w, h)
    scale = min(1.0, size / max(box[2:]))
    return box, (_even(box[2] * scale), _even(box[3] * scale)) if scale < 1 else (box[2], box[3])


def _fit(middle: float, side: float, limit: int) -> tuple[int, int]:
    """(start, length) of an interval inside [0, limit], even so that colour samples are not split."""
    length = min(2 * round(side / 2), limit - limit % 2)
    start = min(max(middle - length / 2, 0), limit - length)
    return int(start) // 2 * 2, length


def _even(value: float) -> int:
    return max(2, 2 * round(value / 2))
