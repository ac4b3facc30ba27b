"""One self-contained HTML page of an evaluation: figures, curves as SVG, a video beside them."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import numpy as np

from avatars.files import write_bytes

from .evaluate import Evaluation

_COLORS = ("#1f6feb", "#d1480f", "#1a7f37", "#8250df", "#777777")
_MOST_VIDEO = 40 << 20
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#1b1f24}"
    "table{border-collapse:collapse}td,th{padding:.15em .9em .15em 0;text-align:left;border-bottom:1px solid #e4e7eb}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;height:auto;background:#fafbfc}"
    ".side{display:flex;gap:1em;flex-wrap:wrap}.side figure{margin:0;flex:1 1 320px}video{width:100%}"
)


def _flat(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for name, value in figures.items():
        out += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return out


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plot(curves: dict[str, np.ndarray], fps: float, start: float, seconds: float) -> str:
    """SVG of curves from `start` on."""
    wide, high = 1060, 170
    first, last = int(start * fps), int((start + seconds) * fps)
    lines = []
    for color, (name, curve) in zip(_COLORS, curves.items(), strict=False):
        part = np.asarray(curve[first:last], float)
        x = np.arange(len(part)) / max(last - first - 1, 1) * wide
        points = " ".join(f"{a:.1f},{high - 10 - 140 * min(max(b, 0), 1.1):.1f}" for a, b in zip(x, part, strict=True))
        lines.append(f'<polyline fill="none" stroke="{color}" stroke-width="1.4" points="{points}">'
                     f"<title>{html.escape(name)}</title></polyline>")  # fmt: skip
    marks = "".join(
        f'<text x="{s / seconds * wide:.0f}" y="{high - 1}" font-size="9" fill="#888">{start + s:.0f} s</text>'
        for s in range(0, int(seconds) + 1)
    )
    return f'<svg viewBox="0 0 {wide} {high}" role="img">{"".join(lines)}{marks}</svg>'


def _video(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode() if path.stat().st_size <= _MOST_VIDEO else ""
    source = f"data:video/mp4;base64,{data}" if data else html.escape(path.name)
    return f'<figure><video controls src="{source}"></video><figcaption>{html.escape(caption)}</figcaption></figure>'


def page(title: str, evaluation: Evaluation, videos: dict[str, Path] | None = None, fps: float = 50.0) -> str:
    """The page as text; `videos` by caption stand side by side and travel inside of it up to 40 MB each."""
    rows = "".join(
        f'<tr><td>{html.escape(name)}</td><td class="n">{html.escape(_number(value))}</td></tr>'
        for name, value in _flat(evaluation.figures)
    )
    legend = " ".join(
        f'<span style="color:{color}">■ {html.escape(name)}</span>'
        for color, name in zip(_COLORS, evaluation.curves, strict=False)
    )
    length = max((len(c) for c in evaluation.curves.values()), default=0) / fps
    plots = "".join(_plot(evaluation.curves, fps, s, 10.0) for s in range(0, int(np.ceil(min(length, 60))), 10))
    beside = "".join(_video(path, caption) for caption, path in (videos or {}).items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1><div class=\"side\">{beside}</div>"
        f"<h2>Curves</h2><p>{legend}</p>{plots}<h2>Figures</h2><table>{rows}</table></html>"
    )  # fmt: skip


def write_report(path: Path, title: str, evaluation: Evaluation, videos: dict[str, Path] | None = None) -> None:
    """Write the page."""
    write_bytes(path, page(title, evaluation, videos).encode())
