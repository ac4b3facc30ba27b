"""Personal 3D Gaussian head avatars: build from a video, drive, view and export."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Resolved on first use, so that `import avatars` costs nothing.
_LAZY = {
    "AvatarError": "errors",
    "Avatar": "splats.avatar",
    "Camera": "data",
    "Clip": "data",
    "Head": "heads.head",
    "Motion": "data",
    "Splats": "data",
    "Track": "data",
}
__all__ = ["Avatar", "AvatarError", "Camera", "Clip", "Head", "Motion", "Splats", "Track", "__version__"]

if TYPE_CHECKING:
    from .data import Camera, Clip, Motion, Splats, Track
    from .errors import AvatarError
    from .heads.head import Head
    from .splats.avatar import Avatar


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module 'avatars' has no attribute {name!r}")
