"""Who is on stage and who drives: keeps the sources, and changes them while everything runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..data import Motion
from ..errors import AvatarError
from ..motion.sources import motion_of_csv, motion_of_track
from ..splats.avatar import Avatar
from .framing import Place, front
from .history import History, motion_of_faces
from .person import Person
from .puppet import Puppet
from .renderer import Renderer
from .scene import Scene
from .server import Later
from .sources.base import Resting, Source
from .sources.livelink import LiveLink
from .sources.recording import Recording
from .sources.speech import Speech

log = logging.getLogger("avatars.viewer")
CAPTURED, HANDS, SPEECH, LIVELINK = "Captured motion", "Sliders only", "Speech", "Live Link Face"


class Stage:
    """One avatar and its drivers.

    Args:
        avatar: who is shown.
        scene: what pages draw themselves.
        recordings: Live Link Face CSV files to choose from.
        livelink: UDP address to listen on when that source is chosen.
        later: runs what goes to a page.

    Raises:
        InputError: a recording cannot be read.
    """

    def __init__(
        self, avatar: Avatar, scene: Scene, recordings: tuple[Path, ...], livelink: tuple[str, int], later: Later
    ) -> None:
        self.avatar = avatar
        self.motions: dict[str, Motion] = {path.name: motion_of_csv(path) for path in recordings}
        self._livelink = livelink
        self.puppet = Puppet(Person(avatar))
        self.renderer = Renderer(avatar.model(), self.puppet, scene, later)
        self.history = History()
        self.renderer.watchers.append(self.history)
        self.speech: Speech | None = None
        self.name = ""
        self.tell: Callable[[str], None] = log.info
        """Shows a line of news of the present source."""
        self._lock = threading.RLock()
        self.choose(CAPTURED)

    @property
    def names(self) -> tuple[str, ...]:
        """Sources to choose from."""
        return (CAPTURED, HANDS, SPEECH, LIVELINK, *self.motions)

    @property
    def person(self) -> Person:
        """Who is shown."""
        return self.puppet.person

    def front(self) -> Place:
        """Where to look from at first."""
        return front(self.person.rest, self.avatar.camera)

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

    def _open(self, name: str) -> Source:
        self.tell("")
        if name == CAPTURED:
            return Recording.captured(self.avatar)
        if name == HANDS:
            return Resting(self.person.rest)
        if name == SPEECH:
            return Speech(self.person)
        if name == LIVELINK:
            return LiveLink(self.person, *self._livelink, self.tell)
        if name in self.motions:
            return Recording.of_motion(self.motions[name], self.avatar)
        raise AvatarError(f"There is no source '{name}'")

    @property
    def recording(self) -> Recording | None:
        """The source, where it has a timeline."""
        source = self.puppet.source
        return source if isinstance(source, Recording) else None

    def become(self, avatar: Avatar) -> None:
        """Show another state of the avatar (while it trains); the source goes on where it was."""
        with self._lock:
            before = self.recording
            clock = before.clock if before is not None and self.name == CAPTURED else None
            self.avatar = avatar
            self.puppet.become(Person(avatar))
            self.renderer.show(avatar.model())
            self.choose(self.name)
            if clock is not None and self.recording is not None and clock.duration == self.recording.clock.duration:
                self.recording.clock = clock

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
