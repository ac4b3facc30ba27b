"""A voice drives the face: live from a microphone, or a sound that a page plays, in time with what is heard there."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from ...data import Motion
from ...speech.habits import Amounts
from ...speech.stream import Stream
from ..person import Face, Person
from .live import Live

FPS = 50.0
_AHEAD = 0.06
"""s that a picture is drawn ahead of the sound: about how long it takes from here to the screen."""
_PATIENCE = 0.7
"""s without news of a playing page after which its sound is taken to have stopped."""
MAX_SECONDS = 1200.0


class Speech:
    """One voice at a time. Sound comes from the web server's threads, faces go to the renderer's.

    Args:
        person: who speaks.
    """

    def __init__(self, person: Person) -> None:
        self._person, self._lock = person, threading.Lock()
        self._emotion: tuple[dict[str, float], float] = ({}, 0.0)
        self._amounts = Amounts()
        self._live: Live | None = None
        self._begin()

    def _begin(self) -> None:
        self._stream = Stream(FPS, amounts=self._amounts)
        if self._emotion[0]:
            self._stream.set_emotion(*self._emotion)
        self._pieces: list[Motion] = []
        self._whole: Motion | None = None
        self._position, self._reported, self._playing = 0.0, 0.0, False
        self._pcm: list[np.ndarray] = []
        self._rate, self._came = 0, 0.0

    # -- settings -----------------------------------------------------------------------------------------------

    def feel(self, weights: Mapping[str, float], intensity: float) -> None:
        """Speak with an emotion, from the next sound frame on."""
        with self._lock:
            self._emotion = (dict(weights), intensity)
            self._stream.set_emotion(*self._emotion)

    def set_amounts(self, amounts: Amounts) -> None:
        """How much of blinks, gaze, head and brows; from the next sound on."""
        with self._lock:
            self._amounts = amounts

    @property
    def live(self) -> bool:
        """Whether a microphone is being listened to."""
        return self._live is not None

    # -- sound --------------------------------------------------------------------------------------------------

    def begin_live(self) -> None:
        """A microphone opened."""
        with self._lock:
            self._begin()
            self._live = Live(self._person)

    def begin_sound(self) -> None:
        """A sound is coming that the page will play."""
        with self._lock:
            self._begin()
            self._live = None

    def hear(self, pcm: np.ndarray, rate: int, now: float) -> float:
        """Take sound [n] of floats; returns the s of motion that are ready.

        Raises:
            InputError: not finite, or the rate changed.
        """
        with self._lock:
            motion = self._stream.feed(pcm, rate)
            if not self._pcm:
                self._came = now - len(pcm) / rate
            self._keep(pcm, rate)
            return self._take(motion, now)

    def end(self, now: float) -> float:
        """The sound is complete; returns the s of motion."""
        with self._lock:
            return self._take(self._stream.flush(), now)

    def _take(self, motion: Motion, now: float) -> float:
        if self._live is not None:
            self._live.take(motion, now)
            return 0.0
        if len(motion.times):
            self._pieces.append(motion)
            self._whole = None
        return float(self._pieces[-1].times[-1]) if self._pieces else 0.0

    def played(self, position: float, playing: bool, now: float) -> None:
        """A page says where its loudspeaker is, s."""
        with self._lock:
            self._position, self._playing, self._reported = position, playing, now

    def stop(self) -> None:
        """Fall silent."""
        with self._lock:
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
            position, live, rate = self.position(now), self._live, self._rate
            if not self._pcm or (live is None and position is None):
                return None
            whole, came = np.concatenate(self._pcm), self._came
        # A live face shows sound that is as old as the stream waits for what follows it.
        late = self._stream.latency_ms / 1000
        first = start - came - late if live is not None else (position or 0.0) - (now - start)
        places = (first + np.arange(int((now - start) * 16000)) / 16000) * rate
        return np.interp(places, np.arange(len(whole)), whole, left=0.0, right=0.0).astype(np.float32)

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
