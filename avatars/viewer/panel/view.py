"""Where to look from, which is each visitor's own matter, and what to show, which is everybody's."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import viser

from ..figure import SHOWN
from ..framing import MAX_FOV, MIN_FOV
from ..look import BACKGROUND, PATHS, Look
from ..stage import Stage
from ..visitor import Visitor
from .calls import on_loop

_ANGLES = {"30° left": 30.0, "Front": 0.0, "30° right": -30.0}
_BACKDROPS = {"Dark": BACKGROUND, "Grey": (128, 128, 128), "White": (250, 250, 250), "Green": (0, 177, 64)}
_PATH_NAMES = {"This machine": "server", "The browser": "client"}
_SHOWN = {name.capitalize(): name for name in SHOWN}


class ViewTab:
    """Camera, background and layers.

    Args:
        gui: viser's.
        stage: what is shown.
    """

    def __init__(self, gui: viser.GuiApi, stage: Stage) -> None:
        self._stage, look = stage, stage.renderer.look
        self._first = look
        assert set(_PATH_NAMES.values()) == set(PATHS)
        self._camera = gui.add_folder("Your camera")
        with gui.add_folder("Background"):
            self.background = gui.add_rgb("Colour", look.background)
            self.backdrops = gui.add_button_group(" ", tuple(_BACKDROPS))
        with gui.add_folder("Layers"):
            self.show = gui.add_dropdown("Splats", tuple(_SHOWN), initial_value=look.show.capitalize())
            self.wireframe = gui.add_checkbox("Wireframe", look.wireframe, hint="The mesh that carries the splats")
            self.landmarks = gui.add_checkbox("Landmarks", look.landmarks, hint="The points that tracking fits")
            self.path = gui.add_dropdown(
                "Drawn by", tuple(_PATH_NAMES), initial_value=next(k for k, v in _PATH_NAMES.items() if v == look.path),
                hint="This machine (where avatars runs): the exact picture, for any connection. "
                "The browser: smooth camera, more data.",
            )  # fmt: skip
        self.reset = gui.add_button("Reset view", icon=viser.Icon.REFRESH, color="gray")
        self.backdrops.on_click(on_loop(self._backdrop))
        self.reset.on_click(on_loop(self._reset))
        for handle in (self.background, self.show, self.wireframe, self.landmarks, self.path):
            handle.on_update(on_loop(lambda _: self._look()))

    def come(self, client: viser.ClientHandle, visitor: Visitor) -> None:
        """Give a visitor the controls of their own camera; they leave with the page."""
        with self._camera:
            angles = client.gui.add_button_group("Look from", tuple(_ANGLES))
            orbit = client.gui.add_button("Orbit", icon=viser.Icon.ROTATE_360, color="gray")
            first = round(math.degrees(self._stage.front().fov) * 2) / 2
            fov = client.gui.add_slider(
                "Field of view (°)", round(math.degrees(MIN_FOV)), round(math.degrees(MAX_FOV)), 0.5, first
            )
            line = client.gui.add_html("")
        visitor.fov, visitor.line = fov, line

        def go(_: viser.GuiEvent) -> None:
            angle = _ANGLES.get(angles.value)
            if angle is not None:
                visitor.orbit(None, time.monotonic())
                visitor.go(self._stage.front_for(visitor).turned(angle))
                self._stage.renderer.wake()

        def swing(_: viser.GuiEvent) -> None:
            visitor.orbit(None if visitor.orbiting is not None else self._stage.front_for(visitor), time.monotonic())
            self._stage.renderer.wake()

        def zoom(event: viser.GuiEvent) -> None:
            if event.client is not None:  # a visitor's hand, not our own update
                visitor.zoom(min(max(math.radians(float(fov.value)), MIN_FOV), MAX_FOV))
                self._stage.renderer.wake()

        angles.on_click(on_loop(go))
        orbit.on_click(on_loop(swing))
        fov.on_update(on_loop(zoom))

    def _reset(self, event: viser.GuiEvent) -> None:
        visitor = None if event.client is None else self._stage.renderer.visitors.get(event.client.client_id)
        if visitor is not None:
            visitor.orbit(None, time.monotonic())
            visitor.go(self._stage.front_for(visitor))
        self._put(self._first)

    def _put(self, look: Look) -> None:
        self.background.value = look.background
        self.show.value = look.show.capitalize()
        self.wireframe.value, self.landmarks.value = look.wireframe, look.landmarks
        self.path.value = next(k for k, v in _PATH_NAMES.items() if v == look.path)
        self._look()

    def _backdrop(self, _: viser.GuiEvent) -> None:
        color = _BACKDROPS.get(self.backdrops.value)
        if color is not None:
            self.background.value = color
            self._look()

    def _look(self) -> None:
        r, g, b = (min(max(int(c), 0), 255) for c in self.background.value)
        self._stage.renderer.look = replace(
            self._stage.renderer.look,
            background=(r, g, b),
            show=_SHOWN.get(self.show.value, "picture"),
            wireframe=bool(self.wireframe.value),
            landmarks=bool(self.landmarks.value),
            path=_PATH_NAMES.get(self.path.value, "server"),
        )
        self._stage.renderer.wake()
