"""A plot of curves in the colours of the dark panel."""

from __future__ import annotations

import numpy as np
import viser
from viser import uplot


def add_plot(
    gui: viser.GuiApi, x: str, curves: dict[str, str], *, height: int, unit: bool = False, shade: str = ""
) -> viser.GuiUplotHandle:
    """An empty plot.

    Args:
        gui: viser's.
        x: name of the horizontal axis.
        curves: colour of each curve by name.
        height: px.
        unit: the vertical axis goes from 0 to 1; otherwise it fits the curves.
        shade: name of one more series of zeros and ones that shades what it covers; '' for none.
    """
    quiet: uplot.Axis = {"stroke": "#909296", "grid": {"stroke": "#3b3b3f", "width": 1}, "size": 40}
    scales: dict[str, uplot.Scale] = {"x": {"time": False}}
    if unit:
        scales["y"] = {"auto": False, "range": (0.0, 1.0)}
    series: list[uplot.Series] = [uplot.Series(label=x)]
    series += [uplot.Series(label=name, stroke=color, width=1.5) for name, color in curves.items()]
    if shade:
        series.append(uplot.Series(label=shade, stroke="#77777733", fill="#7f7f8f22", width=1))
    nothing = tuple(np.array([-1.0, 0.0]) if i == 0 else np.zeros(2) for i in range(len(series)))
    return gui.add_uplot(
        nothing, tuple(series), scales=scales, axes=(quiet, quiet | {"size": 44}), legend={"live": False}, height=height
    )
