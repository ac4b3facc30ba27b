"""How the training goes: its loss, and the avatar as it was last saved."""

from __future__ import annotations

import html
import logging
import threading
import time

import numpy as np
import viser

from ...errors import AvatarError
from ..runs import Progress, Watched
from ..server import Later
from ..stage import Stage
from .plot import add_plot

log = logging.getLogger("avatars.viewer")
_LOOK = 2.0
"""s between looks at the files."""
_POINTS = 400


class TrainingTab:
    """Follows a run in a thread of its own.

    Args:
        gui: viser's.
        stage: that shows the avatar.
        watched: the run.
        progress: of what is shown now.
        later: runs what goes to a page.
    """

    def __init__(self, gui: viser.GuiApi, stage: Stage, watched: Watched, progress: Progress, later: Later) -> None:
        self._stage, self._watched, self._later = stage, watched, later
        self.line = gui.add_html("")
        self.plot = add_plot(gui, "iteration", {"loss": "#4dabf7"}, height=220)
        self.news = ""
        self.show(progress)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="run", daemon=True)
        self._thread.start()

    def show(self, progress: Progress) -> None:
        """Put the figures of a checkpoint into the panel."""
        share = f"{progress.iteration:,} of {progress.iterations:,} iterations".replace(",", "\u202f")
        minutes = f"{progress.seconds / 60:.1f} min"
        self.news = "trained" if progress.iteration >= progress.iterations else f"training, {progress.iteration}"
        self.line.content = f'<div style="padding:4px 1em;font-size:0.9em">{html.escape(share)} in {minutes}</div>'
        history = progress.history[np.isfinite(progress.history).all(1)]
        if len(history) > 1:
            kept = history[:: max(1, len(history) // _POINTS)]
            self.plot.data = (kept[:, 0], kept[:, 1])

    def _follow(self) -> None:
        while not self._stopped.wait(_LOOK):
            if not self._watched.changed():
                continue
            started = time.monotonic()
            try:
                avatar, progress = self._watched.load()
            except AvatarError as error:  # half of a run may be gone for a moment
                log.warning("The run could not be read: %s", error)
                continue
            self._stage.become(avatar)
            self._later(self.show, progress)
            log.debug("Loaded iteration %d in %.1f s", progress.iteration, time.monotonic() - started)

    def close(self) -> None:
        """Stop following."""
        self._stopped.set()
        self._thread.join(10)
