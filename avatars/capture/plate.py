"""The background plate: what a camera that stands still sees behind the person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

_SAMPLES = 32
"""Frames that the medians are taken over."""
_SEEN = 3
"""Samples in which a pixel must show background."""
_MOVED = 10
"""Of 255: a background pixel whose typical deviation from its median is larger shows something that moves."""
_MOVING = 0.08
"""Share of such pixels above which the camera is not standing still."""
_EDGE = 8.0
"""Grey levels per px from which a background pixel shows texture."""
_OFTEN = 0.8
"""Quantile over time at which edges are looked at: a sharp one beside a pixel reaches it in few frames only."""
_SHAKE = 0.5
"""px, at 512 where pictures are larger: displacement of textured pixels above which the camera moves (measured: 0.1 on
a tripod, 0.9 for a tremble of 1 px). In small ones codecs blur edges by as much of a pixel."""
_LEAST = 0.03
"""Share of the picture that must ever be background for there to be a plate."""


class Entries(Protocol):
    """Pictures by number."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, index: int, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Plate:
    """Background of a static camera."""

    image: np.ndarray
    """[H, W, 3] uint8; where not seen, filled smoothly from what surrounds it."""
    seen: np.ndarray
    """[H, W] bool."""


def find_plate(
    frames: Entries,
    masks: Entries,
    refiner: Callable[[Plate], Callable[[np.ndarray, np.ndarray], np.ndarray]],
) -> Plate | None:
    """Plate of a clip, or None where the camera moves or nothing but the person is in view.

    A pixel's background is the median over the frames in which it lies clear of the person: by a wide margin around
    the rough masks at first, by a narrow one around the mattes that this first plate gives after that.

    Args:
        frames: [T, H, W, 3] uint8, an array or anything with its shape and entries by number.
        masks: [T, H, W] uint8, likewise: rough person masks, 255 = person.
        refiner: of a plate, the function that makes a matte [H, W] uint8 of (image, mask).
    """
    count, height, width = masks.shape
    chosen = np.unique(np.linspace(0, count - 1, min(count, _SAMPLES)).round().astype(int))
    pictures = np.stack([frames[i] for i in chosen])
    scale = max(height, width) / 512
    rough = [masks[i] for i in chosen]
    plate = _plate_of(pictures, np.stack([clear_of(mask, 12, 14 * scale) for mask in rough]))
    if plate is None:
        return None
    refine = refiner(plate)
    mattes = [refine(picture, mask) for picture, mask in zip(pictures, rough, strict=True)]
    return _plate_of(pictures, np.stack([clear_of(matte, 8, 5 * scale) for matte in mattes])) or plate


def clear_of(mask: np.ndarray, threshold: int, margin: float) -> np.ndarray:
    """[H, W] bool: farther than `margin` px from everything in a mask [H, W] uint8 above the threshold."""
    outside = (mask <= threshold).astype(np.uint8)
    return cv2.distanceTransform(outside, cv2.DIST_L2, 3) > margin


def _plate_of(pictures: np.ndarray, background: np.ndarray) -> Plate | None:
    image, seen = masked_quantile(pictures, background)
    if seen.mean() < _LEAST:
        return None
    if _moves(pictures, background, image):
        return None
    filled = fill(image.astype(np.float32), seen.astype(np.float32))
    return Plate(np.where(seen[..., None], image, np.clip(filled + 0.5, 0, 255).astype(np.uint8)), seen)


def _moves(pictures: np.ndarray, background: np.ndarray, image: np.ndarray) -> bool:
    """Whether the background changes: as a whole, or at its edges by more than a steady camera's would.

    A pixel on an edge that is displaced by d px deviates by d times its gradient.
    """
    coarse = (slice(None), slice(None, None, 2), slice(None, None, 2))
    deviation = np.abs(pictures[coarse].astype(np.int16) - image[coarse[1:]]).max(-1).astype(np.uint8)
    typical, enough = masked_quantile(deviation[..., None], background[coarse])
    often = masked_quantile(deviation[..., None], background[coarse], _OFTEN)[0][..., 0].astype(np.float32)
    if not enough.any() or (typical[enough] > _MOVED).mean() > _MOVING:
        return True
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    slope = cv2.magnitude(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))[::2, ::2] / 8
    # Away from pixels that were never background, whose colours mean nothing.
    solid = cv2.erode(enough.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    edges, flat = solid & (slope > _EDGE), solid & (slope < _EDGE / 4)
    if edges.sum() < 0.002 * enough.size:
        return False
    noise = float(np.median(often[flat])) if flat.any() else 0.0
    shake = float(np.median(np.maximum(often[edges] - noise, 0) / slope[edges]))
    return shake > _SHAKE * max(1.0, max(image.shape[:2]) / 512)


def masked_quantile(values: np.ndarray, valid: np.ndarray, q: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """(lower quantile over the valid samples [H, W, C] uint8, enough of them [H, W] bool) of [T, H, W, C] uint8."""
    seen = valid.sum(0)
    # Samples that do not count become 255 and sort behind the others, among which the quantile then lies.
    ordered = np.sort(np.where(valid[..., None], values, np.uint8(255)), axis=0)
    middle = (np.maximum(seen - 1, 0) * q).astype(int)
    return np.take_along_axis(ordered, middle[None, ..., None], 0)[0], seen >= min(_SEEN, len(values))


def fill(image: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Extend [H, W, 3] float colours from where `weight` [H, W] is 1 to where it is 0, smoothly (pull-push pyramid).

    Gortler et al. 1996, "The Lumigraph", section 3.5.
    """
    color, total = image * weight[..., None], weight
    levels = []
    while max(color.shape[:2]) > 1:
        levels.append((color, total))
        size = ((color.shape[1] + 1) // 2, (color.shape[0] + 1) // 2)
        color = cv2.resize(color, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3)
        total = cv2.resize(total, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0])
    result = color / np.maximum(total, 1e-9)[..., None]
    for color, total in reversed(levels):
        size = (color.shape[1], color.shape[0])
        coarse = cv2.resize(result, size, interpolation=cv2.INTER_LINEAR).reshape(color.shape)
        result = color + coarse * (1 - total)[..., None]
    return result
