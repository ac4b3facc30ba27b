"""The second look: every frame of the clip at working size, its landmarks, light and mask; then its matte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import LANDMARKS
from ..errors import InputError
from .follow import JUMP, Follower, jumps
from .matte import Refiner, one_person, settle
from .orientation import Box
from .person import PersonMask
from .plate import Plate, find_plate
from .probe import VideoInfo
from .quality import BLURRED, blurred, measure
from .store import Pictures, writing
from .subject import Person
from .video import frames

_THREADS = 2
_AHEAD = 8
"""Mattes made per thread before they are averaged over time."""


@dataclass
class Findings:
    """What the second look found, per frame."""

    landmarks: np.ndarray
    """[T, 478, 3] float32 px of the working frames; NaN where there is no face."""
    rejects: list[str]
    """[T] reason, or ''."""
    sharpness: np.ndarray
    """[T], NaN where there is no face."""
    brightness: np.ndarray
    """[T] grey level of the face, NaN where there is none."""


def look_closely(
    info: VideoInfo,
    times: np.ndarray,
    box: Box,
    size: tuple[int, int],
    people: tuple[Person, list[Person]],
    work: Path,
    progress: Callable[[float], None],
) -> Findings:
    """Write `frames.npy` [T, H, W, 3] and `masks.npy` [T, H, W] into `work` and find the subject in each frame.

    Args:
        info: the video.
        times: [T] s, of the pictures that the first look saw.
        box: part of the picture to keep.
        size: (width, height) of the working frames.
        people: the subject and everyone else.
        work: an existing directory.
        progress: told how much is done, 0 to 1.
    """
    count = len(times)
    width, height = size
    found = Findings(
        np.full((count, LANDMARKS, 3), np.nan, np.float32), [""] * count, np.full(count, np.nan), np.full(count, np.nan)
    )
    done = 0
    with (
        Follower(*people, box, width / box[2]) as follow,
        PersonMask() as segment,
        ThreadPoolExecutor(1) as pool,
        writing(work / "frames.npy", (count, height, width, 3)) as add_frame,
        writing(work / "masks.npy", (count, height, width)) as add_mask,
    ):
        for index, (time, image) in enumerate(frames(info, box=box, size=size)):
            if index == count:
                break
            mask = pool.submit(segment.detect, image)
            points, found.rejects[index] = follow(image, time)
            if points is not None:
                found.landmarks[index] = points
                found.sharpness[index], found.brightness[index] = measure(image, points)
            add_frame(image)
            add_mask(one_person(mask.result(), points))
            done += 1
            progress(done / count)
        if done != count:
            raise InputError("The video changed while it was read", where=info.path, fix="Try again")
    for index in np.flatnonzero(jumps(found.landmarks)):
        found.rejects[index] = found.rejects[index] or JUMP
    for index in np.flatnonzero(blurred(found.sharpness)):
        found.rejects[index] = found.rejects[index] or BLURRED
    found.landmarks[[bool(reason) for reason in found.rejects]] = np.nan
    return found


def cut_out(work: Path, progress: Callable[[float], None]) -> Plate | None:
    """Make `matte.npy` [T, H, W] of the frames and masks in `work`, and the plate where the camera is static."""
    with (
        Pictures(work / "frames.npy") as pictures,
        Pictures(work / "masks.npy") as masks,
        writing(work / "matte.npy", masks.shape) as add,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        count, height, width = masks.shape
        plate = find_plate(pictures, masks, lambda p: Refiner(width, height, p))
        refine = Refiner(width, height, plate)
        window: list[tuple[np.ndarray, np.ndarray]] = []
        for index, matte in enumerate(_ahead(pool, lambda i: refine(pictures[i], masks[i]), count)):
            window = [*window[-2:], (pictures[index], matte)]
            if index > 0:
                add(settle(window, len(window) - 2))
            progress((index + 1) / count)
        add(settle(window[-2:], len(window[-2:]) - 1))
    return plate


def _ahead(pool: ThreadPoolExecutor, make: Callable[[int], np.ndarray], count: int) -> Iterator[np.ndarray]:
    """Results of make(0), make(1), ... in order, a few of them in the making at any time."""
    block = _THREADS * _AHEAD
    pending = [pool.submit(make, i) for i in range(min(block, count))]
    for index in range(count):
        yield pending.pop(0).result()
        if index + block < count:
            pending.append(pool.submit(make, index + block))
