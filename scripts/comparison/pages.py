"""The page of a comparison: tables, held-out frames, mouths and eyes enlarged, views from the side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avatars import files
from avatars.training import columns
from avatars.training import page as html

from .columns import COLUMNS, lost
from .pictures import CLOSE, SHOWN, SIDES
from .shelf import FILM, Shelf

_WORDS = (
    "Every method had the same landmark track, frames, background and processor time. Held-out frames are posed by "
    "fitting them with the avatar frozen, unless a line says otherwise. The best of a line is marked with a star."
)


def comparison_page(shelves: Sequence[Shelf], path: Path) -> None:
    """One HTML page with every trial's table and pictures, from what lies on disk."""
    body = ["<h1>Ours and others, one harness</h1>"]
    for shelf in shelves:
        figures = shelf.figures()
        rows = [(told, *(f"{v} *" if b else v for v, b in zip(shown, best, strict=True)))
                for told, shown, best in columns.lines(figures, COLUMNS)]  # fmt: skip
        body.append(html.section(shelf.title, _WORDS, html.table([("", *figures), *rows])))
        worse = lost(figures) if len(figures) > 1 else []
        body.append(html.section(f"{shelf.title}: where ours is not the best", "; ".join(worse) or "Nowhere.", ""))
        body.append(html.section(f"{shelf.title}: held-out frames", "", _frames(shelf, figures)))
        body.append(html.section(f"{shelf.title}: from the side", "", _sides(shelf, figures)))
    files.write_bytes(path, html.document("Comparison", "".join(body)).encode())


def _frames(shelf: Shelf, figures: dict[str, dict]) -> str:
    out = []
    for k in range(SHOWN):
        for part in ("whole", *CLOSE):
            name = f"{k} {part}"
            pictures = [html.picture(shelf.picture(FILM, name), "film")]
            for method, found in figures.items():
                decibels = f", {found['shown_psnr'][k]:.1f} dB" if part == "whole" else ""
                pictures.append(html.picture(shelf.picture(method, name), method + decibels))
            out.append(html.row(pictures))
    return "".join(out)


def _sides(shelf: Shelf, figures: dict[str, dict]) -> str:
    out = []
    for method in figures:
        seen = [html.picture(shelf.picture(method, f"side {angle:+d}"), f"{method}, {angle:+d}°") for angle in SIDES]
        out.append(html.row(seen))
    return "".join(out)
