"""Frames to a film or to pictures: H.264 in mp4 with sound, or one PNG per frame in a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .. import files
from ..errors import InputError

SOUND_RATE = 16000
"""Hz of the sound that goes with frames unless said otherwise."""
_NAMED = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0), "gray": (0.5, 0.5, 0.5), "green": (0.0, 0.69, 0.25)}
_QUALITY = "17"
"""Constant rate factor: visually lossless."""


def parse_color(words: str) -> tuple[float, float, float]:
    """sRGB in [0, 1] of a name or #rrggbb.

    Raises:
        InputError: neither.
    """
    if words in _NAMED:
        return _NAMED[words]
    match = re.fullmatch(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})", words)
    if not match:
        raise InputError(f"No such colour: {words!r}", fix=f"Use {', '.join(_NAMED)} or #rrggbb")
    red, green, blue = (int(group, 16) / 255 for group in match.groups())
    return red, green, blue


def write_frames(
    path: Path,
    frames: Iterable[np.ndarray],
    rate: float,
    *,
    overwrite: bool = False,
    sound: np.ndarray | None = None,
    sound_rate: int = SOUND_RATE,
) -> int:
    """Write frames; what is at `path` appears only when complete.

    Args:
        path: ends in .mp4 for a film, in .png for the first frame alone, or names a folder of PNGs.
        frames: [H, W, 3] or [H, W, 4] uint8 each, all of one size; four channels only as PNG.
        rate: frames/s.
        sound: [samples] float32 mono, from the first frame on.
        sound_rate: of the sound, Hz; one that AAC knows (16000, 44100 and 48000 are).

    Returns:
        How many frames were written.

    Raises:
        InputError: another ending, or it exists already.
    """
    require_output(path, overwrite)
    kind = path.suffix.lower()
    if kind == ".mp4":
        with files.atomic(path) as temporary:
            return _film(temporary, frames, rate, sound, sound_rate)
    if kind == ".png":
        with files.atomic(path) as temporary:
            temporary.write_bytes(_png(next(iter(frames))))
        return 1
    with files.atomic_directory(path) as temporary:
        count = 0
        for count, frame in enumerate(frames, 1):
            (temporary / f"{count - 1:05d}.png").write_bytes(_png(frame))
        return count


def require_output(path: Path, overwrite: bool) -> None:
    """Refuse what cannot be written, before any work."""
    if path.suffix.lower() not in ("", ".mp4", ".png"):
        raise InputError(f"Cannot write {path.suffix} files", where=path, fix="Name a .mp4, a .png or a folder")
    files.require_new(path, overwrite)
    files.require_writable(path)


def _png(frame: np.ndarray) -> bytes:
    import cv2

    order = cv2.COLOR_RGBA2BGRA if frame.shape[2] == 4 else cv2.COLOR_RGB2BGR
    good, data = cv2.imencode(".png", cv2.cvtColor(frame, order))
    assert good  # PNG takes any uint8 picture
    return data.tobytes()


def _film(path: Path, frames: Iterable[np.ndarray], rate: float, sound: np.ndarray | None, sound_rate: int) -> int:
    import av

    count = 0
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video: Any = None
        voice: Any = None
        for count, frame in enumerate(frames, 1):
            if video is None:
                video = _video_stream(container, frame, rate)
                if sound is not None:
                    voice = container.add_stream("aac", rate=sound_rate, layout="mono")
            picture = av.VideoFrame.from_ndarray(_even(frame), format="rgb24")
            picture.pts = count - 1
            picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            for packet in video.encode(picture):
                container.mux(packet)
        if video is None:
            raise InputError("There is not one frame to write", where=path)
        if voice is not None and sound is not None:
            _write_sound(container, voice, sound[: round(count / rate * sound_rate)], sound_rate)
        for packet in video.encode():
            container.mux(packet)
    return count


def _video_stream(container: Any, frame: np.ndarray, rate: float) -> Any:
    step = Fraction(rate).limit_denominator(1001)
    stream = container.add_stream("libx264", rate=step)
    height, width = frame.shape[:2]
    stream.width, stream.height, stream.pix_fmt = width - width % 2, height - height % 2, "yuv420p"
    stream.options = {"crf": _QUALITY, "preset": "medium"}
    stream.codec_context.time_base = 1 / step
    context = stream.codec_context
    # 1: BT.709 for primaries, transfer and matrix; 1: limited range. Players guess wrongly without it.
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = 1, 1, 1, 1
    return stream


def _even(frame: np.ndarray) -> np.ndarray:
    """H.264 with shared colour samples needs even sides: the last odd row or column goes."""
    height, width = frame.shape[:2]
    return np.ascontiguousarray(frame[: height - height % 2, : width - width % 2])


def _write_sound(container: Any, stream: Any, sound: np.ndarray, rate: int) -> None:
    import av

    block = 1024
    for start in range(0, len(sound), block):
        part = np.ascontiguousarray(sound[None, start : start + block], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, start
        frame.time_base = Fraction(1, rate)
        for packet in stream.encode(frame):
            container.mux(packet)
    for packet in stream.encode():
        container.mux(packet)


Drawer = Callable[[int], np.ndarray]
"""Draws frame number n as [H, W, 3] or [H, W, 4] uint8."""


def reported(count: int, draw: Drawer, progress: Callable[[float, str], None]) -> Iterable[np.ndarray]:
    """Frames 0 to count - 1, with progress."""
    for index in range(count):
        yield draw(index)
        progress((index + 1) / count, f"frame {index + 1} of {count}")
