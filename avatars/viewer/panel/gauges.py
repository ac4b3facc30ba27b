"""Live numbers: the coefficient curves, and how fast each visitor's pictures come."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import viser

from ...heads.arkit import INDEX
from ...motion.coefficients import to_arkit
from ..stage import Stage
from .plot import Plot

_SPAN = 6.0
"""s of curve that are shown of what comes in live."""
_WINDOW, _POINTS = 20.0, 160
"""s of a recording that are shown at most, like the page of a book, and in how many points."""
_CURVES: dict[str, tuple[str, tuple[str, ...]]] = {
    "jaw": ("#4dabf7", ("jawOpen",)),
    "smile": ("#69db7c", ("mouthSmileLeft", "mouthSmileRight")),
    "lips": ("#ffa94d", ("mouthPucker", "mouthFunnel")),
    "blink": ("#f783ac", ("eyeBlinkLeft", "eyeBlinkRight")),
    "brows": ("#b197fc", ("browInnerUp",)),
}


@dataclass(frozen=True)
class Curves:
    """What the plot shows."""

    data: tuple[np.ndarray, ...]
    """Times [n] s, the value of each curve there, and whether that lies ahead."""
    first: float
    last: float
    """s, ends of the time axis."""


class Gauges:
    """Updated from the viewer's slow loop.

    Args:
        stage: what is measured.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def add_curves(self, gui: viser.GuiApi) -> None:
        """The plot."""
        colors = {name: color for name, (color, _) in _CURVES.items()}
        self.plot = Plot(gui, "s", colors, height=230, unit=True, shade="ahead")

    def curves(self, now: float) -> Curves | None:
        """What to plot; may take a while for heads that do not speak ARKit.

        Of a recording the page is shown that it stands in, of everything else the last seconds.
        """
        recording = self._stage.recording
        if recording is not None and recording.clock.duration > 0:
            place, whole = recording.clock.time(now), recording.clock.duration
            first = min(place // _WINDOW * _WINDOW, max(whole - _WINDOW, 0.0))
            last = min(first + _WINDOW, whole)
            times, expression = recording.curves(first, last, _POINTS)
            return Curves((times, *self._values(expression), (times > place).astype(float)), first, last)
        kept = self._stage.history.since(now - _SPAN)
        if len(kept) < 2:
            return None
        kept = kept[:: max(1, len(kept) // 120)]
        times = np.array([t for t, _ in kept] + [now])
        faces = [face.expression for _, face in kept]
        curves = self._values(np.stack([*faces, faces[-1]]))
        # What was on show when the span began is held from there on: who stands still for long has a curve too.
        data = (np.maximum(times - now, -_SPAN), *curves, np.zeros(len(times)))
        return Curves(data, -_SPAN, 0.0)

    def _values(self, expression: np.ndarray) -> list[np.ndarray]:
        """The curves [T] of expressions [T, E]."""
        rows = to_arkit(self._stage.avatar.head, expression)
        return [rows[:, [INDEX[n] for n in names]].max(1) for _, names in _CURVES.values()]

    def draw(self, curves: Curves | None) -> None:
        """Show what `curves` gave."""
        if curves is not None:
            self.plot.show(curves.data, curves.first, curves.last)

    def count(self) -> None:
        """Each visitor's own figures."""
        now, visitors = time.monotonic(), list(self._stage.renderer.visitors.values())
        end = [f"{len(self._stage.avatar.splats):,} splats".replace(",", "\u202f")]
        if len(visitors) > 1:
            end.append(f"{len(visitors)} pages open")
        for visitor in visitors:
            if visitor.line is None:
                continue
            rate = visitor.frame_rate(now)
            begin = [f"{rate:.0f} pictures/s", f"{1000 * visitor.latency:.0f} ms", f"{visitor.rows} rows"]
            if self._stage.renderer.look.path != "server":
                begin = ["drawn in the browser"]
            elif rate < 1:
                begin = ["standing still"]
            text = " · ".join(begin + end)
            content = f'<div style="padding:2px 1em 6px;font-size:0.8em;opacity:0.65">{text}</div>'
            if content != visitor.line.content:
                visitor.line.content = content
