"""What a table of comparisons shows: the figures of every avatar, and those that only a known truth gives."""

from __future__ import annotations

from collections.abc import Mapping

from avatars.training import columns
from avatars.training.columns import Column

COLUMNS = (
    *columns.COLUMNS,
    Column("rotation_deg", "head rotation against the truth", "degrees", -1),
    Column("wobble_deg", "  besides a constant turn", "degrees", -1),
    Column("translation_percent", "place against the truth", "%", -1),
    Column("vertices_mm", "face vertices against the truth", "mm", -1),
    Column("gaze_deg", "gaze against the truth", "degrees", -1),
)


def lost(figures: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Figures in which the first method is not the best, in words."""
    names = list(figures)
    return [
        f"{words.strip()}: {shown[0]} against {shown[best.index(True)]} ({names[best.index(True)]})"
        for words, shown, best in columns.lines(figures, COLUMNS)
        if any(best) and not best[0] and shown[0] != shown[best.index(True)]
    ]
