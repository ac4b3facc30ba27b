"""The clock of something that can be played: play, pause, seek, speed and loop, on a monotonic clock in seconds."""

from __future__ import annotations

import threading

SPEEDS = {"¼×": 0.25, "½×": 0.5, "1×": 1.0, "2×": 2.0}


class Clock:
    """Position in [0, duration] s. Every method takes `now`, a monotonic time in s; thread-safe.

    Args:
        duration: s; 0 for a single picture.
    """

    def __init__(self, duration: float, *, loop: bool = True) -> None:
        self.duration, self._loop = max(float(duration), 0.0), loop
        self._lock = threading.Lock()
        self._position, self._since, self._speed, self._playing = 0.0, 0.0, 1.0, False

    @property
    def playing(self) -> bool:
        """Whether it runs (it may have reached the end since; see `time`)."""
        return self._playing

    def time(self, now: float) -> float:
        """Position at `now`; without looping it stops at the end."""
        with self._lock:
            return self._time(now)

    def _time(self, now: float) -> float:
        if not self._playing:
            return self._position
        position = self._position + self._speed * max(now - self._since, 0.0)
        if position < self.duration:
            return position
        if self._loop and self.duration > 0:
            return position % self.duration
        self._position, self._playing = self.duration, False
        return self.duration

    def play(self, now: float) -> None:
        """Run on; from the start if it stood at the end."""
        with self._lock:
            position = self._time(now)
            at_end = not self._loop and position >= self.duration
            self._position, self._since, self._playing = (0.0 if at_end else position), now, True

    def pause(self, now: float) -> None:
        """Stand still where it is."""
        with self._lock:
            self._position, self._playing = self._time(now), False

    def seek(self, position: float, now: float) -> None:
        """Go to a position, playing or not."""
        with self._lock:
            self._position, self._since = min(max(position, 0.0), self.duration), now

    def set_speed(self, speed: float, now: float) -> None:
        """Media seconds per second, positive."""
        with self._lock:
            self._position, self._since, self._speed = self._time(now), now, speed

    def set_loop(self, loop: bool, now: float) -> None:
        """Whether it begins again at the end."""
        with self._lock:
            self._position, self._since, self._loop = self._time(now), now, loop
