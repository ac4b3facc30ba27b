"""A voice drives the face: live from a microphone, or a sound that a page plays, in time with what is heard there."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...data import Motion
from ...speech.habits import Amounts, Habits
from ...speech.stream import Stream
from ...speech.style import Style
from ..person import Face, Person
from .heard import Heard, Utterance
from .live import Live

FPS = 50.0
_AHEAD = 0.09
"""s that a picture is drawn ahead of the sound: about how long it takes from here to the screen. With 0.06 lips were
46 ms late on a page without a graphics card (tests/viewer/test_browser_sound.py); a little early is noticed least."""
_PATIENCE = 0.7
"""s without news of a playing page after which its sound is taken to have stopped."""
MAX_SECONDS = 1200.0


@dataclass(frozen=True, eq=False)
class Voice:
    """Whose way of speaking and moving it is."""

    style: Style | None = None
    """Of lips and face; None for the usual one."""
    habits: Habits = field(default_factory=Habits)
    """Blinks, gaze, head and brows."""


@dataclass(frozen=True)
class Delivery:
    """How something is said."""

    voice: Voice = field(default_factory=Voice)
    emotion: Mapping[str, float] = field(default_factory=dict)
    intensity: float = 0.0
    amounts: Amounts = field(default_factory=Amounts)

    def stream(self) -> Stream:
        """A stream that speaks so from its first frame on."""
        stream = Stream(FPS, style=self.voice.style, habits=self.voice.habits, amounts=self.amounts)
        stream.set_emotion(self.emotion, self.intensity)
        stream.reset()
        return stream


class Speech:
    """One voice at a time. Sound comes from the web server's threads, faces go to the renderer's.

    Args:
        person: who speaks.
        delivery: how.
    """

    def __init__(self, person: Person, delivery: Delivery | None = None) -> None:
        self._person, self._lock = person, threading.Lock()
        self._feeding = threading.Lock()
        """Held while the stream works, which takes long; `_lock` never is, for the renderer waits for it."""
        self._heard = Heard()
        self._delivery = delivery or Delivery()
        self._live: Live | None = None
        self._number = 0
        self._thinker: threading.Thread | None = None
        self._begin()

    def _begin(self) -> None:
        self._stream = self._delivery.stream()
        self._number += 1
        self._ended = self._stale = False
        self._pieces: list[Motion] = []
        self._whole: Motion | None = None
        self._position, self._reported, self._playing, self._frame = 0.0, 0.0, False, 0.0
        self._pcm: list[np.ndarray] = []
        self._rate, self._came = 0, 0.0

    # -- settings -----------------------------------------------------------------------------------------------

    def deliver(self, delivery: Delivery) -> None:
        """Speak otherwise: a microphone's voice takes on style and emotion at once, a playing sound is thought over."""
        with self._lock:
            if delivery == self._delivery:
                return
            self._delivery, live = delivery, self._live is not None
            if self._pcm and not live:
                self._stale = True
                self._think_again()
                return
        with self._feeding:
            if live:
                self._stream.set_style(delivery.voice.style)
                self._stream.set_emotion(delivery.emotion, delivery.intensity)
            else:
                self._stream = delivery.stream()

    def _think_again(self) -> None:
        """The motion of a whole sound anew, in a thread of its own; called with the lock held."""
        if self._stale and self._ended and self._thinker is None:
            self._thinker = threading.Thread(target=self._think, name="speech", daemon=True)
            self._thinker.start()

    def _think(self) -> None:
        while True:
            with self._lock:
                if not (self._stale and self._ended):
                    self._thinker = None
                    return
                self._stale, number = False, self._number
                sound, rate, stream = np.concatenate(self._pcm), self._rate, self._delivery.stream()
            motion = _joined([stream.feed(sound, rate), stream.flush()])
            with self._lock:
                if number == self._number and len(motion.times):
                    self._pieces, self._whole = [motion], motion

    def become(self, person: Person) -> None:
        """The same head in another state."""
        self._person = person
        if self._live is not None:
            self._live.become(person)

    @property
    def live(self) -> bool:
        """Whether a microphone is being listened to."""
        return self._live is not None

    # -- sound --------------------------------------------------------------------------------------------------

    def begin_live(self) -> None:
        """A microphone opened."""
        with self._feeding, self._lock:
            self._over()
            self._begin()
            self._live = Live(self._person)

    def begin_sound(self) -> None:
        """A sound is coming that the page will play."""
        with self._feeding, self._lock:
            self._over()
            self._begin()
            self._live = None

    def hear(self, pcm: np.ndarray, rate: int, now: float) -> float:
        """Take sound [n] of floats; returns the s of motion that are ready.

        Raises:
            InputError: not finite, or the rate changed.
        """
        with self._feeding:
            motion = self._stream.feed(pcm, rate)
            with self._lock:
                if not self._pcm:
                    self._came = now - len(pcm) / rate
                self._keep(pcm, rate)
                return self._take(motion, now)

    def end(self, now: float) -> float:
        """The sound is complete; returns the s of motion."""
        with self._feeding:
            motion = self._stream.flush()
            with self._lock:
                ready = self._take(motion, now)
                self._ended = True
                self._think_again()
                return ready

    def _take(self, motion: Motion, now: float) -> float:
        if self._live is not None:
            self._live.take(motion, now)
            return 0.0
        if len(motion.times):
            self._pieces.append(motion)
            self._whole = None
        return float(self._pieces[-1].times[-1]) if self._pieces else 0.0

    def played(self, position: float, playing: bool, now: float, frame: float = 0.0) -> None:
        """A page says where its loudspeaker is, s, and how long it takes for a frame, s."""
        with self._lock:
            self._position, self._playing, self._reported, self._frame = position, playing, now, frame

    def pace(self, now: float) -> float:
        """s between pictures that the page which plays can show; 0 while none plays."""
        return self._frame if self.position(now) is not None else 0.0

    def stop(self) -> None:
        """Fall silent."""
        with self._feeding, self._lock:
            self._over()
            self._live = None
            self._begin()

    def _keep(self, pcm: np.ndarray, rate: int) -> None:
        """Remember sound for films: the last minutes of it."""
        self._pcm.append(np.asarray(pcm, np.float32))
        self._rate = rate
        while self._live is not None and sum(map(len, self._pcm)) > MAX_SECONDS * rate:
            self._came += len(self._pcm.pop(0)) / rate

    def sound_since(self, start: float, now: float) -> np.ndarray | None:
        """[samples] at 16 kHz: what was heard between two monotonic times, in time with the faces; None if nothing."""
        with self._lock:
            return self._heard.between(start, now, self._utterance())

    def _utterance(self) -> Utterance | None:
        """What is being said, at the times at which the face shows it; called with the lock held."""
        if not self._pcm or (self._live is None and not self._reported):
            return None
        whole = np.concatenate(self._pcm)
        if self._live is not None:  # such a face is as late as the stream waits for what follows a sound
            start = self._came + self._stream.latency_ms / 1000
            return Utterance(start, start + len(whole) / self._rate, whole, self._rate)
        start = self._reported - self._position - _AHEAD
        return Utterance(start, self._reported + _PATIENCE, whole, self._rate)

    def _over(self) -> None:
        """Remember what was said until now; called with the lock held."""
        said = self._utterance()
        if said is not None:
            self._heard.add(said)

    # -- face ---------------------------------------------------------------------------------------------------

    def position(self, now: float) -> float | None:
        """Where the playing sound is at `now`, s; None while nothing plays."""
        age = now - self._reported
        return self._position + age if self._playing and age < _PATIENCE else None

    def face(self, now: float) -> Face:
        """What the voice does at this moment."""
        with self._lock:
            live, position = self._live, self.position(now)
            if live is None and self._whole is None and self._pieces:
                self._whole = _joined(self._pieces)
                self._pieces = [self._whole]
            whole = self._whole
        if live is not None:
            return live.face(now)
        if whole is None or position is None:
            return self._person.rest
        return self._person.act(_at(whole, position + _AHEAD))

    def moving(self, now: float) -> bool:
        """While a microphone is open or a sound plays."""
        live = self._live
        return live.moving(now) if live is not None else self.position(now) is not None

    def heard(self) -> Motion | None:
        """The motion of the sound so far, for saving."""
        with self._lock:
            return _joined(self._pieces) if self._pieces else None

    def close(self) -> None:
        """Fall silent."""
        self.stop()


def _joined(pieces: list[Motion]) -> Motion:
    return Motion(*(np.concatenate([getattr(p, name) for p in pieces]) for name in Motion.__dataclass_fields__))


def _at(motion: Motion, time: float) -> Motion:
    """One frame, between those of a motion; the last one after its end."""
    high = int(np.clip(np.searchsorted(motion.times, time), 1, max(len(motion.times) - 1, 1)))
    low = high - 1
    high = min(high, len(motion.times) - 1)
    span = motion.times[high] - motion.times[low]
    share = float(np.clip((time - motion.times[low]) / span, 0, 1)) if span > 0 else 0.0

    def between(values: np.ndarray) -> np.ndarray:
        return ((1 - share) * values[low] + share * values[high])[None]

    return Motion(np.array([time]), between(motion.arkit), between(motion.rotation), between(motion.translation))
