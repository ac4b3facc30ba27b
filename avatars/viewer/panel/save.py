"""Take something along: a picture, a film, the motion. Files go to the visitor's browser, nothing is written here."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import viser

from ...errors import AvatarError
from ...motion.livelink import write_csv
from ...raster.threads import native_threads
from ..figure import Figure
from ..recorder import MAX_SECONDS, Take, mp4, png
from ..server import Later
from ..stage import Stage
from ..visitor import Visitor


def file_name(name: str) -> str:
    """An avatar's name as the stem of a file."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:60] or "avatar"


class SaveTab:
    """Three buttons.

    Args:
        gui: viser's.
        stage: what is saved.
        name: of the avatar.
        later: runs what goes to a page.
    """

    def __init__(self, gui: viser.GuiApi, stage: Stage, name: str, later: Later) -> None:
        self._stage, self._stem, self._later = stage, file_name(name), later
        self._since: float | None = None
        self._busy = False
        self.picture = gui.add_button("Picture (PNG)", icon=viser.Icon.CAMERA, hint="What this page shows now")
        self.film = gui.add_button(
            "Record a film", icon=viser.Icon.VIDEO,
            hint=f"What the avatar does from now on, seen from where this page stands in the end, with the sound; "
            f"the last {MAX_SECONDS:.0f} s at most",
        )  # fmt: skip
        self.motion = gui.add_button(
            "Motion (Live Link Face CSV)", icon=viser.Icon.FILE_DOWNLOAD,
            hint="The whole recording or sound; of what is driven live, the last five minutes",
        )  # fmt: skip
        style = "padding:0 1em;font-size:0.85em;opacity:0.75"
        gui.add_html(f'<div style="{style}">Files go to the downloads of this browser.</div>')
        self.note = gui.add_html("")
        self.picture.on_click(self._save_picture)
        self.film.on_click(self._record)
        self.motion.on_click(self._save_motion)

    def _visitor(self, event: viser.GuiEvent) -> tuple[viser.ClientHandle, Visitor] | None:
        client = event.client
        visitor = self._stage.renderer.visitors.get(client.client_id) if client is not None else None
        if client is None or visitor is None or visitor.viewpoint is None:
            return None
        return client, visitor

    async def _save_picture(self, event: viser.GuiEvent) -> None:
        found, figure = self._visitor(event), self._stage.renderer.figure
        if found is None or figure is None or found[1].viewpoint is None:
            return
        data = await asyncio.to_thread(png, figure, found[1].viewpoint, self._stage.renderer.look)
        found[0].send_file_download(f"{self._stem}.png", data, save_immediately=True)

    async def _save_motion(self, event: viser.GuiEvent) -> None:
        if event.client is None:
            return
        try:
            data = await asyncio.to_thread(self._csv)
        except AvatarError as error:
            event.client.add_notification("No motion to save", str(error), color="yellow")
            return
        event.client.send_file_download(f"{self._stem}.csv", data, save_immediately=True)

    def _csv(self) -> bytes:
        motion = self._stage.motion()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "motion.csv"
            write_csv(motion, path)
            return path.read_bytes()

    async def _record(self, event: viser.GuiEvent) -> None:
        """Begin, or stop and make the film."""
        found = self._visitor(event)
        if found is None:
            return
        client, visitor = found
        if self._busy:
            client.add_notification("Still working", "The film before is not finished yet.", color="yellow")
            return
        if self._since is None:
            self._since = time.monotonic()
            self.film.label, self.film.color = "Stop recording", "red"
            return
        take = self._take(self._since, visitor)
        self._since, self._busy = None, True
        self.film.label, self.film.color = "Record a film", None
        try:
            data = await asyncio.to_thread(self._film, take)
            client.send_file_download(f"{self._stem}.mp4", data, save_immediately=True)
        except AvatarError as error:
            client.add_notification("No film", str(error), color="yellow")
        finally:
            self._busy = False
            self._later(self._say, "")  # after the last of the progress

    def _take(self, since: float, visitor: Visitor) -> Take | None:
        now = time.monotonic()
        start = max(since, now - MAX_SECONDS)
        kept = self._stage.history.since(start)
        if not kept or visitor.viewpoint is None:
            return None
        times = np.array([*(max(t, start) for t, _ in kept), now])
        faces = [face for _, face in kept] + [kept[-1][1]]
        speech = self._stage.speech
        sound = speech.sound_since(start, now) if speech is not None else None
        return Take(times, faces, visitor.viewpoint, self._stage.renderer.look, sound)

    def _film(self, take: Take | None) -> bytes:
        if take is None:
            raise AvatarError("Nothing was recorded")
        model = self._stage.avatar.model()

        def say(share: float) -> None:
            self._later(self._say, f"Making the film: {share:.0%}")

        with native_threads():
            return mp4(take, lambda face: Figure(model, face), say)

    def _say(self, text: str) -> None:
        content = f'<div style="padding:0 1em;font-size:0.85em">{text}</div>' if text else ""
        if content != self.note.content:
            self.note.content = content

    def tick(self, now: float) -> None:
        """Show how long the recording runs; stop offering more than fits."""
        if self._since is not None:
            self._say(f"Recording: {min(now - self._since, MAX_SECONDS):.0f} s of at most {MAX_SECONDS:.0f}")
