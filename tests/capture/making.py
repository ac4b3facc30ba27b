"""Small real media files, written with PyAV: the inputs of the capture tests."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph

COLORS = np.array([[200, 40, 40], [40, 180, 60], [50, 60, 200], [190, 180, 90]], np.uint8)
"""Of the quadrants of `quadrants`: top left, top right, bottom left, bottom right."""
MATRICES = {"bt709": (1, 0.2126, 0.0722), "bt601": (5, 0.299, 0.114), "bt2020": (9, 0.2627, 0.0593)}
"""Name: number in ITU-T H.273, weight of red, weight of blue."""
PLAIN = {"preset": "ultrafast", "crf": "12"}


def quadrants(width: int = 96, height: int = 64) -> np.ndarray:
    """[H, W, 3] uint8 picture that is different in every orientation."""
    rows = (np.arange(height) >= height // 2).astype(int)
    columns = (np.arange(width) >= width // 2).astype(int)
    return COLORS[2 * rows[:, None] + columns]


def moving(count: int, width: int = 96, height: int = 64) -> list[np.ndarray]:
    """Quadrants with a grey bar that wanders."""
    pictures = []
    for i in range(count):
        picture = quadrants(width, height)
        x = (3 * i) % (width - 8)
        picture[height // 2 - 3 : height // 2 + 3, x : x + 8] = 128
        pictures.append(picture)
    return pictures


def quadrant_means(image: np.ndarray) -> np.ndarray:
    """[4, 3] mean colours well inside the quadrants."""
    h, w = image.shape[:2]
    rows = (slice(h // 16, h // 2 - h // 6), slice(h // 2 + h // 6, h - h // 16))
    columns = (slice(w // 16, w // 2 - w // 12), slice(w // 2 + w // 12, w - w // 16))
    return np.array([image[r, c].reshape(-1, 3).mean(0) for r in rows for c in columns])


def encode_yuv(rgb: np.ndarray, matrix: str, full: bool, bits: int) -> np.ndarray:
    """[3, H, W] integer Y'CbCr by the formulas of ITU-T H.273 (8.3), independent of libav."""
    _, kr, kb = MATRICES[matrix]
    r, g, b = (rgb[..., i] / 255.0 for i in range(3))
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    unit = 2 ** (bits - 8)
    if full:
        top = 2**bits - 1
        planes = [y * top, cb * top + 128 * unit, cr * top + 128 * unit]
    else:
        planes = [(219 * y + 16) * unit, (224 * cb + 128) * unit, (224 * cr + 128) * unit]
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.stack([np.clip(p.round(), 0, 2**bits - 1).astype(dtype) for p in planes])


def write_video(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rate: Fraction | int = 30,
    times: Sequence[float] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    matrix: str = "bt601",
    full: bool = False,
    transfer: int = 2,
    primaries: int = 2,
    turn: Sequence[int] | None = None,
    aspect: Fraction | None = None,
    interlaced: bool = False,
    sound: np.ndarray | None = None,
    sound_at: float = 0.0,
) -> Path:
    """Encode [H, W, 3 or 4] uint8 pictures.

    Args:
        times: s, makes the rate variable.
        turn: display matrix.
        sound: [1, samples] at 48 kHz that begins at `sound_at` s.
    """
    with av.open(str(path), "w", options=container_options or {}) as out:
        chosen = options if options is not None else (PLAIN if codec == "libx264" else {})
        stream = out.add_stream(codec, rate=Fraction(rate), options=chosen)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.time_base = Fraction(1, 90000) if times is not None else 1 / Fraction(rate)
        context.colorspace, context.color_range = MATRICES[matrix][0], 2 if full else 1
        context.color_trc, context.color_primaries = transfer, primaries
        if aspect:
            context.sample_aspect_ratio = aspect
        if turn is not None:
            stream.set_display_matrix(turn)
        track = out.add_stream("aac", rate=48000, layout="mono") if sound is not None else None
        for i, picture in enumerate(pictures):
            frame = _frame(picture, pix_fmt, matrix, full)
            frame = _as_fields(frame) if interlaced else frame
            frame.pts = round(times[i] * 90000) if times is not None else i
            frame.time_base = context.time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            add_sound(out, track, sound, 48000, sound_at)
    return path


def _frame(picture: np.ndarray, pix_fmt: str, matrix: str, full: bool) -> av.VideoFrame:
    if not pix_fmt.startswith("yuv"):
        return av.VideoFrame.from_ndarray(picture, format="rgba" if picture.shape[2] == 4 else "rgb24")
    deep = pix_fmt.endswith("10le")
    planes = encode_yuv(picture, matrix, full, 10 if deep else 8)
    frame = av.VideoFrame(picture.shape[1], picture.shape[0], "yuv444p10le" if deep else "yuv444p")
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
        rows[:, : values.shape[1]] = values
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = MATRICES[matrix][0], 2 if full else 1
    return frame.reformat(format=pix_fmt)  # takes colour samples away at most: same matrix, same range


def _as_fields(frame: av.VideoFrame) -> av.VideoFrame:
    """The same picture, marked as two fields, top first."""
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 30))
    graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()


def turned(degrees: int, mirrored: bool = False) -> list[int]:
    """Display matrix that turns a picture counter-clockwise by `degrees` after mirroring it left-right."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    a, b, c, d = cos, -sin, sin, cos
    if mirrored:
        a, b = -a, -b
    one = 1 << 16
    return [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]


def write_sound(path: Path, samples: np.ndarray, rate: int, *, codec: str = "pcm_s16le", layout: str = "mono") -> Path:
    """Encode [channels, samples] float in [-1, 1] (floating-point codecs keep any value)."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        add_sound(out, stream, samples, rate)
    return path


def add_sound(out: Any, stream: Any, samples: np.ndarray, rate: int, at: float = 0.0) -> None:
    """Encode and mux [channels, samples] that begin at `at` s."""
    frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout=stream.layout.name)
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(at * rate)
    out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    """[1, samples] sine of amplitude 0.5."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)[None]
