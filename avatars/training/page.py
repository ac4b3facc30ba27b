"""Pieces of a self-contained HTML page: escaped text, embedded pictures, drawn curves. No link leads outside."""

from __future__ import annotations

import base64
import hashlib
import html
import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #667079; --line: #e3e6e9; --card: #fff; --back: #f4f5f6;
  --one: #2563c9; --two: #d9730d }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaec; --soft: #98a2ab; --line: #33393f; --card: #1d2125; --back: #131619; --one: #76a9fa;
    --two: #f2a65a } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere }
h2 { font-size: 19px; margin: 0 0 4px }
p { margin: 0 0 14px; color: var(--soft); max-width: 80ch }
section, .tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px }
section { padding: 20px; margin: 18px 0 }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 18px 0 }
.tile { padding: 12px 14px }
.tile b { display: block; font-size: 24px; line-height: 1.25 }
.tile span { display: block; color: var(--soft); font-size: 13px; line-height: 1.35 }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 18px }
.pair section { margin: 0 }
.row { display: grid; gap: 10px; grid-template-columns: repeat(4, 1fr); margin: 0 0 12px }
.five { grid-template-columns: repeat(5, 1fr) }
.three { grid-template-columns: repeat(3, 1fr); max-width: 680px }
figure { margin: 0 }
figure img { width: 100%; display: block; border-radius: 8px; background: #fff }
figcaption { font-size: 12.5px; color: var(--soft); padding: 4px 2px }
.zoom { cursor: zoom-in }
.zoom input { position: absolute; opacity: 0; pointer-events: none }
.zoom input:checked ~ img { position: fixed; inset: 0; width: 100vw; height: 100vh; object-fit: contain;
  background: #000d; z-index: 9; cursor: zoom-out; border-radius: 0 }
.wipe, .turn { position: relative; border-radius: 8px; overflow: hidden; background: #fff }
.wipe img, .turn img { width: 100%; display: block }
.wipe img + img { position: absolute; inset: 0; clip-path: inset(0 0 0 50%) }
.turn img { display: none }
.turn img.on { display: block }
.wipe i { position: absolute; bottom: 8px; left: 8px; font: 12px system-ui; background: #0009; color: #fff;
  border-radius: 4px; padding: 1px 7px }
.wipe i + i { left: auto; right: 8px }
input[type=range] { width: 100%; margin: 10px 0 0; accent-color: var(--one) }
table { border-collapse: collapse; font-size: 14px }
body, svg text { font-variant-numeric: tabular-nums }
td, th { padding: 3px 18px 3px 0; text-align: left; vertical-align: top; font-weight: 400; overflow-wrap: anywhere }
th { color: var(--soft); min-width: 110px }
.facts { columns: 3 280px; column-gap: 28px }
.facts div { break-inside: avoid; margin: 0 0 18px }
.facts p, .pair p { margin: 0 0 6px; color: var(--ink); font-weight: 600 }
.pair section p { color: var(--soft); font-weight: 400; margin: 0 0 14px }
.bar { display: grid; grid-template-columns: 150px 1fr 70px; gap: 10px; align-items: center; font-size: 14px;
  margin: 5px 0 }
.bar div { background: var(--line); border-radius: 4px; height: 9px; overflow: hidden }
.bar div b { display: block; height: 9px; background: var(--one) }
.bar.low div b { background: var(--two) }
.bar em { font-style: normal; color: var(--soft); text-align: right }
svg { width: 100%; height: auto; display: block }
svg text { font: 12px system-ui; fill: var(--soft) }
svg .grid { stroke: var(--line) }
svg polyline { fill: none; stroke-width: 1.8 }
svg polyline.a { stroke: var(--one) }
svg polyline.b { stroke: var(--two) }
svg text.a, svg rect { fill: var(--one) }
svg text.b { fill: var(--two) }
ul { margin: 6px 0 18px; padding-left: 20px }
li { margin: 3px 0 }
@media (max-width: 700px) { .row, .five, .three { grid-template-columns: repeat(2, 1fr) } }
"""
_SCRIPT = """
const follow = (box, move) => box.addEventListener('pointermove', e => {
  const edge = box.getBoundingClientRect(); move((e.clientX - edge.left) / edge.width) });
for (const box of document.querySelectorAll('[data-wipe]')) {
  const slider = box.parentNode.querySelector('input'), top = box.querySelectorAll('img')[1];
  const show = () => top.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
  slider.addEventListener('input', show);
  follow(box, share => { slider.value = 100 * share; show() });
  show() }
for (const box of document.querySelectorAll('[data-turn]')) {
  const slider = box.parentNode.querySelector('input'), views = [...box.querySelectorAll('img')];
  const show = () => views.forEach((view, i) => view.classList.toggle('on', i == slider.value));
  slider.addEventListener('input', show);
  follow(box, share => { slider.value = Math.min(views.length - 1, Math.floor(views.length * share)); show() });
  show() }
"""


def text(value: object) -> str:
    """Any value as text that is safe in HTML and in attributes."""
    return html.escape(str(value), quote=True)


def document(title: str, body: str) -> str:
    """A whole page. Its policy lets it load nothing and run no script but its own, whatever the body holds."""
    own = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{own}'"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main>{body}</main><script>{_SCRIPT}</script></body></html>\n"
    )


def section(title: str, words: str, content: str) -> str:
    """A card with a heading and a sentence; `content` is HTML."""
    said = f"<p>{text(words)}</p>" if words else ""
    return f"<section><h2>{text(title)}</h2>{said}{content}</section>"


def source(image: np.ndarray, quality: int = 86) -> str:
    """[H, W, 3] uint8 as a data URL (JPEG)."""
    good, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert good  # JPEG takes any uint8 picture
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def picture(image: np.ndarray, caption: str, quality: int = 86) -> str:
    """A picture with a caption; it fills the window when clicked."""
    shown = f'<img src="{source(image, quality)}" alt="{text(caption)}">'
    enlarged = f'<label class="zoom"><input type="checkbox">{shown}</label>'
    return f"<figure>{enlarged}<figcaption>{text(caption)}</figcaption></figure>"


def row(pictures: Iterable[str], kind: str = "") -> str:
    """Pictures side by side."""
    return f'<div class="row {kind}">{"".join(pictures)}</div>'


def wipe(left: np.ndarray, right: np.ndarray, names: tuple[str, str]) -> str:
    """Two pictures of one size under a slider."""
    both = f'<img src="{source(left)}" alt="{text(names[0])}"><img src="{source(right)}" alt="{text(names[1])}">'
    labels = f"<i>{text(names[0])}</i><i>{text(names[1])}</i>"
    slider = '<input type="range" min="0" max="100" value="50" aria-label="boundary">'
    return f'<div><div class="wipe" data-wipe>{both}{labels}</div>{slider}</div>'


def turntable(views: Sequence[np.ndarray], caption: str) -> str:
    """Views from side to side under a slider."""
    shown = "".join(f'<img src="{source(view)}" alt="{text(caption)} {i + 1}">' for i, view in enumerate(views))
    slider = f'<input type="range" min="0" max="{len(views) - 1}" value="{len(views) // 2}" aria-label="angle">'
    return f'<div><div class="turn" data-turn>{shown}</div>{slider}</div>'


def tiles(entries: Iterable[tuple[str, str]]) -> str:
    """Large figures with a few words below: (figure, words)."""
    each = (f'<div class="tile"><b>{text(a)}</b><span>{text(b)}</span></div>' for a, b in entries)
    return f'<div class="tiles">{"".join(each)}</div>'


def table(rows: Iterable[tuple[object, ...]]) -> str:
    """Name in the first column, values in the others."""
    lines = "".join(
        f"<tr><th>{text(name)}</th>{''.join(f'<td>{text(value)}</td>' for value in values)}</tr>"
        for name, *values in rows
    )
    return f"<table>{lines}</table>"


def bars(entries: Iterable[tuple[str, float, str]]) -> str:
    """Shares in [0, 1] as bars: (name, share, words); short ones stand out."""
    out = []
    for name, share, words in entries:
        low = " low" if share < 0.5 else ""
        fill = f'<div><b style="width:{100 * min(max(share, 0), 1):.0f}%"></b></div>'
        out.append(f'<div class="bar{low}"><span>{text(name)}</span>{fill}<em>{text(words)}</em></div>')
    return "".join(out)


def curve(series: Sequence[tuple[str, Sequence[float], Sequence[float]]], x_name: str, y_name: str) -> str:
    """Up to two curves (name, x, y) as inline SVG; values that are not finite are left out."""
    clean = []
    for name, xs, ys in series:
        points = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
        clean.append((name, points[:: max(1, len(points) // 500)]))
    every = [point for _, points in clean for point in points]
    if len(every) < 2:
        return ""
    (x0, x1), (y0, y1) = _span([x for x, _ in every]), _span([y for _, y in every])
    left, top, width, height = 46, 30, 584, 150

    def place(x: float, y: float) -> tuple[float, float]:
        return left + width * (x - x0) / (x1 - x0), top + height * (1 - (y - y0) / (y1 - y0))

    parts = []
    for y in _ticks(y0, y1):
        at = place(x0, y)[1]
        parts.append(f'<line class="grid" x1="{left}" x2="{left + width}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in _ticks(x0, x1):
        parts.append(f'<text x="{place(x, y0)[0]:.1f}" y="{top + height + 16}" text-anchor="middle">{x:g}</text>')
    for kind, (name, points), at in zip("ab", clean, (left + width - 90, left + width), strict=False):
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in (place(*point) for point in points))
        parts.append(f'<polyline class="{kind}" points="{line}"/>')
        if len(clean) > 1:
            parts.append(f'<text class="{kind}" x="{at}" y="14" text-anchor="end">{text(name)}</text>')
    parts.append(f'<text x="{left + width}" y="{top + height + 33}" text-anchor="end">{text(x_name)}</text>')
    parts.append(f'<text x="2" y="14">{text(y_name)}</text>')
    return f'<svg viewBox="0 0 640 222" role="img" aria-label="{text(y_name)}">{"".join(parts)}</svg>'


def columns(counts: dict[str, int], x_name: str) -> str:
    """A histogram as inline SVG."""
    most, width = max([*counts.values(), 1]), 600 / max(len(counts), 1)
    parts = []
    for i, (name, count) in enumerate(counts.items()):
        x, tall = 20 + i * width, 120 * count / most
        parts.append(
            f'<rect class="a" x="{x + 3:.1f}" y="{140 - tall:.1f}" width="{width - 6:.1f}" height="{tall:.1f}" rx="2"/>'
        )
        parts.append(f'<text x="{x + width / 2:.1f}" y="156" text-anchor="middle">{text(name)}</text>')
        if count:
            parts.append(f'<text x="{x + width / 2:.1f}" y="{136 - tall:.1f}" text-anchor="middle">{count}</text>')
    parts.append(f'<text x="620" y="174" text-anchor="end">{text(x_name)}</text>')
    return f'<svg viewBox="0 0 640 180" role="img" aria-label="{text(x_name)}">{"".join(parts)}</svg>'


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers within a span."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    first = math.ceil(low / step)
    return [round(k * step, 12) for k in range(first, math.floor(high / step) + 1)]
