"""A plot of curves in the colours of the dark panel."""

from __future__ import annotations

import numpy as np
import viser
from viser import uplot


class Plot:
    """Curves over a stretch of the horizontal axis that is given with them.

    The stretch is always said: a page that is left to find it remembers its place relative to the curves, and loses it
    while the plot is on a tab that was never opened (seen with viser 1.1.1: an empty plot, or one point).

    Args:
        gui: viser's.
        x: name of the horizontal axis.
        curves: colour of each curve by name.
        height: px.
        unit: the vertical axis goes from 0 to 1; otherwise it fits the curves.
        shade: name of one more series of zeros and ones that shades what it covers; '' for none.
        visible: whether it is shown from the start.
    """

    def __init__(
        self, gui: viser.GuiApi, x: str, curves: dict[str, str], *, height: int, unit: bool = False, shade: str = "",
        visible: bool = True,
    ) -> None:  # fmt: skip
        quiet: uplot.Axis = {"stroke": "#909296", "grid": {"stroke": "#3b3b3f", "width": 1}, "size": 40}
        self._y: dict[str, uplot.Scale] = {"y": {"auto": False, "range": (0.0, 1.0)}} if unit else {}
        self.stretch = (0.0, 1.0)
        """Ends of the horizontal axis."""
        series: list[uplot.Series] = [uplot.Series(label=x)]
        series += [uplot.Series(label=name, stroke=color, width=1.5) for name, color in curves.items()]
        if shade:
            series.append(uplot.Series(label=shade, stroke="#77777733", fill="#7f7f8f22", width=1))
        nothing = tuple(np.array(self.stretch) if i == 0 else np.zeros(2) for i in range(len(series)))
        self._handle = gui.add_uplot(
            nothing, tuple(series), scales=self._scales(), axes=(quiet, quiet | {"size": 44}),
            legend={"live": False}, height=height, padding=(10, 20, 0, 0), visible=visible,
        )  # fmt: skip

    def _scales(self) -> dict[str, uplot.Scale]:
        return {"x": uplot.Scale(time=False, range=self.stretch), **self._y}

    def show(self, curves: tuple[np.ndarray, ...], first: float, last: float) -> None:
        """Show curves.

        Args:
            curves: places on the horizontal axis [n], increasing, and each curve's values there [n].
            first, last: what of the horizontal axis is shown.
        """
        if (first, last) != self.stretch:
            self.stretch = (first, last)
            self._handle.scales = self._scales()
        self._handle.data = curves
        self._handle.visible = True

    def hide(self) -> None:
        """Show nothing, until there are curves again."""
        self._handle.visible = False
