"""Frames ready to be supervision: planar, at two resolutions, with matte, background and weights."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..capture import faces
from ..capture.plate import clear_of, fill
from ..data import Clip

_REGION_PAD = 0.25
_CLEAR = 8, 4.0
"""Level of the matte, of 255, and px at 512 around what it shows, from which a frame is background."""
_COARSE = 8
"""Pixels per pixel of what is kept of the background of a camera that moves."""


@dataclass
class Supervision:
    """One frame as tensors [1, C, H, W], sRGB in [0, 1]."""

    image: Tensor
    matte: Tensor
    weight: Tensor
    background: Tensor
    """Or [3], one colour."""


class FrameStore:
    """All training and test frames of a clip, at full and half working resolution.

    Args:
        clip: the footage.
        rows: indices into the clip, one per row of the track.
        size: longer side of the full resolution, px.
        focus: extra weight of mouth and eyes.
        device: where supervision is wanted; the pictures themselves stay in the host's memory.
    """

    def __init__(
        self, clip: Clip, rows: np.ndarray, size: int, focus: float, device: torch.device | str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        width, height = clip.size
        scale = min(1.0, size / max(width, height))
        full = (max(2, round(width * scale)), max(2, round(height * scale)))
        self.sizes = (full, (max(1, full[0] // 2), max(1, full[1] // 2)))
        self.focus = focus
        self.scale = full[0] / width
        self.landmarks = clip.landmarks[rows, :, :2] * self.scale
        self.images = [np.empty((len(rows), 3, h, w), np.uint8) for w, h in self.sizes]
        self.mattes = [np.empty((len(rows), 1, h, w), np.uint8) for w, h in self.sizes]
        self.has_plate = clip.plate is not None
        self._behind: list[np.ndarray] = []
        for i, row in enumerate(rows):
            image, matte = np.asarray(clip.frames[row]), np.asarray(clip.matte[row])
            for level, at in enumerate(self.sizes):
                self.images[level][i] = _resized(image, at).transpose(2, 0, 1)
                self.mattes[level][i, 0] = _resized(matte, at)
            if not self.has_plate:
                self._behind.append(_around(image, matte).transpose(2, 0, 1))
        plate = clip.plate if clip.plate is not None else np.zeros((height, width, 3), np.uint8)
        self.plates = [
            torch.from_numpy(_resized(plate, at).transpose(2, 0, 1).astype(np.float32) / 255)[None].to(self.device)
            for at in self.sizes
        ]

    def __len__(self) -> int:
        return len(self.landmarks)

    def to(self, device: torch.device | str) -> None:
        """Give supervision on another device from now on."""
        self.device = torch.device(device)
        self.plates = [plate.to(self.device) for plate in self.plates]

    def get(self, row: int, level: int) -> Supervision:
        """Row `row` at full (level 0) or half (level 1) resolution, over the clip's own background.

        Without a plate the background is black, and what the frame shows around the person is taken out of the
        outline's colours in the matte's proportion.
        """
        image = torch.from_numpy(self.images[level][row]).to(self.device).float().mul_(1 / 255)[None]
        matte = torch.from_numpy(self.mattes[level][row]).to(self.device).float().mul_(1 / 255)[None]
        if not self.has_plate:
            behind = torch.from_numpy(self._behind[row]).to(self.device).float().mul_(1 / 255)[None]
            behind = F.interpolate(behind, image.shape[2:], mode="bilinear")
            image = torch.minimum((image - (1 - matte) * behind).clamp_min_(0), matte)
        return Supervision(image, matte, self._weight(row, level), self.plates[level])

    def over(self, frame: Supervision, color: Tensor) -> Supervision:
        """The same frame over a flat colour [3]: what shows of the plate is replaced, in the matte's proportion."""
        color = color.to(self.device)
        image = color.reshape(1, 3, 1, 1) - frame.background
        image.mul_(1 - frame.matte).add_(frame.image)
        return Supervision(image, frame.matte, frame.weight, color)

    def _weight(self, row: int, level: int) -> Tensor:
        width, height = self.sizes[level]
        weight = torch.ones(1, 1, height, width, device=self.device)
        for group in (faces.LIPS, faces.EYE_L, faces.EYE_R):
            x0, y0, x1, y1 = region_box(self.landmarks[row] * (width / self.sizes[0][0]), group, width, height)
            weight[..., y0:y1, x0:x1] += self.focus
        return weight


def region_box(
    landmarks: np.ndarray, group: tuple[int, ...] | range, width: int, height: int
) -> tuple[int, int, int, int]:
    """Padded box (x0, y0, x1, y1) px of some landmarks [478, 2], inside the image."""
    points = landmarks[list(group)]
    low, high = points.min(0), points.max(0)
    pad = _REGION_PAD * (high - low).max()
    x0, y0 = np.floor(low - pad).astype(int)
    x1, y1 = np.ceil(high + pad).astype(int)
    return (
        int(np.clip(x0, 0, width)),
        int(np.clip(y0, 0, height)),
        int(np.clip(x1, 0, width)),
        int(np.clip(y1, 0, height)),
    )


def cut_out(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """[H, W, 3] float32 in [0, 1]: a person alone, over black, of an image [H, W, 3] and its matte [H, W], uint8."""
    behind = cv2.resize(_around(image, matte), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    share = matte[..., None].astype(np.float32) / 255
    return (image / np.float32(255) - (1 - share) * behind / 255).clip(0, share)


def _around(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """[h, w, 3] uint8, coarse: what an image [H, W, 3] uint8 shows around the person, carried on behind them."""
    size = tuple(max(1, length // _COARSE) for length in image.shape[1::-1])
    clear = clear_of(matte, _CLEAR[0], _CLEAR[1] * max(matte.shape) / 512).astype(np.float32)
    weight = cv2.resize(clear, size, interpolation=cv2.INTER_AREA)
    color = cv2.resize(image * clear[..., None], size, interpolation=cv2.INTER_AREA)
    filled = fill(color / np.maximum(weight, 1e-6)[..., None], weight)
    return (filled + 0.5).clip(0, 255).astype(np.uint8)


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (image.shape[1], image.shape[0]) == size:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def apart(state: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows of [T, E], each in turn the farthest from those before it, the first the one nearest to the
    median of all.
    """
    chosen = [int(np.linalg.norm(state - np.median(state, 0), axis=1).argmin())]
    nearest = np.linalg.norm(state - state[chosen[0]], axis=1)
    while len(chosen) < min(most, len(state)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(state - state[chosen[-1]], axis=1))
    return np.array(chosen)


def split(times: np.ndarray, test: str) -> tuple[np.ndarray, np.ndarray]:
    """(training rows, test rows) of a track.

    Args:
        test: 'tail' holds out the last 20 %, 'fifth' every fifth frame, 'none' nothing.
    """
    rows = np.arange(len(times))
    if test == "tail":
        cut = int(len(rows) * 0.8 + 0.5)
        return rows[:cut], rows[cut:]
    if test == "fifth":
        held = rows % 5 == 4
        return rows[~held], rows[held]
    return rows, rows[:0]
