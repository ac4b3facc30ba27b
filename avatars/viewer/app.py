"""The viewer: server, stage and panel put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import viser

from ..errors import InputError
from ..splats.avatar import Avatar
from . import sound_page
from .framing import UP
from .look import PATHS, backdrop
from .panel.drive import Drive
from .panel.face import FaceTab
from .panel.gauges import Gauges
from .panel.save import SaveTab
from .panel.training import TrainingTab
from .panel.view import ViewTab
from .runs import Progress, Watched
from .scene import Scene
from .server import Server
from .sound import SoundTalk
from .sources.livelink import PORT as LIVELINK_PORT
from .stage import Stage

log = logging.getLogger("avatars.viewer")
_SLOW_LOOP = 0.2
_MAX_DISTANCE, _MIN_DISTANCE = 1.66, 0.12
"""m that the camera may be away from what it looks at."""


@dataclass(frozen=True)
class Options:
    """How to serve."""

    host: str = "127.0.0.1"
    port: int = 8080
    splats: str = "server"
    """Where splats are drawn, one of `look.PATHS`."""
    recordings: tuple[Path, ...] = ()
    """Live Link Face CSV files to choose from."""
    sounds: tuple[Path, ...] = ()
    """Sound files to choose from."""
    livelink_port: int = LIVELINK_PORT

    def validate(self) -> Options:
        """Return self, or raise InputError."""
        if self.splats not in PATHS:
            raise InputError(
                f"Splats cannot be drawn by '{self.splats}'", where="--splats", fix=f"Choose {' or '.join(PATHS)}"
            )
        for path in self.sounds:
            from ..capture.audio import read_audio

            if read_audio(path) is None:
                raise InputError("There is no sound in this file", where=path)
        return self


class Viewer:
    """A running viewer.

    Args:
        avatar: who is shown; None for the avatar of `watched`.
        options: how.
        watched: a run whose newest checkpoint is shown, now and whenever there is another.

    Raises:
        InputError: the port is taken, or a file cannot be used.
    """

    def __init__(self, avatar: Avatar | None, options: Options | None = None, watched: Watched | None = None) -> None:
        options = (options or Options()).validate()
        progress: Progress | None = None
        if avatar is None:
            if watched is None:
                raise InputError("There is nothing to show")
            avatar, progress = watched.load()
        self.name = str(avatar.manifest.get("name") or "avatar")[:80]
        self.talk = SoundTalk(options.sounds)
        self.server = Server(
            options.host, options.port, self.name, pages={sound_page.PATH: sound_page.PAGE},
            talks={sound_page.SOCKET: self.talk},
            downloads={f"{sound_page.FILES}{i}": path for i, path in enumerate(options.sounds)},
        )  # fmt: skip
        try:
            self._build(avatar, options)
            self.training = None
            if watched is not None and progress is not None:
                with self.tabs.add_tab("Training", viser.Icon.CHART_DOTS):
                    self.training = TrainingTab(self.server.viser.gui, self.stage, watched, progress, self.server.later)
        except BaseException:
            self.server.stop()
            raise
        self._stopped = threading.Event()
        self._slow = asyncio.run_coroutine_threadsafe(self._run_slow(), self.server.viser.get_event_loop())
        self.stage.renderer.start()

    def _build(self, avatar: Avatar, options: Options) -> None:
        web = self.server.viser
        later, phone = self.server.later, (options.host, options.livelink_port)
        self.stage = Stage(avatar, Scene(web.scene, later), options.recordings, phone, later)
        self.stage.renderer.look = replace(
            self.stage.renderer.look, path=options.splats, background=backdrop(avatar.plate)
        )
        web.scene.set_up_direction(UP)
        web.scene.world_axes.visible = False
        place = self.stage.front()
        start = web.initial_camera
        start.position, start.look_at, start.fov = place.position, place.look_at, place.fov
        start.near, start.far = 1.0, 1000.0
        gui = web.gui
        gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, control_width="medium")
        gui.main_panel.dock_right()
        gui.main_panel.set_width(340)
        self.gauges = Gauges(self.stage)
        self.gauges.add_line(gui)
        self.drive = Drive(gui, self.stage, self._hear, later)
        self.tabs = tabs = gui.add_tab_group()
        with tabs.add_tab("Face", viser.Icon.MOOD_SMILE):
            self.face = FaceTab(gui, self.stage)
        with tabs.add_tab("View", viser.Icon.EYE):
            self.view = ViewTab(gui, self.stage)
        with tabs.add_tab("Curves", viser.Icon.CHART_LINE):
            self.gauges.add_curves(gui)
        with tabs.add_tab("Save", viser.Icon.DOWNLOAD):
            self.save = SaveTab(gui, self.stage, self.name, later)
        self.slow: list[Callable[[float], None]] = [self.drive.tick, self.save.tick]
        """Called a few times a second."""
        web.on_client_connect(self._come)
        web.on_client_disconnect(self._leave)

    async def _come(self, client: viser.ClientHandle) -> None:
        visitor = self.stage.renderer.come(client)
        client.camera.min_orbit_distance, client.camera.max_orbit_distance = _MIN_DISTANCE * 100, _MAX_DISTANCE * 100

        async def moved(_: viser.CameraHandle) -> None:
            visitor.camera_came()
            self.stage.renderer.wake()

        client.camera.on_update(moved)

    async def _leave(self, client: viser.ClientHandle) -> None:
        self.stage.renderer.leave(client)

    def _hear(self) -> None:
        self.talk.speech = self.stage.speech

    async def _run_slow(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(_SLOW_LOOP)
            if not self.stage.renderer.visitors:
                continue
            now = time.monotonic()
            try:
                for step in self.slow:
                    step(now)
                self.gauges.draw(await asyncio.to_thread(self.gauges.curves, now))
                if count % 5 == 0:
                    self.gauges.count(self.training.news if self.training is not None else "")
            except Exception:  # the panel must outlive one bad update, which is shown in the terminal
                log.exception("The panel could not be updated")
            count += 1

    @property
    def url(self) -> str:
        """The address to open, token included."""
        return self.server.guard.url

    def run(self) -> None:
        """Serve until interrupted."""
        with contextlib.suppress(KeyboardInterrupt):
            self._stopped.wait()

    def stop(self) -> None:
        """Close everything."""
        self._stopped.set()
        self._slow.cancel()
        if self.training is not None:
            self.training.close()
        self.stage.close()
        self.server.stop()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
