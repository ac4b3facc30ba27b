"""What a table of comparisons shows: the figures of every avatar, and those that only a known truth gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from avatars.training.columns import COLUMNS, Column

TRUTH = (
    Column("rotation_deg", "head rotation against the truth", "degrees", -1),
    Column("wobble_deg", "  besides a constant turn", "degrees", -1),
    Column("translation_percent", "place against the truth, of distance", "%", -1),
    Column("vertices_mm", "face vertices against the truth", "mm", -1),
    Column("gaze_deg", "gaze against the truth", "degrees", -1),
)
_ALL = (*COLUMNS, *TRUTH)
_LABEL = 42


def lines(figures: Mapping[str, Mapping[str, object]]) -> Iterator[tuple[str, list[str], list[bool]]]:
    """(words, value of each method, whether it is the best) for every figure that some method has.

    Args:
        figures: by method, in order.
    """
    for column in _ALL:
        values = [each.get(column.key) for each in figures.values()]
        known = [float(v) for v in values if isinstance(v, (int, float))]
        if not known:
            continue
        best = (max if column.better > 0 else min)(known) if column.better and len(known) > 1 else None
        words = f"{column.words}, {column.unit}" if column.unit else column.words
        yield words, [_shown(v) for v in values], [isinstance(v, (int, float)) and float(v) == best for v in values]


def table(figures: Mapping[str, Mapping[str, object]]) -> str:
    """A plain text table; the best value of a line has a star.

    Args:
        figures: by method, in order.
    """
    width = max(10, *(len(name) + 1 for name in figures))
    out = [" " * _LABEL + "".join(f"{name:>{width}} " for name in figures)]
    for words, shown, best in lines(figures):
        cells = (f"{value:>{width}}{'*' if star else ' '}" for value, star in zip(shown, best, strict=True))
        out.append(f"{words:<{_LABEL}}{''.join(cells)}".rstrip())
    return "\n".join(out)


def lost(figures: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Figures in which the first method is not the best, in words."""
    names = list(figures)
    return [
        f"{words.strip()}: {shown[0]} against {shown[best.index(True)]} ({names[best.index(True)]})"
        for words, shown, best in lines(figures)
        if any(best) and not best[0] and shown[0] != shown[best.index(True)]
    ]


def _shown(value: object) -> str:
    if not isinstance(value, (int, float)):
        return "-"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
