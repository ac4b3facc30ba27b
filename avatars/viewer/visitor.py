"""One open page: its camera, the pictures that it gets, and how well they keep up."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import viser

from ..data import Camera
from .figure import FAR, Figure
from .framing import UP, Place, Viewpoint
from .look import Look
from .runs import Film
from .server import Later
from .sharpness import Sharpness
from .wipe import compose, in_place, place

_SETTLED = 0.18
"""s without motion after which a sharp picture follows."""
_QUALITY, _STILL_QUALITY = 78, 93
_SWING, _PERIOD = 38.0, 9.0
"""Degrees to each side and s of one swing of the orbiting camera."""
RATE = 25.0
"""Pictures per second that are aimed at; more are drawn when there is time."""


@dataclass(frozen=True)
class Captured:
    """What was filmed of the face on show."""

    film: Film
    row: int
    camera: Camera


class Visitor:
    """Called from the renderer's thread, except where noted."""

    def __init__(self, client: viser.ClientHandle, later: Later) -> None:
        self.client, self.sharpness, self._later = client, Sharpness(RATE), later
        self._handed_over = False
        self.sent: deque[float] = deque(maxlen=120)
        """Monotonic times of the latest pictures."""
        self.latency = 0.0
        """s from the cause of a picture (a pose, a turn of the camera) to its being sent, smoothed."""
        self.orbiting: Place | None = None
        self._orbit_since = 0.0
        self._shown: tuple[object, ...] = ()
        self._changed, self._is_sharp = -math.inf, False
        self._turned = time.monotonic()
        self._blank: tuple[object, ...] = ()
        self.viewpoint: Viewpoint | None = None
        self.rows = 0
        """Of the latest picture; 0 where the page draws the splats itself."""
        self.fov: viser.GuiInputHandle[float] | None = None
        """The visitor's own slider for the field of view, degrees."""
        self.line: viser.GuiHtmlHandle | None = None
        """Where the visitor's figures are shown."""
        self.share: float | None = None
        """Of the picture that shows the captured film; None where that is not asked for."""

    @property
    def last(self) -> float:
        """Monotonic time of the last picture, s."""
        return self.sent[-1] if self.sent else -math.inf

    @property
    def still(self) -> bool:
        """Whether the sharp picture of what is on show was sent."""
        return self._is_sharp

    def camera_came(self) -> None:
        """The page's camera moved; from any thread."""
        self._turned = time.monotonic()

    def orbit(self, place: Place | None, now: float) -> None:
        """Swing around a place, or stop; from any thread."""
        self._orbit_since, self.orbiting = now, place

    def waiting(self) -> bool:
        """Whether the last picture is still on this side of the connection, or the page is gone."""
        buffer = self.client._websock_connection.get_message_buffer()
        if buffer.done or self._handed_over:
            return True
        return any(type(m).__name__ == "BackgroundImageMessage" for m in tuple(buffer.message_from_id.values()))

    def go(self, place: Place) -> None:
        """Move the page's camera; from any thread."""
        self._later(self._go, place)

    def _go(self, place: Place) -> None:
        camera = self.client.camera
        with self.client.atomic():
            camera.up_direction = UP
            camera.position = place.position
            camera.look_at = place.look_at
            camera.fov = place.fov
        degrees = round(math.degrees(place.fov) * 2) / 2
        if self.fov is not None and self.fov.value != degrees:
            self.fov.value = degrees

    def compare(self, share: float | None, capture: Camera, distance: float) -> None:
        """Show the film beside the avatar, from where it was filmed; from any thread.

        Args:
            share: of the width that shows the film, None to stop.
            capture: its camera.
            distance: m to the head.
        """
        begins = share is not None and (self.viewpoint is None or not in_place(self.viewpoint))
        self.share = share
        if begins and self.viewpoint is not None:
            self.orbiting = None
            self.go(place(capture, self.viewpoint, distance))

    def zoom(self, fov: float) -> None:
        """Change the page's field of view, rad; from any thread."""
        self._later(setattr, self.client.camera, "fov", fov)
        if self.orbiting is not None:
            self.orbiting = replace(self.orbiting, fov=fov)

    def move(self, now: float) -> None:
        """Keep orbiting, and look where the page's camera stands."""
        if self.orbiting is not None:
            angle = _SWING * math.sin(2 * math.pi * (now - self._orbit_since) / _PERIOD)
            self.go(self.orbiting.turned(angle))
        self.viewpoint = Viewpoint.of(self.client.camera)

    def draw(
        self, figure: Figure, pose: int, look: Look, stamp: float, visitors: int, shown: Captured | None = None
    ) -> bool:
        """Send a picture if one is due; whether another will be due soon.

        Args:
            figure, pose: what to draw, and its number.
            stamp: monotonic time that the pose belongs to.
            visitors: how many share the machine.
            shown: the captured frame of this pose, where there is one.
        """
        view = self.viewpoint
        if view is None or self.waiting():
            return True
        beside = shown if self.share is not None and in_place(view) else None
        key = (pose, view, look, beside is not None, self.share)
        now = time.monotonic()
        if key != self._shown:
            causes = [at for new, at in zip(key, (stamp, self._turned), strict=False) if new not in self._shown[:2]]
            cause = min(causes, default=now)
            rows = self.sharpness.moving(view.height)
            self._send(figure, view, look, rows, _QUALITY, beside)
            self._is_sharp = False  # even a whole one: it was packed for speed
            took = time.monotonic()
            self.sharpness.took(rows, took - now, visitors)
            self._shown, self._changed = key, took
            self.latency += 0.1 * (max(took - min(cause, now), 0.0) - self.latency)
            return True
        if self._is_sharp:
            return False
        if now - self._changed < _SETTLED:
            return True
        self._send(figure, view, look, self.sharpness.still(view.height), _STILL_QUALITY, beside)
        self._is_sharp = True
        return False

    def _send(
        self, figure: Figure, view: Viewpoint, look: Look, rows: int, quality: int, beside: Captured | None
    ) -> None:
        camera = view.camera(rows)
        background = np.array(look.background, np.float32) / 255
        if beside is not None and self.share is not None:
            size, color = (camera.width, camera.height), np.array(look.background, np.uint8)
            image = compose(figure, beside.film, beside.row, beside.camera, size, self.share, color)
            depth = None
        elif look.show == "nothing":
            image = np.broadcast_to(np.array(look.background, np.uint8), (camera.height, camera.width, 3))
            depth = np.full((2, 2), FAR, np.float32) if look.layers else None
        else:
            image, depth = figure.picture(camera, background, look.show, depth=look.layers)
        self._handed_over, self.rows, self._blank = True, rows, ()
        self._later(self._push, image, quality, depth)

    def _push(self, image: np.ndarray, quality: int, depth: np.ndarray | None) -> None:
        buffer = self.client._websock_connection.get_message_buffer()
        with buffer.sanctioned_dead_writes():  # a page may close while its picture is being drawn
            self.client.scene.set_background_image(image, format="jpeg", jpeg_quality=quality, depth=depth)
        self.client.flush()
        self.sent.append(time.monotonic())
        self._handed_over = False

    def blank(self, look: Look) -> None:
        """Only the background: the page draws the splats itself."""
        if self._blank != (look.background,):
            color = np.full((2, 2, 3), look.background, np.uint8)
            self._later(lambda: self.client.scene.set_background_image(color, format="png"))
            self._blank, self._shown, self._is_sharp = (look.background,), (), True
            self.rows = 0

    def frame_rate(self, now: float) -> float:
        """Pictures per second over the last two seconds."""
        return sum(t > now - 2 for t in self.sent) / 2
