"""A face before a camera of this machine, or in a film that stands in for one, tracked live."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from ...capture.faces import EYE_L, EYE_R, LIPS_OUTER, FaceMesh, silenced
from ...capture.probe import VideoInfo, probe
from ...capture.video import glances
from ...errors import AvatarError, InputError, TrackingError
from ..person import Person
from .actor import Actor
from .live import Live

log = logging.getLogger("avatars.viewer")
_SIDE = 640
"""Longer side of the pictures that are looked at, px."""
_PREVIEW_ROWS, _PREVIEW_EVERY = 150, 0.25
_STUCK = 50
"""Empty answers of a device after which it counts as gone."""

Pictures = Iterator[tuple[float, np.ndarray]]
"""Monotonic time of taking and [H, W, 3] uint8 sRGB."""


def parse(where: str) -> int | Path:
    """A camera's number, or a film's path.

    Raises:
        InputError: neither a number nor a film.
    """
    if where.isdecimal():
        return int(where)
    probe(Path(where))
    return Path(where)


class Camera(Live):
    """Follows a face in a thread of its own.

    Args:
        person: who is driven.
        where: a camera's number, or a film, which is played in its own time and over again.
        tell: called with a line about what happens, when it changes.
        show: called a few times a second with a small picture [h, w, 3] of what is seen.

    Raises:
        InputError: the camera cannot be opened, or the file is no film.
    """

    def __init__(
        self, person: Person, where: int | Path, tell: Callable[[str], None], show: Callable[[np.ndarray], None]
    ) -> None:
        super().__init__(person, tell)
        self._show = show
        self._open, self._again = True, False
        self._previewed = 0.0
        self.mirrored = isinstance(where, int)
        self.seconds = 0.0
        """From a picture's being taken to its face being ready, smoothed."""
        pictures = self._device(where) if isinstance(where, int) else self._film(probe(where))
        self.say("Starting")
        self._thread = threading.Thread(target=self._follow, args=(pictures,), name="camera", daemon=True)
        self._thread.start()

    def learn(self) -> None:
        """Take the present face for the resting one."""
        self._again = True

    # -- pictures -----------------------------------------------------------------------------------------------

    def _device(self, number: int) -> Pictures:
        with silenced():
            device = cv2.VideoCapture(number)
        if not device.isOpened():
            raise InputError(
                f"Camera {number} cannot be opened", where="--camera",
                fix="Close the program that uses it, or give another number or a film",
            )  # fmt: skip
        device.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, where the driver can

        def pictures() -> Pictures:
            empty = 0
            try:
                while self._open and empty < _STUCK:
                    fine, image = device.read()
                    if not fine:
                        empty += 1
                        time.sleep(0.02)
                        continue
                    empty = 0
                    scale = min(1.0, _SIDE / max(image.shape[:2]))
                    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                    yield time.monotonic(), cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
            finally:
                device.release()

        return pictures()

    def _film(self, info: VideoInfo) -> Pictures:
        scale = min(1.0, _SIDE / max(info.width, info.height))
        size = (max(round(info.width * scale), 2), max(round(info.height * scale), 2))
        while self._open:
            began = time.monotonic()
            for at, picture in glances(info, size=size):
                wait = began + at - time.monotonic()
                if wait < -1.5 / max(info.rate, 1.0):
                    continue  # too late for this one
                if wait > 0:
                    time.sleep(wait)
                if not self._open:
                    return
                yield time.monotonic(), picture()

    # -- faces --------------------------------------------------------------------------------------------------

    def _follow(self, pictures: Pictures) -> None:
        try:
            with FaceMesh(static=False) as mesh:
                actor: Actor | None = None
                for taken, image in pictures:
                    if actor is None:
                        actor = Actor(self._person, (image.shape[1], image.shape[0]))
                    if self._again:
                        self._again = False
                        actor.begin()
                    found = mesh.detect(image)
                    points = found[0] if len(found) else None
                    self._preview(image, points, taken)
                    self._look(actor, points, taken)
            if self._open:
                self.say("The camera stopped")
        except AvatarError as error:
            self.say(str(error))
        except Exception:  # whatever a driver or a damaged film does, the viewer goes on
            log.exception("The camera source failed")
            self.say("The camera source failed; see the terminal")

    def _look(self, actor: Actor, points: np.ndarray | None, taken: float) -> None:
        if points is None:
            self.say("No face in view")
            return
        try:
            face = actor.see(points, taken)
        except TrackingError:
            self.say("The face cannot be followed")
            return
        if face is None:
            self.say(f"Look into the camera with a calm face: {actor.learned:.0%}")
            return
        now = time.monotonic()
        self.seconds += 0.1 * (now - taken - self.seconds)
        self.put(face, now)
        self.say("Following your face" if self.mirrored else "Following the face")

    def _preview(self, image: np.ndarray, points: np.ndarray | None, now: float) -> None:
        if now - self._previewed < _PREVIEW_EVERY:
            return
        self._previewed = now
        scale = _PREVIEW_ROWS / image.shape[0]
        small = cv2.resize(image, (max(round(image.shape[1] * scale), 1), _PREVIEW_ROWS), interpolation=cv2.INTER_AREA)
        if points is not None:
            for loop in (LIPS_OUTER, EYE_L, EYE_R):
                line = (points[list(loop), :2] * scale * 8).astype(np.int32)
                cv2.polylines(small, [line], True, (90, 200, 255), 1, cv2.LINE_AA, 3)
        self._show(small[:, ::-1] if self.mirrored else small)

    def close(self) -> None:
        """Give the camera back."""
        self._open = False
        self._thread.join(5)
