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
from ..motion.voice import habits_of
from ..speech.style import Style
from ..splats.avatar import Avatar
from ..training.checkpoint import Snapshot
from . import sound_page
from .framing import UP, Viewpoint
from .look import PATHS, backdrop
from .panel.drive import Drive
from .panel.face import FaceTab
from .panel.gauges import Gauges
from .panel.save import SaveTab
from .panel.training import TrainingTab
from .panel.view import ViewTab
from .runs import Watched
from .scene import Scene
from .server import Server
from .sound import SoundTalk
from .sources.livelink import PORT as LIVELINK_PORT
from .sources.speech import Voice
from .stage import Sources, Stage

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
    camera: str = ""
    """A camera's number or a film in its place; '' for none."""
    style: Style | None = None
    """The avatar's own way of speaking, where one was learned."""
    styles: tuple[Path, ...] = ()
    """Other people's ways of speaking to choose from."""

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

    def sources(self, avatar: Avatar) -> Sources:
        """What can drive.

        Raises:
            AvatarError: a style or the film in a camera's place cannot be read.
        """
        camera = None
        if self.camera:
            from .sources.camera import parse  # the face detector is slow to import

            camera = parse(self.camera)
        voices = {"Their own": Voice(self.style, habits_of(avatar)), "General": Voice()}
        for path in self.styles:
            style = Style.load(path)
            voices[path.parent.stem if path.stem == "style" else path.stem] = Voice(style, style.habits)
        return Sources(self.recordings, (self.host, self.livelink_port), camera, voices)


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
        found = watched.load() if watched is not None else None
        if found is not None:
            avatar = found.avatar
        elif avatar is None:
            raise InputError("There is nothing to show")
        self.name = str(avatar.manifest.get("name") or "avatar")[:80]
        self.talk = SoundTalk(options.sounds)
        self.server = Server(
            options.host, options.port, self.name, pages={sound_page.PATH: sound_page.PAGE},
            talks={sound_page.SOCKET: self.talk},
            downloads={f"{sound_page.FILES}{i}": path for i, path in enumerate(options.sounds)},
        )  # fmt: skip
        self.training: TrainingTab | None = None
        try:
            self._build(avatar, options)
            self._build_tabs(self.server.viser.gui, watched, found)
        except BaseException:
            self.server.stop()
            raise
        self.server.viser.on_client_connect(self._come)
        self.server.viser.on_client_disconnect(self._leave)
        self._stopped = threading.Event()
        self._slow = asyncio.run_coroutine_threadsafe(self._run_slow(), self.server.viser.get_event_loop())
        self.stage.renderer.start()

    def _build(self, avatar: Avatar, options: Options) -> None:
        web = self.server.viser
        later = self.server.later
        self.stage = Stage(avatar, Scene(web.scene, later), options.sources(avatar), later)
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
        self.drive = Drive(gui, self.stage, self._hear, later)

    def _build_tabs(self, gui: viser.GuiApi, watched: Watched | None, found: Snapshot | None) -> None:
        """A training comes first where there is one; then there is no room for icons."""
        later, tabs = self.server.later, gui.add_tab_group()
        few = watched is None
        self.slow: list[Callable[[float], None]] = [self.drive.tick]
        """Called a few times a second."""
        if watched is not None and found is not None:
            with tabs.add_tab("Training"):
                self.training = TrainingTab(gui, self.stage, watched, found, later)
            self.slow.append(self.training.tick)
        with tabs.add_tab("Face", viser.Icon.MOOD_SMILE if few else None):
            self.face = FaceTab(gui, self.stage)
        with tabs.add_tab("View", viser.Icon.EYE if few else None):
            self.view = ViewTab(gui, self.stage)
        with tabs.add_tab("Curves", viser.Icon.CHART_LINE if few else None):
            self.gauges.add_curves(gui)
        with tabs.add_tab("Save", viser.Icon.DOWNLOAD if few else None):
            self.save = SaveTab(gui, self.stage, self.name, later)
        self.slow.append(self.save.tick)

    async def _come(self, client: viser.ClientHandle) -> None:
        visitor = self.stage.renderer.come(client)
        client.camera.min_orbit_distance, client.camera.max_orbit_distance = _MIN_DISTANCE * 100, _MAX_DISTANCE * 100

        async def moved(_: viser.CameraHandle) -> None:
            visitor.camera_came()
            self.stage.renderer.wake()

        client.camera.on_update(moved)
        self.view.come(client, visitor)
        visitor.viewpoint = Viewpoint.of(client.camera)
        place = self.stage.front_for(visitor)
        if place.fov != self.stage.front().fov:  # a narrow page
            visitor.go(place)
        if self.training is not None:
            self.training.come(client, visitor)

    async def _leave(self, client: viser.ClientHandle) -> None:
        self.stage.renderer.leave(client)
        self.stage.compare()

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
                    self.gauges.count()
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
