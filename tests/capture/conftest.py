"""What the capture tests share: where real footage lies, and how to read a little of it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


def footage(name: str) -> Path:
    """Path of a real clip, or skip."""
    path = SHARED / "clips" / name
    if not path.exists():
        pytest.skip(f"needs ../shared/clips/{name}, kept beside the checkout")
    return path


@lru_cache(maxsize=8)
def read_clip(name: str, count: int) -> np.ndarray:
    """The first `count` frames [count, H, W, 3] of a real clip, decoded by plain PyAV (not by the code under test)."""
    import av

    frames = []
    with av.open(str(footage(name))) as container:
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == count:
                break
    return np.stack(frames)
