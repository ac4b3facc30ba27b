"""How the training goes: its loss, its figures on held-out frames, and the film beside the avatar as last saved."""

from __future__ import annotations

import html
import logging
import threading
import time

import numpy as np
import viser

from ...errors import AvatarError
from ...training.checkpoint import Snapshot
from ..runs import Watched
from ..server import Later
from ..stage import CAPTURED, Stage
from ..visitor import Visitor
from .calls import on_loop
from .plot import Plot

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
        found: what is shown now.
        later: runs what goes to a page.
    """

    def __init__(self, gui: viser.GuiApi, stage: Stage, watched: Watched, found: Snapshot, later: Later) -> None:
        self._stage, self._watched, self._later = stage, watched, later
        self._compare = gui.add_folder("Film and avatar")
        with self._compare:
            self.frame = gui.add_html("", order=1e9)
        self.line = gui.add_html("")
        self.progress = gui.add_progress_bar(0.0)
        self.loss = Plot(gui, "iteration", {"loss": "#4dabf7"}, height=170, visible=False)
        self.figures = Plot(gui, "iteration", {"held-out PSNR (dB)": "#69db7c"}, height=170, visible=False)
        self.news = ""
        self._take(found)
        self.show(found)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="run", daemon=True)
        self._thread.start()

    def come(self, client: viser.ClientHandle, visitor: Visitor) -> None:
        """Give a visitor their own wipe."""
        if self._stage.film is None:
            return
        with self._compare:
            beside = client.gui.add_checkbox(
                "Side by side", False, hint="The captured frame left of the line, the avatar right of it"
            )
            wipe = client.gui.add_slider("Wipe", 0.0, 1.0, 0.01, 0.5)

        def change(event: viser.GuiEvent) -> None:
            if event.target is wipe and not beside.value:
                beside.value = True
            share = min(max(float(wipe.value), 0.0), 1.0) if beside.value else None
            begins = share is not None and visitor.share is None
            place = self._stage.front()
            visitor.compare(share, self._stage.avatar.camera, float(place.look_at[2]) / 100)
            if share is None:
                visitor.go(self._stage.front_for(visitor))
            self._stage.compare()
            if begins and self._stage.name != CAPTURED:
                client.add_notification(
                    "Nothing was filmed of this", "Choose 'Captured motion' to see the film beside it.", color="yellow"
                )
            if begins and self._stage.renderer.look.path != "server":
                client.add_notification(
                    "The browser draws the avatar",
                    "Let this machine draw it to see the film beside it.",
                    color="yellow",
                )

        beside.on_update(on_loop(change))
        wipe.on_update(on_loop(change))

    def tick(self, now: float) -> None:
        """Say which frame is on show, and whether training knows it."""
        shown = self._stage.renderer.captured(now)
        text = "Choose 'Captured motion' to see the film beside it."
        if shown is not None:
            kind = "held out: training never saw it" if shown.row in shown.film.held else "trained on"
            text = f"Frame {int(shown.film.frame[shown.row])}, {kind}"
        elif self._stage.film is None:
            text = "The footage of this run was deleted."
        content = f'<div style="padding:2px 1em 6px;font-size:0.85em;opacity:0.75">{html.escape(text)}</div>'
        if content != self.frame.content:
            self.frame.content = content

    def show(self, found: Snapshot) -> None:
        """Put the figures of a checkpoint into the panel."""
        done, whole = found.iteration, max(found.iterations, 1)
        share = f"{done:,} of {whole:,} iterations".replace(",", "\u202f")
        parts = [share, f"{found.seconds / 60:.1f} min"]
        peeks = found.peeks[np.isfinite(found.peeks).all(1)]
        if len(peeks):
            parts.append(f"{peeks[-1, 1]:.1f} dB on held-out frames")
        self.news = "Trained" if done >= whole else f"Training, {done / whole:.0%}"
        text = html.escape(" · ".join(parts))
        self.line.content = f'<div style="padding:4px 1em;font-size:0.9em">{text}</div>'
        self.progress.value = 100 * min(done / whole, 1.0)
        history = found.history[np.isfinite(found.history).all(1)]
        for plot, rows in ((self.loss, history), (self.figures, peeks)):
            if len(rows) > 1:
                kept = rows[:: max(1, len(rows) // _POINTS)]
                plot.show((kept[:, 0], kept[:, 1]), 0.0, float(done))
            else:
                plot.hide()

    def _take(self, found: Snapshot) -> None:
        self._stage.film = self._watched.film(found.avatar)

    def _follow(self) -> None:
        while not self._stopped.wait(_LOOK):
            if not self._watched.changed():
                continue
            started = time.monotonic()
            try:
                found = self._watched.load()
            except AvatarError as error:  # half of a run may be gone for a moment
                log.warning("The run could not be read: %s", error)
                continue
            self._stage.become(found.avatar, self._watched.film(found.avatar))
            self._later(self.show, found)
            log.debug("Loaded iteration %d in %.1f s", found.iteration, time.monotonic() - started)

    def close(self) -> None:
        """Stop following."""
        self._stopped.set()
        self._thread.join(10)
