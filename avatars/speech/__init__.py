"""Speech to face: a streaming audio-to-expression model that the project trains itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .stream import Stream

__all__ = ["Stream"]


def __getattr__(name: str) -> Any:
    if name == "Stream":
        from .stream import Stream

        return Stream
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
