"""Ctrl-C and SIGTERM: work stops where it can go on later.

While a stage works in small steps of its own (training), the signal is only noted and the stage stops after the
present step, so that what it saves is whole; a second signal stops at once. Elsewhere the first one does: what a stage
writes appears only when complete.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The user asked to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interrupts:
    """Handles the two signals for the whole process."""

    def __init__(self) -> None:
        self.patient = False
        """Whether the present stage calls `check` often, between steps."""
        self._asked: int | None = None

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Handle the signals; outside the main thread nothing is changed."""
        self.patient, self._asked = False, None
        try:
            before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        except ValueError:
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Stop here if that was asked for."""
        if self._asked is not None:
            raise Stopped(self._asked)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.patient and self._asked is None:
            self._asked = number
            print("\nstopping after this step, then saving", file=sys.stderr)
            return
        raise Stopped(number)


INTERRUPTS = Interrupts()
