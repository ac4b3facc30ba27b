"""How large a picture is drawn: as large as the time allows while something moves, whole when all is still."""

from __future__ import annotations

import math

MIN_ROWS, MAX_ROWS = 192, 1080
_STEP = 16
_START = 448.0
_SHARE = 0.8
"""Of the time between two pictures that drawing may take."""


class Sharpness:
    """Follows how long pictures take and chooses the rows of the next one."""

    def __init__(self, rate: float) -> None:
        """`rate`: pictures per second to be reached."""
        self.rate, self._rows = rate, _START

    def moving(self, full: int) -> int:
        """Rows of a picture that must be in time, for a page with so many rows."""
        rows = round(self._rows / _STEP) * _STEP
        return max(min(rows, full, MAX_ROWS), min(full, MIN_ROWS))

    @staticmethod
    def still(full: int) -> int:
        """Rows of a picture that may take its time."""
        return min(full, MAX_ROWS)

    def took(self, rows: int, seconds: float, visitors: int) -> None:
        """A picture of so many rows took so long, with so many visitors to serve."""
        allowed = _SHARE / self.rate / max(visitors, 1)
        ratio = math.sqrt(allowed / max(seconds, 1e-4))
        # Small steps: one slow picture, while the machine does something else, says little.
        aim = rows * min(max(ratio, 0.85), 1.06)
        self._rows = min(max(0.7 * self._rows + 0.3 * aim, MIN_ROWS), MAX_ROWS)
