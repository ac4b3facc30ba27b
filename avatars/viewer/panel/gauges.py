"""Live numbers: the coefficient curves and the line of figures."""

from __future__ import annotations

import html
import time

import numpy as np
import viser

from ...heads.arkit import INDEX
from ...motion.coefficients import to_arkit
from ..stage import Stage
from .plot import add_plot

_SPAN = 6.0
"""s of curve that are shown."""
_CURVES: dict[str, tuple[str, tuple[str, ...]]] = {
    "jaw": ("#4dabf7", ("jawOpen",)),
    "smile": ("#69db7c", ("mouthSmileLeft", "mouthSmileRight")),
    "lips": ("#ffa94d", ("mouthPucker", "mouthFunnel")),
    "blink": ("#f783ac", ("eyeBlinkLeft", "eyeBlinkRight")),
    "brows": ("#b197fc", ("browInnerUp",)),
}


class Gauges:
    """Updated from the viewer's slow loop.

    Args:
        stage: what is measured.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def add_line(self, gui: viser.GuiApi) -> None:
        """The line of figures."""
        self.line = gui.add_html("")

    def add_curves(self, gui: viser.GuiApi) -> None:
        """The plot."""
        colors = {name: color for name, (color, _) in _CURVES.items()}
        self.plot = add_plot(gui, "s", colors, height=230, unit=True, show_x=False)

    def curves(self, now: float) -> tuple[np.ndarray, ...] | None:
        """Times and values of the last seconds; may take a while for heads that do not speak ARKit."""
        kept = self._stage.history.since(now - _SPAN)
        if len(kept) < 2:
            return None
        kept = kept[:: max(1, len(kept) // 120)]
        times = np.array([t for t, _ in kept] + [now])
        rows = to_arkit(self._stage.avatar.head, np.stack([face.expression for _, face in kept]))
        rows = np.concatenate([rows, rows[-1:]])
        curves = [rows[:, [INDEX[n] for n in names]].max(1) for _, names in _CURVES.values()]
        inside = times >= now - _SPAN
        return (times[inside] - now, *(c[inside] for c in curves))

    def draw(self, curves: tuple[np.ndarray, ...] | None) -> None:
        """Show what `curves` gave."""
        if curves is not None:
            self.plot.data = curves

    def count(self, news: str = "") -> None:
        """The line of figures, with something in front."""
        now, visitors = time.monotonic(), list(self._stage.renderer.visitors.values())
        parts = [html.escape(news)] if news else []
        if self._stage.renderer.look.path == "server" and visitors:
            best = max(visitors, key=lambda v: v.frame_rate(now))
            rate = best.frame_rate(now)
            parts.append(
                f"{rate:.0f} pictures/s, {1000 * best.latency:.0f} ms, {best.rows} rows" if rate >= 1 else "still"
            )
        else:
            parts.append("drawn in the browser")
        parts.append(f"{len(self._stage.avatar.splats):,} splats".replace(",", "\u202f"))
        if len(visitors) > 1:
            parts.append(f"{len(visitors)} pages open")
        text = " · ".join(parts)
        content = f'<div style="padding:2px 1em 6px;font-size:0.8em;opacity:0.65">{text}</div>'
        if content != self.line.content:
            self.line.content = content
