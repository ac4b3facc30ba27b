"""One process at a time on a run directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import AvatarError

NAME = "lock"


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold `directory/lock`, which names the owner's process; the directory is made if need be, and removed if unused.

    The lock itself is the kernel's (flock), so one that a killed process left behind is simply taken over.

    Raises:
        AvatarError: another process works on the directory, or it cannot be written.
    """
    path = directory / NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise AvatarError(
            f"Cannot write: {error.strerror}", where=directory, fix="Choose another output with -o"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise AvatarError(
                f"Another process ({owner}) works on this run",
                where=directory,
                fix="Wait for it, stop it, or choose another output",
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            with suppress(OSError):  # only a directory that holds nothing but the lock goes
                if os.listdir(directory) == [NAME]:
                    path.unlink()
                    directory.rmdir()
                else:
                    os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def held(directory: Path) -> bool:
    """Whether a process works on a run directory."""
    try:
        descriptor = os.open(directory / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
