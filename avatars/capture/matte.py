"""The matte: how much of each pixel is the person, hair included.

The segmentation network is sure of the body and vague at its edge, where it also cuts off hair. There the frame
itself decides: by its distance in colour from the background, which is the plate where the camera stands still and
else what the frame shows around the person; and, where that says little, by the edges in the picture that a guided
filter follows (He, Sun, Tang 2010, "Guided Image Filtering").
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .plate import Plate, clear_of, fill

_NOISE = 0.03
"""Colour distance (of sqrt 3) to the plate that noise and compression make by themselves."""
_INSIDE, _OUTSIDE = 9.0, 22.0
"""px at 512: deeper than this in the mask is person, farther than this from it is background."""
_SATURATED = 0.8
"""Share of the contrast between person and plate at which a pixel inside the outline is all person: shading takes the
rest. At 0.9 grey hair before a light wall had holes."""
_SOFT = 4.0, 8.0
"""px at 512: so near the outline a pixel is as much person as it says (lenses and codecs blur edges by so much), and so
far from it as `_SATURATED` says. A matte that is too wide takes a rim of what lies behind for the person's own colour,
and that rim runs across the cheek of an avatar that turns."""
_SOLID = 5.0
"""px at 512 behind the outline from which the person's own colour is taken there."""
_AROUND = 12, 12.0
"""Level of the network's mask, of 255, and px at 512 around what it shows, from which a frame is background."""
_UNKNOWN = 10.0
"""Standard deviation of colours of which nothing is known."""
_SETTLE = 0.04
"""Colour change between frames up to which the matte of a pixel is averaged over them."""


class Refiner:
    """Mattes of the frames of one clip.

    Args:
        width: px.
        height: px.
        plate: background of a static camera, where there is one; else each frame is its own.
    """

    def __init__(self, width: int, height: int, plate: Plate | None) -> None:
        self._scale = max(width, height) / 512
        self._small = (max(1, width // 4), max(1, height // 4))
        self._size = (width, height)
        self._plate = None if plate is None else self._known(plate.image.astype(np.float32) / 255, plate.seen)

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Matte [H, W] uint8 of an [H, W, 3] uint8 image and the network's mask [H, W] uint8."""
        picture, rough = image.astype(np.float32) / 255, mask.astype(np.float32) / 255
        inside, outside = self._depth(mask > 242), self._depth(mask < 13)
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        matte = cv2.ximgproc.guidedFilter(gray, rough, max(1, round(2 * self._scale)), 1e-3)
        background = self._plate or self._surroundings(picture, mask)
        sure = (inside > _INSIDE).astype(np.float32)
        color, confidence = self._by_color(picture, sure, mask > 127, *background)
        near = np.clip(1.5 - outside / 12, 0, 1)  # hair ends somewhere
        matte += confidence * (color * near - matte)
        matte = np.where(inside > _INSIDE, 1, np.where(outside > _OUTSIDE, 0, matte))
        matte = np.clip((matte - 0.05) / 0.9, 0, 1)
        return (np.where(_holes(matte, rough), rough, matte) * 255 + 0.5).astype(np.uint8)

    def _by_color(
        self, picture: np.ndarray, sure: np.ndarray, body: np.ndarray, background: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(alpha by distance from the background, how far to believe it), [H, W] each.

        A pixel that mixes the person's colour F and the background B with weight alpha is alpha |F - B| away from B.
        F is carried outwards from where the person is certain.
        """
        small_sure = self._shrink(sure)
        person = self._grow(fill(self._shrink(picture), small_sure))
        contrast = _distance(person, background)
        distance = _distance(picture, background)
        floor = 1.5 * noise

        def share_of(whole: np.ndarray) -> np.ndarray:
            return np.clip((distance - floor) / np.maximum(whole - floor, noise), 0, 1)

        alpha = share_of(_SATURATED * contrast)
        depth = self._depth(alpha > 0.1)
        # Hair is not of the face's colour: at the outline the person is of the colours right behind it.
        solid = (alpha > 0.9) & (depth > _SOLID) & body
        if solid.any():
            outline = np.clip((_SOFT[1] - depth) / (_SOFT[1] - _SOFT[0]), 0, 1)
            alpha += outline * (share_of(_distance(self._nearest(picture, solid), background)) - alpha)
        # A person who wears the background's colour nearby makes "like the plate" say nothing.
        alike = small_sure * np.clip(2 - self._shrink(distance) / (2 * _NOISE), 0, 1)
        reach = 6 * self._scale
        share = cv2.GaussianBlur(alike, (0, 0), reach) / (cv2.GaussianBlur(small_sure, (0, 0), reach) + 1e-3)
        known = 1 - np.clip(4 * self._grow(share), 0, 1) * (1 - alpha)
        return alpha, known * contrast**2 / (contrast**2 + (5 * noise) ** 2)

    def _nearest(self, picture: np.ndarray, solid: np.ndarray) -> np.ndarray:
        """[H, W, 3]: the mean colour around the nearest solid pixel [H, W] bool."""
        weight, reach = solid.astype(np.float32), 2 * self._scale
        color, total = (cv2.GaussianBlur(x, (0, 0), reach) for x in (picture * weight[..., None], weight))
        found: Any = cv2.distanceTransformWithLabels(
            (~solid).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
        )
        labels = found[1]
        colors = np.zeros((labels.max() + 1, 3), np.float32)
        colors[labels[solid]] = color[solid] / total[solid][:, None]
        return colors[labels]

    def _surroundings(self, picture: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `_known`, of one frame alone."""
        seen = clear_of(mask, _AROUND[0], _AROUND[1] * self._scale)
        if not seen.any():
            return picture, np.full(mask.shape, _UNKNOWN, np.float32)
        filled = self._grow(fill(self._shrink(picture), self._shrink(seen.astype(np.float32))))
        return self._known(np.where(seen[..., None], picture, filled), seen)

    def _known(self, image: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(background [H, W, 3], standard deviation of its colours [H, W]): noise where it was seen, how much the
        surroundings differ among themselves where it was filled in from them."""
        weight = self._shrink(seen.astype(np.float32))
        color = self._shrink(image * seen[..., None]) / (weight[..., None] + 1e-6)
        # Averaged a little first: the nearest seen pixel alone would vouch for any number of unseen ones.
        reach = 3 * self._scale
        share = cv2.GaussianBlur(weight, (0, 0), reach)
        mean, square = (cv2.GaussianBlur(x * weight[..., None], (0, 0), reach) for x in (color, color * color))
        mean, square = (fill(x / (share[..., None] + 1e-6), np.minimum(share, 1)) for x in (mean, square))
        variance = np.maximum(square - mean * mean, 0).sum(-1)
        return image, np.where(seen, _NOISE, np.sqrt(_NOISE**2 + self._grow(variance))).astype(np.float32)

    def _depth(self, region: np.ndarray) -> np.ndarray:
        """[H, W]: how deep inside a region [H, W] bool each pixel lies, px at 512 (1000 where it has no edge)."""
        return np.minimum(cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 3), 1000) / self._scale

    def _shrink(self, image: np.ndarray) -> np.ndarray:
        return cv2.resize(image, self._small, interpolation=cv2.INTER_AREA)

    def _grow(self, image: np.ndarray) -> np.ndarray:
        return cv2.resize(image, self._size, interpolation=cv2.INTER_LINEAR)


def _holes(matte: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """[H, W] bool: gaps in the matte that the network's mask knows nothing of, like skin of the wall's colour."""
    parts: Any = cv2.connectedComponents((matte < 0.75).astype(np.uint8))
    count, labels = parts
    open_ = np.zeros(count, bool)
    open_[np.unique(labels[rough < 0.5])] = True
    open_[0] = True
    return ~open_[labels]


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[H, W] Euclidean distance of [H, W, 3] colours."""
    difference = a - b
    return np.sqrt(cv2.transform(difference * difference, np.ones((1, 3), np.float32)))


def one_person(mask: np.ndarray, points: np.ndarray | None) -> np.ndarray:
    """Mask [H, W] uint8 without what does not hang together with the face (without a face: with the largest part).

    Args:
        mask: [H, W] uint8 of all people.
        points: [478, 3] px of the subject's face, or None.
    """
    step = max(1, max(mask.shape) // 128)
    small = (mask[::step, ::step] > 64).astype(np.uint8)
    parts: Any = cv2.connectedComponentsWithStats(small)
    count, labels, stats, _ = parts
    if count <= 2:
        return mask
    kept = np.zeros(count, bool)
    if points is not None:
        x, y = (np.clip(points[:, k] / step, 0, small.shape[1 - k] - 1).astype(int) for k in (0, 1))
        kept[np.unique(labels[y, x])] = True
        kept[0] = False
    if not kept.any():
        kept[1 + stats[1:, cv2.CC_STAT_AREA].argmax()] = True
    stray = cv2.dilate((~kept[labels] & (labels > 0)).astype(np.uint8), np.ones((3, 3), np.uint8))
    stray[kept[labels]] = 0
    size = (mask.shape[1], mask.shape[0])
    return np.where(cv2.resize(stray, size, interpolation=cv2.INTER_NEAREST) > 0, 0, mask).astype(np.uint8)


def settle(window: list[tuple[np.ndarray, np.ndarray]], at: int) -> np.ndarray:
    """Matte [H, W] uint8 of entry `at`, averaged with its neighbours' where the picture stands still.

    Args:
        window: image [H, W, 3] uint8 and matte [H, W] uint8 of consecutive frames.
        at: index into the window.
    """
    total = window[at][1].astype(np.float32)
    weight = np.ones_like(total)
    here = cv2.blur(window[at][0], (3, 3)).astype(np.float32)
    for image, matte in window[:at] + window[at + 1 :]:
        change = _distance(here, cv2.blur(image, (3, 3)).astype(np.float32)) / 255
        same = np.exp(-np.square(change / _SETTLE))
        total += same * matte
        weight += same
    return (total / weight + 0.5).astype(np.uint8)
