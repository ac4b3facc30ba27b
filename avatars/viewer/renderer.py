"""The renderer: one thread that asks the puppet for the face of the moment and draws it for every visitor.

Nothing waits for a visitor: a page whose last picture has not left yet is passed over, and gets a newer one later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import viser

from ..raster.threads import native_threads
from ..splats.model import AvatarModel
from .figure import Figure
from .look import Look
from .person import Face
from .puppet import Puppet
from .scene import Scene
from .server import Later
from .visitor import Captured, Visitor

log = logging.getLogger("avatars.viewer")
_TICK = 1 / 30
_SPLAT_TICK = 1 / 15
"""s between updates of what the page draws itself: every one is hundreds of kilobytes."""
_IDLE = 0.5

Watcher = Callable[[Face, float], None]


class Renderer:
    """Draws until it is stopped.

    Args:
        model: what to draw.
        puppet: in which pose.
        scene: for what pages draw themselves.
        later: runs what goes to a page.
    """

    def __init__(self, model: AvatarModel, puppet: Puppet, scene: Scene, later: Later) -> None:
        self.puppet, self._scene, self._model, self._later = puppet, scene, model, later
        self.look = Look()
        self.visitors: dict[int, Visitor] = {}
        self.watchers: list[Watcher] = []
        """Called from the renderer's thread with each new face and its monotonic time."""
        self.captured: Callable[[float], Captured | None] = lambda now: None
        """The captured frame of the face at a monotonic time."""
        self.pace: Callable[[float], float] = lambda now: 0.0
        """s that pages want between two pictures, at a monotonic time."""
        self.figure: Figure | None = None
        self.face: Face | None = None
        self._number, self._drawn = 0, -1
        self._lock = threading.Lock()
        self._news, self._stopped = threading.Event(), threading.Event()
        self._on_page: tuple[object, ...] = ()
        self._page_time = 0.0
        self._thread = threading.Thread(target=self._run, name="renderer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        self._stopped.set()
        self._news.set()
        self._thread.join(10)

    def wake(self) -> None:
        """Something changed; from any thread."""
        self._news.set()

    def show(self, model: AvatarModel) -> None:
        """Draw another model from now on."""
        with self._lock:
            self._model, self.face = model, None
            self._scene.reset()
            self._on_page = ()
        self.wake()

    def come(self, client: viser.ClientHandle) -> Visitor:
        """A page opened."""
        visitor = Visitor(client, self._later)
        with self._lock:
            self.visitors[client.client_id] = visitor
        self.wake()
        return visitor

    def leave(self, client: viser.ClientHandle) -> None:
        """A page closed."""
        with self._lock:
            self.visitors.pop(client.client_id, None)

    def _run(self) -> None:
        with native_threads():
            self._loop()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            self._news.clear()
            try:
                busy = self._tick(began)
            except Exception:  # the thread must outlive one bad frame, which is shown once in the terminal
                log.exception("A frame could not be drawn")
                busy = False
            rest = _TICK - (time.monotonic() - began)
            if busy:
                self._stopped.wait(max(rest, 0.001))
            else:
                self._news.wait(_IDLE)

    def _tick(self, now: float) -> bool:
        """One frame for everybody; whether the next one will differ."""
        face, moving = self.puppet.show(now)
        with self._lock:
            visitors, model = list(self.visitors.values()), self._model
            if self.figure is None or not face.same(self.face):
                self.figure, self.face = Figure(model, face), face
                self._number += 1
                fresh = True
            else:
                fresh = False
        if fresh:
            for watcher in tuple(self.watchers):
                watcher(face, now)
        look = self.look
        shown = self.captured(now) if any(v.share is not None for v in visitors) else None
        moving |= self._update_page(look, now)
        pace = self.pace(now)
        for visitor in visitors:
            visitor.move(now)
            if look.path == "client":
                visitor.blank(look)
            elif now - visitor.last < pace or visitor.draw(self.figure, self._number, look, now, len(visitors), shown):
                moving = True
            moving |= visitor.orbiting is not None
        return moving and bool(visitors)

    def _update_page(self, look: Look, now: float) -> bool:
        """Layers, and splats that pages draw; whether they are behind."""
        key = (self._number, look)
        needed = look.layers or look.path == "client" or (self._on_page and self._on_page[1] != look)
        if key == self._on_page or not needed or self.figure is None:
            return False
        if now - self._page_time < _SPLAT_TICK or self._scene.behind:
            return True
        self._scene.update(self.figure, look)
        self._on_page, self._page_time = key, now
        return False
