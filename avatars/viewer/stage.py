"""Who is on stage and who drives: keeps the sources, and changes them while everything runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..data import Motion
from ..errors import AvatarError
from ..motion.sources import motion_of_csv, motion_of_track
from ..splats.avatar import Avatar
from .clock import Clock
from .framing import Place, front
from .history import History, motion_of_faces
from .person import Person
from .puppet import Puppet
from .renderer import Renderer
from .runs import Film
from .scene import Scene
from .server import Later
from .sources.base import Following, Resting, Source
from .sources.livelink import PORT, LiveLink
from .sources.recording import Recording
from .sources.speech import Delivery, Speech, Voice
from .visitor import Captured, Visitor

log = logging.getLogger("avatars.viewer")
CAPTURED, HANDS, SPEECH, LIVELINK = "Captured motion", "Sliders only", "Speech", "Live Link Face (iPhone)"


@dataclass(frozen=True)
class Sources:
    """What can drive, besides what every avatar brings along."""

    recordings: tuple[Path, ...] = ()
    """Live Link Face CSV files."""
    livelink: tuple[str, int] = ("127.0.0.1", PORT)
    """UDP address to listen on when that source is chosen."""
    camera: int | Path | None = None
    """A camera's number, or a film in its place."""
    voices: dict[str, Voice] = field(default_factory=lambda: {"General": Voice()})
    """Ways of speaking by name, the usual one first."""


class Stage:
    """One avatar and its drivers.

    Args:
        avatar: who is shown.
        scene: what pages draw themselves.
        sources: what can drive.
        later: runs what goes to a page.

    Raises:
        InputError: a recording cannot be read.
    """

    def __init__(self, avatar: Avatar, scene: Scene, sources: Sources, later: Later) -> None:
        self.avatar, self.sources = avatar, sources
        self.motions: dict[str, Motion] = {path.name: motion_of_csv(path) for path in sources.recordings}
        where = sources.camera
        self.camera = "" if where is None else f"Camera {where}" if isinstance(where, int) else f"Film: {where.name}"
        """Name of that source; '' where there is none."""
        self.film: Film | None = None
        """The footage, while a training is watched."""
        self.delivery = Delivery(next(iter(sources.voices.values())))
        self.puppet = Puppet(Person(avatar))
        self.renderer = Renderer(avatar.model(), self.puppet, scene, later)
        self.renderer.captured = self._captured
        self.renderer.pace = lambda now: self.speech.pace(now) if self.speech is not None else 0.0
        self.speech: Speech | None = None
        self.history = History()
        self.renderer.watchers.append(self.history)
        self.name = ""
        self.tell: Callable[[str], None] = log.info
        """Shows a line of news of the present source."""
        self.show: Callable[[np.ndarray], None] = lambda picture: None
        """Shows what a camera sees."""
        self._lock = threading.RLock()
        self.choose(CAPTURED)

    @property
    def names(self) -> tuple[str, ...]:
        """Sources to choose from."""
        return (CAPTURED, SPEECH, HANDS, LIVELINK, *([self.camera] if self.camera else []), *self.motions)

    @property
    def person(self) -> Person:
        """Who is shown."""
        return self.puppet.person

    def front(self) -> Place:
        """Where to look from at first."""
        return front(self.person.rest, self.avatar.camera)

    def front_for(self, visitor: Visitor) -> Place:
        """Where a visitor looks from at first."""
        view = visitor.viewpoint
        return self.front() if view is None else self.front().fitted(view.width, view.height)

    def choose(self, name: str) -> None:
        """Let a source drive.

        Raises:
            AvatarError: it cannot be opened; the one before goes on.
        """
        with self._lock:
            source = self._open(name)
            before, now = self.puppet.source, time.monotonic()
            self.speech = source if isinstance(source, Speech) else None
            self.puppet.drive(source, now)
            self.name = name
            before.close()
            if isinstance(source, Recording):
                source.clock.play(now)
        self.renderer.wake()

    def _open(self, name: str, clock: Clock | None = None) -> Source:
        """A source; one with a timeline goes on with `clock` if that has its length."""
        self.tell("")
        if name == CAPTURED or name in self.motions:
            captured = name == CAPTURED
            source = Recording.captured(self.avatar) if captured else self._recorded(name)
            source.stepping = captured and self._comparing()
            if clock is not None and clock.duration == source.clock.duration:
                source.clock = clock
            return source
        if name == HANDS:
            return Resting(self.person.rest)
        if name == SPEECH:
            return Speech(self.person, self.delivery)
        if name == LIVELINK:
            return LiveLink(self.person, *self.sources.livelink, self.tell)
        if name == self.camera and self.sources.camera is not None:
            from .sources.camera import Camera  # the face detector is slow to import

            return Camera(self.person, self.sources.camera, self.tell, self.show)
        raise AvatarError(f"There is no source '{name}'")

    def _recorded(self, name: str) -> Recording:
        return Recording.of_motion(self.motions[name], self.avatar)

    @property
    def recording(self) -> Recording | None:
        """The source, where it has a timeline."""
        source = self.puppet.source
        return source if isinstance(source, Recording) else None

    def deliver(self, delivery: Delivery) -> None:
        """Speak so, now and later."""
        self.delivery = delivery
        if self.speech is not None:
            self.speech.deliver(delivery)

    def _comparing(self) -> bool:
        return any(visitor.share is not None for visitor in self.renderer.visitors.values())

    def compare(self) -> None:
        """Whether anybody compares with the film has changed."""
        if self.recording is not None:
            self.recording.stepping = self._comparing()
        self.renderer.wake()

    def _captured(self, now: float) -> Captured | None:
        """The frame that was filmed of what is on show at a monotonic time."""
        recording, film = self.recording, self.film
        if recording is None or film is None or self.name != CAPTURED:
            return None
        return Captured(film, recording.row(now), self.avatar.camera)

    def become(self, avatar: Avatar, film: Film | None = None) -> None:
        """Show another state of the avatar (while it trains); the source goes on where it was.

        Args:
            film: its footage.
        """
        person, model = Person(avatar), avatar.model()
        with self._lock:
            same = avatar.head.sha256 == self.avatar.head.sha256
            self.film, self.avatar = film, avatar
            self.puppet.become(person)
            self.renderer.show(model)
            source = self.puppet.source
            if same and isinstance(source, Following):
                source.become(person)
                return
            playing = source.clock if isinstance(source, Recording) else None
            after = self._open(self.name, playing)
            self.puppet.drive(after, time.monotonic())
            self.speech = after if isinstance(after, Speech) else None
            source.close()

    def motion(self) -> Motion:
        """What to save as motion: the whole recording or sound, else what was shown in the last minutes.

        Raises:
            AvatarError: there is nothing yet.
        """
        if self.name == CAPTURED:
            return motion_of_track(self.avatar.track, self.avatar.head)
        if self.name in self.motions:
            return self.motions[self.name]
        heard = self.speech.heard() if self.speech is not None else None
        if heard is not None:
            return heard
        kept = self.history.since(0.0)
        if len(kept) < 2:
            raise AvatarError("Nothing has moved yet")
        times, faces = zip(*kept, strict=True)
        return motion_of_faces(np.array(times), list(faces), self.avatar.head)

    def close(self) -> None:
        """Stop drawing and give everything back."""
        self.renderer.stop()
        self.puppet.source.close()
