"""A viewer beside a build: a process of its own, which reads what the training saves and which nobody waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_NICE = 5
"""How much the viewer stands back for the training."""
_PATIENCE = 5.0
"""s for it to end."""


@contextmanager
def watching(run: Path | None, say: Callable[[str], None]) -> Iterator[None]:
    """Run `avatars view RUN` on a free port, if there is a run to be watched.

    Args:
        run: the run directory, or None.
        say: gets the viewer's lines, the address to open among them; from a thread.
    """
    if run is None:
        yield
        return
    command = [sys.executable, "-m", "avatars", "view", str(run), "--port", "0"]
    viewer = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    os.setpriority(os.PRIO_PROCESS, viewer.pid, _NICE)
    assert viewer.stdout is not None
    lines = viewer.stdout

    def tell() -> None:
        for line in lines:
            if line.strip():
                say(line.strip().replace("   (Ctrl-C ends)", "   (until the build ends)"))

    reader = threading.Thread(target=tell, name="viewer", daemon=True)
    reader.start()
    try:
        yield
    finally:
        viewer.send_signal(signal.SIGINT)
        try:
            viewer.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            viewer.kill()
            viewer.wait()
        reader.join(1)
        lines.close()
