"""What a source is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..person import Face, Person


class Source(Protocol):
    """A face over time; used from the renderer's thread only, except for `close`."""

    def face(self, now: float) -> Face:
        """The face at a monotonic time in s."""
        ...

    def moving(self, now: float) -> bool:
        """Whether it may look different in the next moment."""
        ...

    def close(self) -> None:
        """Give back sockets, threads and devices."""
        ...


@runtime_checkable
class Following(Source, Protocol):
    """A source that goes on when the avatar that it drives is trained further."""

    def become(self, person: Person) -> None:
        """The same head in another state."""
        ...


@runtime_checkable
class Learning(Source, Protocol):
    """A source that is driven by somebody whose resting face must be known."""

    def learn(self) -> None:
        """Take the present face for the resting one."""
        ...


class Resting:
    """Nobody drives: the person at rest, for the sliders."""

    def __init__(self, rest: Face) -> None:
        self._rest = rest

    def face(self, now: float) -> Face:
        """The resting face."""
        return self._rest

    def moving(self, now: float) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Nothing to give back."""
