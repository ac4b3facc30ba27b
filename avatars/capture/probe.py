"""What a video file is, before it is read: header, limits, first picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import InputError
from .color import HLG, PQ
from .media import MAX_PIXELS, VIDEO_CONTAINERS, media_file, open_media
from .orientation import UPRIGHT, Orientation, read_display_matrix

MAX_SIDE = 4096
"""px."""
MAX_RATE = 120.0
"""Frames per second."""
MAX_SECONDS = 30 * 60.0
_LIMITS = "Give at most 4096 px a side, 8.9 megapixels, 120 frames per second and 30 minutes"


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself, and its first picture confirms."""

    path: Path
    codec: str
    width: int
    """px, upright and with square pixels."""
    height: int
    rate: float
    """Mean frames per second."""
    duration: float
    """s; 0 where the file does not say."""
    start: float
    """Presentation time of the first picture, s on the file's clock."""
    orientation: Orientation
    stored: tuple[int, int]
    """Width and height as stored, before turning and squaring of pixels."""
    transfer: int
    """ITU-T H.273."""
    primaries: int
    """ITU-T H.273."""
    interlaced: bool
    has_alpha: bool
    has_audio: bool
    warnings: tuple[str, ...] = ()


def probe(path: Path | str) -> VideoInfo:
    """Look at a video without reading it through: its header and its first picture.

    Raises:
        InputError: not a video, more than 4096 px or 8.9 MP or 120 frames/s or 30 min, or no picture can be decoded.
    """
    path = media_file(path)
    with open_media(path, VIDEO_CONTAINERS) as container:
        stream = video_stream(container, path)
        rate, duration = _require_limits(container, stream, path)
        frame = next((f for f in decode(container, stream, lambda _: None)), None)
        if frame is None:
            raise InputError("No picture in the video can be decoded", where=path, fix="Record or copy it again")
        return _describe(path, container, stream, frame, rate, duration)


def decode(container: Any, stream: Any, on_damage: Callable[[Exception], None]) -> Iterator[Any]:
    """Frames of a stream; damaged packets are reported and skipped, a broken container ends the stream."""
    from av.error import FFmpegError

    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    stream.thread_type = "AUTO"
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as error:
            on_damage(error)
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except FFmpegError as error:
            on_damage(error)


def moving_pictures(container: Any) -> list[Any]:
    """Video streams that are not cover art."""
    from av.stream import Disposition

    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def video_stream(container: Any, path: Path) -> Any:
    """The video stream that a player would show.

    Raises:
        InputError: there is none.
    """
    pictures = moving_pictures(container)
    if not pictures:
        raise InputError("There is no moving picture in the file", where=path, fix="Give a video, not a sound file")
    best = container.streams.best("video")
    return best if best in pictures else pictures[0]


def _require_limits(container: Any, stream: Any, path: Path) -> tuple[float, float]:
    """(rate, duration) of the header, or InputError where it promises more than is read."""
    if stream.codec_context is None:
        raise InputError("The picture is coded in a way that is not known", where=path, fix="Convert it to H.264")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width <= 0 or height <= 0:
        raise InputError("The video has no picture size, or one that is too large", where=path, fix=_LIMITS)
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(too_large(width, height), where=path, fix=_LIMITS)
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    if rate > MAX_RATE:
        raise InputError(f"{rate:.0f} frames per second are too many", where=path, fix=_LIMITS)
    duration = _duration(container, stream)
    longest = max(duration, _whole(container))
    if longest > MAX_SECONDS:
        raise InputError(f"A video of {longest / 60:.0f} minutes is too long", where=path, fix=_LIMITS)
    return (rate if rate > 0 else 30.0), duration


def _whole(container: Any) -> float:
    """Length of the longest stream in s; 0 where the file does not say."""
    import av

    return max(0.0, (container.duration or 0) / av.time_base)


def _duration(container: Any, stream: Any) -> float:
    """Length of the picture in s; 0 where the file does not say."""
    if stream.duration is not None:
        return max(0.0, float(stream.duration * stream.time_base))
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))  # Matroska's
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    return 0.0 if container.streams.audio else _whole(container)  # the whole file may end with its sound


def too_large(width: int, height: int) -> str:
    return f"A picture of {width} x {height} is too large"


def _describe(path: Path, container: Any, stream: Any, frame: Any, rate: float, duration: float) -> VideoInfo:
    warnings = []
    orientation = UPRIGHT
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            orientation, note = read_display_matrix(bytes(data))
            warnings += [note] if note else []
    aspect = stream.sample_aspect_ratio or Fraction(1)
    aspect = aspect if 0.1 < aspect < 10 else Fraction(1)
    width, height = orientation.swap(round(frame.width * aspect), frame.height)
    if max(width, height) > MAX_SIDE:
        raise InputError(too_large(width, height), where=path, fix=_LIMITS)
    transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
    if transfer in (PQ, HLG):
        warnings.append("HDR video was converted to sRGB; highlights are softer than on the phone")
    if frame.interlaced_frame:
        warnings.append("interlaced video was deinterlaced")
    has_alpha = any(c.is_alpha for c in frame.format.components)
    if has_alpha:
        warnings.append("transparent parts are shown on white")
    return VideoInfo(
        path=path,
        codec=stream.codec_context.name,
        width=width,
        height=height,
        rate=rate,
        duration=duration,
        start=float(frame.pts * frame.time_base) if frame.pts is not None else 0.0,
        orientation=orientation,
        stored=(frame.width, frame.height),
        transfer=transfer,
        primaries=primaries,
        interlaced=bool(frame.interlaced_frame),
        has_alpha=has_alpha,
        has_audio=bool(container.streams.audio),
        warnings=tuple(warnings),
    )
