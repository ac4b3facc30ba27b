"""Pictures and sound into an mp4."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..files import atomic

_QUALITY = "16"
"""x264's constant rate factor: hardly visible loss, as phones have it."""


def write_film(
    path: Path | str, pictures: Iterable[np.ndarray], fps: float, sound: np.ndarray | None, rate: int
) -> None:
    """Write an mp4 (H.264, AAC), whole or not at all.

    Args:
        pictures: [H, W, 3] uint8 sRGB each, of one even size.
        fps: pictures per second.
        sound: [samples] float32 mono in [-1, 1], None for a silent film.
        rate: its samples per second.

    Raises:
        AvatarError: the file cannot be written.
    """
    import av

    with (
        atomic(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as film,
    ):
        picture_stream: Any = None
        sound_stream: Any = film.add_stream("aac", rate=rate, layout="mono") if sound is not None else None
        for index, picture in enumerate(pictures):
            if picture_stream is None:
                picture_stream = _picture_stream(film, picture, fps)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            frame.pts = index
            frame.time_base = 1 / Fraction(fps).limit_denominator(1001)
            film.mux(picture_stream.encode(frame))
        if picture_stream is not None:
            film.mux(picture_stream.encode(None))
        if sound_stream is not None and sound is not None:
            _write_sound(film, sound_stream, sound, rate)


def _picture_stream(film: Any, picture: np.ndarray, fps: float) -> Any:
    stream = film.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.options = {"crf": _QUALITY, "preset": "veryfast"}
    context = stream.codec_context
    context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1  # BT.709, limited
    return stream


def _write_sound(film: Any, stream: Any, sound: np.ndarray, rate: int) -> None:
    import av

    samples = np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
    for first in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
        film.mux(stream.encode(frame))
    film.mux(stream.encode(None))
