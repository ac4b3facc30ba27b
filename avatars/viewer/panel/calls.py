"""Where a visitor's touch is handled: on the server's own loop (see `Server.later`), one after another."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import viser

Handler = Callable[[viser.GuiEvent], Coroutine[Any, Any, None]]


def on_loop(call: Callable[[viser.GuiEvent], None]) -> Handler:
    """A handler that runs on the loop instead of in a thread of its own; for calls that take a millisecond."""

    async def handle(event: viser.GuiEvent) -> None:
        call(event)

    return handle
