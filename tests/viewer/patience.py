"""Waiting for what holds sooner or later: no test sleeps for a fixed time and hopes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

PATIENCE = float(os.environ.get("AVATARS_TEST_PATIENCE", "150"))
"""s that anything may take: only a test that fails waits so long, and a busy machine is no reason to fail."""


def until(ready: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
