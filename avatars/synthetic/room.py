"""The room behind the person: a wall with pictures and a shelf, out of focus, and never moving."""

from __future__ import annotations

import cv2
import numpy as np

from .look import Look, linear

_BLUR = 0.011
"""Of the picture's side."""


def paint_room(look: Look, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """[height, width, 3] float32 linear."""
    canvas = np.empty((height, width, 3), np.float32)
    down, across = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None]
    side = -np.sign(look.light[0]) or 1.0
    fall = 0.92 - 0.22 * down - 0.18 * side * (across - 0.5)
    canvas[:] = np.array(look.wall) * fall[..., None]
    left = bool(rng.integers(2))
    _shelf(canvas, width, height, rng, 0.0 if left else 0.66)
    _frame(canvas, width, height, rng, rng.uniform(0.72, 0.80) if left else rng.uniform(0.05, 0.12))
    blurred = cv2.GaussianBlur(canvas, (0, 0), _BLUR * max(width, height))
    grain = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 0.8)
    return linear(np.clip(blurred + 0.008 * grain[..., None], 0, 1))


def _shelf(canvas: np.ndarray, width: int, height: int, rng: np.random.Generator, start: float) -> None:
    """Two boards with books and gaps."""
    x0, x1 = int(start * width), int((start + 0.34) * width)
    for board in (rng.uniform(0.24, 0.32), rng.uniform(0.58, 0.68)):
        y = int(board * height)
        cv2.rectangle(canvas, (x0, y), (x1, y + max(2, height // 60)), (0.42, 0.30, 0.20), -1)
        x = x0 + int(0.01 * width)
        while x < x1 - 0.05 * width:
            wide, tall = rng.uniform(0.012, 0.035) * width, rng.uniform(0.10, 0.19) * height
            if rng.uniform() < 0.8:
                color = tuple(float(v) for v in rng.uniform(0.12, 0.75) * rng.uniform(0.55, 1.1, 3))
                cv2.rectangle(canvas, (x, int(y - tall)), (int(x + wide), y), color, -1)
            x += int(wide) + 2


def _frame(canvas: np.ndarray, width: int, height: int, rng: np.random.Generator, start: float) -> None:
    """A picture on the wall."""
    x, y = int(start * width), int(rng.uniform(0.12, 0.28) * height)
    w, h = int(rng.uniform(0.12, 0.18) * width), int(rng.uniform(0.18, 0.28) * height)
    cv2.rectangle(canvas, (x, y), (x + w, y + h), (0.16, 0.13, 0.11), -1)
    edge = max(2, width // 80)
    inner = rng.uniform(0.3, 0.85, 3)
    cv2.rectangle(canvas, (x + edge, y + edge), (x + w - edge, y + h - edge), tuple(map(float, inner)), -1)
    center = (int(x + w * rng.uniform(0.35, 0.65)), int(y + h * rng.uniform(0.4, 0.7)))
    cv2.circle(canvas, center, max(2, w // 4), tuple(map(float, rng.uniform(0.2, 0.9, 3))), -1)
