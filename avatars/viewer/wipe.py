"""The captured frame beside the render: one picture, the film to the left of a line and the avatar to its right."""

from __future__ import annotations

import math

import numpy as np

from ..data import Camera
from .figure import Figure
from .framing import UNITS, Place, Viewpoint
from .runs import Film

_NEAR, _TURNED = 0.01, math.radians(1.0)
"""m and rad that a visitor may stand away from the capture's camera for the film to be in place."""
_LINE = np.array([255, 255, 255], np.uint8)


def fitted(capture: Camera, columns: int, rows: int) -> Camera:
    """The capture's camera, as large as fits into a canvas."""
    scale = min(columns / capture.width, rows / capture.height)
    return capture.resized(max(1, round(capture.width * scale)), max(1, round(capture.height * scale)))


def place(capture: Camera, view: Viewpoint, distance: float) -> Place:
    """Where a page's camera must stand so that its layers lie over the film.

    Args:
        distance: m to what it looks at.
    """
    focal = fitted(capture, view.width, view.height).fy
    fov = 2 * math.atan(view.height / 2 / focal)
    return Place(np.zeros(3), np.array([0.0, 0.0, distance * UNITS]), fov)


def in_place(view: Viewpoint) -> bool:
    """Whether a visitor stands where the capture's camera stood."""
    turn = 2 * math.acos(min(abs(view.wxyz[0]), 1.0))
    return bool(np.linalg.norm(view.position) < _NEAR) and turn < _TURNED


def compose(
    figure: Figure, film: Film, row: int, capture: Camera, size: tuple[int, int], share: float, color: np.ndarray
) -> np.ndarray:
    """[H, W, 3] uint8: film and avatar in the middle of a canvas.

    Args:
        row: of the captured track.
        capture: its camera.
        size: (columns, rows) of the canvas.
        share: of the width that shows the film, in [0, 1].
        color: [3] uint8 around both, and behind the avatar where nobody knows what was there.
    """
    camera = fitted(capture, *size)
    width, height = camera.width, camera.height
    plate = film.plate(width, height)
    image, _ = figure.picture(camera, (color if plate is None else plate).astype(np.float32) / 255)
    edge = round(min(max(share, 0.0), 1.0) * width)
    image[:, :edge] = film.picture(row, width, height)[:, :edge]
    if 0 < edge < width:
        image[:, edge - 1 : edge + 1] = _LINE
    canvas = np.empty((size[1], size[0], 3), np.uint8)
    canvas[:] = color
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    canvas[y : y + height, x : x + width] = image
    return canvas
