"""How many threads the native kernels use: torch's number, unless a loop claims them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_claimed: ContextVar[int | None] = ContextVar("claimed", default=None)


def thread_count() -> int:
    """Threads for the next native call of this thread."""
    return _claimed.get() or torch.get_num_threads()


@contextmanager
def native_threads() -> Iterator[None]:
    """Give all of torch's threads to the native kernels and one to torch, for loops that alternate between the two.

    Torch's idle workers spin for milliseconds after each of its own small operations and would hold back the kernels.
    Applies to the calling thread.
    """
    own = torch.get_num_threads()
    token = _claimed.set(_claimed.get() or own)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _claimed.reset(token)
        torch.set_num_threads(own)
