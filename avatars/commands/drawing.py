"""Pictures of an avatar as arrays, for the verbs that write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..data import Camera
from ..errors import InputError
from ..splats.avatar import Avatar
from ..splats.model import Pose
from ..training.evaluate import render_row
from ..training.frames import FrameStore
from .pictures import parse_color

_MOST = 24
"""Pictures on a sheet."""


@dataclass(frozen=True)
class Shot:
    """One picture to draw: a pose and where it is seen from."""

    pose: Pose
    camera: Camera


def fitted(camera: Camera, size: int) -> Camera:
    """The camera with `size` pixels along its longer side, both sides even."""
    if not 64 <= size <= 4096:
        raise InputError(f"A size of {size} px", where="--size", fix="Choose 64 to 4096")
    scale = size / max(camera.width, camera.height)
    return camera.resized(*(max(2, 2 * round(side * scale / 2)) for side in (camera.width, camera.height)))


class Drawer:
    """Draws shots over one background.

    Args:
        avatar: whom.
        background: a colour, 'plate' for what was behind the person in the film, or 'none' for transparency.
        camera: gives the size in pixels.

    Raises:
        InputError: no such colour, or the avatar has no plate.
    """

    def __init__(self, avatar: Avatar, background: str, camera: Camera) -> None:
        self.model, self.transparent = avatar.model(), background == "none"
        if background == "plate":
            if avatar.plate is None:
                raise InputError("The avatar has no plate: its camera moved", fix="Choose a colour with --background")
            plate = cv2.resize(avatar.plate, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
            self.background = torch.from_numpy(plate.transpose(2, 0, 1).astype(np.float32) / 255)[None]
        else:
            self.background = torch.tensor((0.0, 0.0, 0.0) if self.transparent else parse_color(background))

    @torch.no_grad()
    def __call__(self, shot: Shot) -> np.ndarray:
        """[H, W, 3] uint8, or [H, W, 4] with straight alpha where the background is 'none'."""
        drawn = self.model.render(shot.pose, shot.camera, self.background)
        color = drawn.color[0].clamp(0, 1)
        if self.transparent:
            alpha = drawn.alpha[0].clamp(0, 1)
            color = torch.cat([(color / alpha.clamp_min(1e-6)).clamp(0, 1), alpha])
        return (color * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


class Comparison:
    """Captured frame, avatar, and four times their difference, side by side.

    Args:
        avatar: with the refined poses of all frames.
        store: the clip's frames, by the same rows.
    """

    def __init__(self, avatar: Avatar, store: FrameStore) -> None:
        self.model, self.store, self.camera = avatar.model(), store, avatar.camera
        self.pose = Pose.of_track(avatar.track)

    def __call__(self, row: int) -> np.ndarray:
        """[H, 3 W, 3] uint8 of one row of the track."""
        drawn = render_row(self.model, self.store, self.camera, self.pose[row], row)[0].clamp(0, 1)
        captured = self.store.get(row, 0).image[0]
        three = torch.cat([captured, drawn, (4 * (drawn - captured).abs()).clamp(0, 1)], 2)
        return (three * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def sheet(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures side by side and in rows, about as wide as high in number."""
    columns = len(pictures) if len(pictures) <= 6 else int(np.ceil(np.sqrt(len(pictures) * 1.5)))
    blank = np.full_like(pictures[0], 255)
    rows = [list(pictures[i : i + columns]) for i in range(0, len(pictures), columns)]
    rows[-1] += [blank] * (columns - len(rows[-1]))
    return np.concatenate([np.concatenate(row, 1) for row in rows], 0)


def chosen(count: int) -> np.ndarray:
    """Which of `count` frames a sheet shows."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST)).round().astype(int))
