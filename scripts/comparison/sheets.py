"""Contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from avatars import files
from avatars.splats.avatar import Avatar
from avatars.splats.model import Pose

from .pictures import draw

_TILE, _COLUMNS = 224, 10


def sheet(avatar: Avatar, poses: Sequence[tuple[str, Pose]], path: Path) -> None:
    """A contact sheet of named poses, PNG."""
    model, camera = avatar.model(), avatar.camera
    write_sheet([labelled(draw(model, pose, camera), name) for name, pose in poses], path, _COLUMNS)


def labelled(image: np.ndarray, name: str, side: int = _TILE) -> np.ndarray:
    """A tile with its name."""
    scale = side / max(image.shape[:2])
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    tile = np.full((side, side, 3), 255, np.uint8)
    tile[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    cv2.putText(tile, name, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (200, 0, 0), 1, cv2.LINE_AA)
    return tile


def write_sheet(tiles: Sequence[np.ndarray], path: Path, columns: int) -> None:
    """Tiles of one size in rows, PNG."""
    filled = list(tiles) + [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.hstack(filled[i : i + columns]) for i in range(0, len(filled), columns)]
    good, data = cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    assert good
    files.write_bytes(path, data.tobytes())
