"""What the stages say, shown: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Display

from ..training.build import Listener
from ..training.loop import Progress
from .interrupts import INTERRUPTS

_EVERY = 10.0
"""s between plain lines."""


class Bars(Listener):
    """A bar for each stage with time spent, time left and the latest news.

    Use it as a context manager. Training can be interrupted between its steps here.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._bars: Display | None = None
        self._task: TaskID | None = None
        self._name, self._started, self._said, self._share = "", 0.0, 0.0, 0.0

    def __enter__(self) -> Bars:
        if self.console.is_terminal:
            self._bars = Display(
                TextColumn("{task.description:<9}"),
                BarColumn(bar_width=None),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(compact=True),
                TextColumn("[dim]{task.fields[news]}", markup=True),
                console=self.console,
                expand=True,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        INTERRUPTS.patient = False
        if kind is None:
            self._end()
        if self._bars is not None:
            self._bars.stop()

    def stage(self, name: str, detail: str = "") -> None:
        """A stage begins, and the one before it is done."""
        INTERRUPTS.check()
        self._end()
        INTERRUPTS.patient = name == "train"
        self._name, self._started = name, time.monotonic()
        self._said, self._share = self._started, 0.0
        if self._bars is not None:
            self._task = self._bars.add_task(name, total=1.0, news=_plain(detail))
        else:
            self._line(f"{name}: {detail}" if detail else name)

    def progress(self, share: float, news: str = "") -> None:
        """Share of the present stage that is done."""
        self._show(share, news)

    def step(self, news: str, share: float) -> None:
        """The same for stages that report in that order."""
        self._show(share, news)

    def training(self, progress: Progress) -> None:
        """Training moved on; stops here if that was asked for."""
        words = [f"{progress.rate:.0f} it/s", f"loss {progress.loss:.4f}"]
        if progress.psnr is not None:
            words.append(f"held-out PSNR {progress.psnr:.1f}")
        if self._bars is None:
            words.append(f"{_clock((progress.iterations - progress.iteration) / max(progress.rate, 1e-6))} left")
        self._show(progress.iteration / progress.iterations, ", ".join(words))
        INTERRUPTS.check()

    def say(self, words: str) -> None:
        """A line that stays."""
        self.console.print(_plain(words), highlight=False, soft_wrap=True)

    def _show(self, share: float, news: str) -> None:
        if self._bars is not None and self._task is not None:
            if share < self._share - 0.2:  # the next of several steps: time left is counted afresh
                self._bars.reset(self._task, total=1.0, news=_plain(news))
            self._share = share
            self._bars.update(self._task, completed=share, news=_plain(news))
            return
        now = time.monotonic()
        if now - self._said >= _EVERY:
            self._said = now
            self._line(f"{self._name} {100 * share:3.0f} %  {news}")

    def _end(self) -> None:
        if not self._name:
            return
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=1.0)
        else:
            self._line(f"{self._name} done in {_clock(time.monotonic() - self._started)}")
        self._name = ""

    def _line(self, words: str) -> None:
        self.console.print(_plain(words), highlight=False, soft_wrap=True)


def _plain(words: str) -> str:
    """Without rich's markup: file names may hold brackets."""
    from rich.markup import escape

    return escape(words)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
