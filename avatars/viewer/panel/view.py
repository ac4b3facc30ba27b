"""Where to look from, and what to show."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import viser

from ..figure import SHOWN
from ..framing import MAX_FOV, MIN_FOV
from ..look import BACKGROUND, PATHS
from ..stage import Stage
from ..visitor import Visitor
from .calls import on_loop

_ANGLES = {"30° left": 30.0, "Front": 0.0, "30° right": -30.0}
_BACKDROPS = {"Dark": BACKGROUND, "Grey": (128, 128, 128), "White": (250, 250, 250), "Green": (0, 177, 64)}
_PATH_NAMES = {"Here (exact)": "server", "In the browser": "client"}


class ViewTab:
    """Camera, background and layers; a camera button moves the camera of the visitor who pressed it.

    Args:
        gui: viser's.
        stage: what is shown.
    """

    def __init__(self, gui: viser.GuiApi, stage: Stage) -> None:
        self._stage, look = stage, stage.renderer.look
        assert set(_PATH_NAMES.values()) == set(PATHS)
        self.angles = gui.add_button_group("Camera", tuple(_ANGLES))
        self.angles.on_click(on_loop(self._go))
        self.orbit = gui.add_button("Orbit", icon=viser.Icon.ROTATE_360, color="gray")
        self.orbit.on_click(on_loop(self._orbit))
        place = stage.front()
        self.fov = gui.add_slider(
            "Field of view (°)",
            round(math.degrees(MIN_FOV)),
            round(math.degrees(MAX_FOV)),
            0.5,
            round(math.degrees(place.fov) * 2) / 2,
        )
        self.fov.on_update(on_loop(self._zoom))
        self.background = gui.add_rgb("Background", look.background)
        self.backdrops = gui.add_button_group(" ", tuple(_BACKDROPS))
        self.backdrops.on_click(on_loop(self._backdrop))
        self.background.on_update(on_loop(lambda _: self._look()))
        with gui.add_folder("Layers"):
            self.show = gui.add_dropdown("Splats", tuple(name.capitalize() for name in SHOWN), initial_value="Picture")
            self.wireframe = gui.add_checkbox("Wireframe", look.wireframe)
            self.landmarks = gui.add_checkbox("Landmarks", look.landmarks)
            self.path = gui.add_dropdown(
                "Drawn", tuple(_PATH_NAMES), initial_value=next(k for k, v in _PATH_NAMES.items() if v == look.path),
                hint="Here: the exact picture, for any connection. In the browser: smooth camera, more data.",
            )  # fmt: skip
        for handle in (self.show, self.wireframe, self.landmarks, self.path):
            handle.on_update(on_loop(lambda _: self._look()))

    def _visitor(self, event: viser.GuiEvent) -> Visitor | None:
        return None if event.client is None else self._stage.renderer.visitors.get(event.client.client_id)

    def _go(self, event: viser.GuiEvent) -> None:
        visitor, angle = self._visitor(event), _ANGLES.get(self.angles.value)
        if visitor is not None and angle is not None:
            visitor.orbit(None, time.monotonic())
            visitor.go(self._stage.front().turned(angle))
            self._stage.renderer.wake()

    def _orbit(self, event: viser.GuiEvent) -> None:
        visitor = self._visitor(event)
        if visitor is not None:
            visitor.orbit(None if visitor.orbiting is not None else self._stage.front(), time.monotonic())
            self._stage.renderer.wake()

    def _zoom(self, event: viser.GuiEvent) -> None:
        visitor = self._visitor(event)
        if visitor is not None:
            fov = min(max(math.radians(float(self.fov.value)), MIN_FOV), MAX_FOV)
            visitor.zoom(fov)
            self._stage.renderer.wake()

    def _backdrop(self, _: viser.GuiEvent) -> None:
        color = _BACKDROPS.get(self.backdrops.value)
        if color is not None:
            self.background.value = color
            self._look()

    def _look(self) -> None:
        r, g, b = (min(max(int(c), 0), 255) for c in self.background.value)
        show = self.show.value.lower()
        self._stage.renderer.look = replace(
            self._stage.renderer.look,
            background=(r, g, b),
            show=show if show in SHOWN else "picture",
            wireframe=bool(self.wireframe.value),
            landmarks=bool(self.landmarks.value),
            path=_PATH_NAMES.get(self.path.value, "server"),
        )
        self._stage.renderer.wake()
