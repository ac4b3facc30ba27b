"""Turning pictures upright: the display matrix that phones write instead of turning the pixels."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

Box = tuple[int, int, int, int]
"""x, y, width, height in px."""


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay a picture: mirrored left-right first if `mirrored`, then turned.

    `quarters` counts quarter turns counter-clockwise.
    """

    quarters: int = 0
    mirrored: bool = False

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Upright [H', W', ...] contiguous image of a stored [H, W, ...] one."""
        if self.mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, self.quarters))

    def swap(self, width: int, height: int) -> tuple[int, int]:
        """Upright size of a stored size, and the other way round."""
        return (height, width) if self.quarters % 2 else (width, height)

    def stored_box(self, box: Box, width: int, height: int) -> Box:
        """Where a box of the upright picture (width x height) lies in the stored one."""
        x, y, w, h = box
        for _ in range(self.quarters % 4):  # undo one counter-clockwise turn: upright (x, y) was at (W - 1 - y, x)
            x, y, w, h = height - y - h, x, h, w
            width, height = height, width
        if self.mirrored:
            x = width - x - w
        return x, y, w, h


UPRIGHT = Orientation()


def read_display_matrix(data: bytes) -> tuple[Orientation, str]:
    """Orientation of an MPEG-4 display matrix (nine int32, 16.16 fixed point), and a warning or ''.

    The matrix maps stored (x, y) to displayed (a x + c y, b x + d y). Quarter turns and mirrors are followed; an
    angle between them goes to the nearest; a matrix without an inverse, which libav reports as NaN, is ignored.
    """
    if len(data) < 36:
        return UPRIGHT, "the rotation in the file is damaged and was ignored"
    a, b, _, c, d, *_ = struct.unpack("=9i", data[:36])
    mirrored = a * d - b * c < 0
    if mirrored:  # M = turn after mirror: take the mirror (x -> -x) out again
        a, b = -a, -b
    if a * d - b * c == 0:
        return UPRIGHT, "the rotation in the file has no meaning and was ignored"
    # A counter-clockwise turn by t in a picture whose y points down: a = cos t, b = -sin t, c = sin t, d = cos t.
    angle = math.degrees(math.atan2(c - b, a + d))
    quarters = round(angle / 90)
    odd = abs(angle - 90 * quarters) > 1
    warning = f"the file asks for a rotation of {angle:.0f} degrees; the nearest quarter turn was taken" if odd else ""
    return Orientation(quarters % 4, mirrored), warning
