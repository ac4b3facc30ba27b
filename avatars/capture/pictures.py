"""From decoded frames to upright sRGB arrays: crop, scale, colour, interlacing, transparency, rotation."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from .color import needs_conversion, to_srgb
from .orientation import Box
from .probe import VideoInfo

_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
"""Names that libav's scaler gives to the YUV matrices of ITU-T H.273."""
_HD_HEIGHT = 720
"""Untagged video is BT.709 from this height on and BT.601 below, as players have it."""


class Converter:
    """Decoded frames to upright sRGB arrays, through one filter graph per kind of frame."""

    def __init__(self, info: VideoInfo, box: Box, size: tuple[int, int]) -> None:
        self._info = info
        stored = info.orientation.stored_box(box, info.width, info.height)
        self._stored_size = info.orientation.swap(*size)
        # Oblong pixels: the box counts square ones, the stored picture has fewer across.
        across = info.stored[0] / info.orientation.swap(info.width, info.height)[0]
        self._crop = (stored[0] * across, stored[1], stored[2] * across, stored[3])
        self._hdr = needs_conversion(info.transfer, info.primaries)
        self._key: tuple[Any, ...] = ()
        self._graph: Any = None
        self._resized = False

    def prepared(self, decoded: Iterator[Any]) -> Iterator[Any]:
        """Frames with interlacing removed."""
        return deinterlaced(decoded) if self._info.interlaced else decoded

    def __call__(self, frame: Any) -> np.ndarray:
        key = (frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range))
        if key != self._key:
            self._graph, self._key = self._build(frame), key
        self._graph.vpush(frame)
        pixels = self._graph.vpull().to_ndarray()
        if self._info.has_alpha:  # shown on white
            top = np.iinfo(pixels.dtype).max
            alpha = pixels[..., 3:].astype(np.float32) / top
            pixels = (pixels[..., :3] * alpha + top * (1 - alpha) + 0.5).astype(pixels.dtype)
        if self._hdr:
            pixels = to_srgb(pixels, self._info.transfer, self._info.primaries)
        return self._info.orientation.apply(pixels)

    def _build(self, frame: Any) -> Any:
        from av.filter import Graph

        sx, sy = frame.width / self._info.stored[0], frame.height / self._info.stored[1]
        self._resized |= (frame.width, frame.height) != self._info.stored
        x, y, w, h = (round(v * s) for v, s in zip(self._crop, (sx, sy, sx, sy), strict=True))
        w, h = max(1, min(w, frame.width - x)), max(1, min(h, frame.height - y))
        width, height = self._stored_size
        matrix = _MATRICES.get(int(frame.colorspace), "bt709" if frame.height >= _HD_HEIGHT else "bt601")
        full = int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")
        kernel = "area" if width < w or height < h else "bicubic"
        graph = Graph()
        nodes = [
            graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)),
            graph.add("crop", f"{w}:{h}:{x}:{y}:exact=1"),
            graph.add(
                "scale",
                f"{width}:{height}:flags={kernel}+accurate_rnd+full_chroma_int"
                f":in_color_matrix={matrix}:in_range={'pc' if full else 'tv'}:out_range=pc",
            ),
            graph.add("format", ("rgba64le" if self._hdr else "rgba") if self._info.has_alpha else
                      ("rgb48le" if self._hdr else "rgb24")),
            graph.add("buffersink"),
        ]  # fmt: skip
        graph.link_nodes(*nodes).configure()
        return graph

    def warnings(self) -> list[str]:
        return ["the picture changes size within the video; all were scaled alike"] if self._resized else []


def deinterlaced(decoded: Iterator[Any]) -> Iterator[Any]:
    """Both fields woven into whole pictures (bwdif), one per frame."""
    from av.filter import Graph

    graph, time_base = Graph(), None
    for frame in decoded:
        if time_base is None:
            time_base = frame.time_base
            source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base)
            graph.link_nodes(source, graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")).configure()
        graph.vpush(frame)
        yield from _drain(graph)
    if time_base is not None:
        graph.vpush(None)
        yield from _drain(graph)


def _drain(graph: Any) -> Iterator[Any]:
    from av.error import BlockingIOError, EOFError

    while True:
        try:
            yield graph.vpull()
        except (BlockingIOError, EOFError):
            return
