"""Reading video: upright sRGB pictures at their presentation times, streamed.

Handles rotation and mirroring, variable rates, limited and full range, BT.601/709/2020, 10 bits, HDR, wide gamut,
interlacing, oblong pixels, transparency, odd sizes and damaged files. `probe` looks, `frames` reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .media import MAX_PIXELS, VIDEO_CONTAINERS, open_media
from .orientation import Box
from .pictures import Converter
from .probe import MAX_SECONDS, MAX_SIDE, VideoInfo, decode, probe, too_large, video_stream

__all__ = ["MIN_FRAMES", "VideoInfo", "frames", "probe"]

MIN_FRAMES = 24
"""Fewer pictures than this, of a truncated or a very short video, are refused."""


def frames(
    source: VideoInfo | Path | str,
    *,
    box: Box | None = None,
    size: tuple[int, int] | None = None,
    warnings: list[str] | None = None,
) -> Iterator[tuple[float, np.ndarray]]:
    """Read a video in order, in bounded memory.

    Args:
        source: a file, or what `probe` said of it.
        box: part of the upright picture to read, px; all of it by default.
        size: (width, height) to scale that part to; its own size by default.
        warnings: what is wrong with the file is appended here once it has been read.

    Yields:
        Time in s since the first picture, strictly increasing, and an [H, W, 3] uint8 sRGB image.

    Raises:
        InputError: as `probe`, or a limit that the header hid is passed. Damage is not an error: what can be
        decoded is yielded, the rest reported in `warnings`.
    """
    info = source if isinstance(source, VideoInfo) else probe(source)
    for time, picture in glances(info, box=box, size=size, warnings=warnings):
        yield time, picture()


def glances(
    info: VideoInfo,
    *,
    box: Box | None = None,
    size: tuple[int, int] | None = None,
    warnings: list[str] | None = None,
) -> Iterator[tuple[float, Callable[[], np.ndarray]]]:
    """`frames` for those who do not look at each: yields, instead of the image, a function that makes it.

    It must be called before the next frame is asked for.
    """
    box = box or (0, 0, info.width, info.height)
    convert = Converter(info, box, size or box[2:])
    notes = warnings if warnings is not None else []
    clock = _Clock(info)
    damaged = 0

    def count_damage(_: Exception) -> None:
        nonlocal damaged
        damaged += 1

    with open_media(info.path, VIDEO_CONTAINERS) as container:
        stream = video_stream(container, info.path)
        for frame in convert.prepared(decode(container, stream, count_damage)):
            if frame.width > MAX_SIDE or frame.height > MAX_SIDE or frame.width * frame.height > MAX_PIXELS:
                raise InputError(too_large(frame.width, frame.height), where=info.path)
            time = clock.read(frame)
            if time is not None:
                yield time, partial(convert, frame)
    notes += convert.warnings() + clock.warnings()
    if damaged:
        notes.append(f"{damaged} damaged packets could not be decoded")
    lost = info.duration - max(0.0, clock.last + 1 / info.rate)
    if lost > max(0.15, 3 / info.rate):
        notes.append(
            f"the video breaks off {lost:.1f} s before the end of its {info.duration:.1f} s; what came before is used"
        )


class _Clock:
    """Presentation times since the first picture, made strictly increasing."""

    def __init__(self, info: VideoInfo) -> None:
        self._info, self.last = info, -math.inf
        self._repeated = self._guessed = 0

    def read(self, frame: Any) -> float | None:
        """Time of a frame in s, or None where it is to be dropped."""
        if frame.pts is None:
            self._guessed += 1
            time = max(self.last, -1 / self._info.rate) + 1 / self._info.rate
        else:
            time = float(frame.pts * frame.time_base) - self._info.start
        if time > MAX_SECONDS:
            raise InputError(f"Longer than {MAX_SECONDS / 60:.0f} minutes", where=self._info.path, fix="Cut the video")
        if time <= self.last:
            self._repeated += 1
            return None
        self.last = time
        return time

    def warnings(self) -> list[str]:
        notes = []
        if self._repeated:
            notes.append(f"{self._repeated} pictures with times that do not increase were dropped")
        if self._guessed:
            notes.append(f"{self._guessed} pictures carry no time; the mean rate was assumed")
        return notes
