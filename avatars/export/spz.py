"""Posed splats as .spz, version 3 (gzip): Niantic's compressed splat file, and back.

Version 3 and not 4, because widely used viewers read no more. 16 fractional bits put positions on a grid of 15 um;
the usual 12 would be 0.24 mm, visible on a face. The bytes depend on the splats alone.
"""

from __future__ import annotations

import struct
import zlib
from gzip import compress
from pathlib import Path

import numpy as np

from .. import files
from ..errors import FileFormatError, InputError
from .ply import SH0
from .posed import PosedSplats

FRACTIONAL_BITS = 16
STEP = 2.0**-FRACTIONAL_BITS
"""m between neighbouring positions."""
LOG_SCALE_STEP = 1 / 16
_MAGIC, _VERSION, _ANTIALIASED = 0x5053474E, 3, 1
_HEADER = struct.Struct("<IIIBBBB")
_COLOR_SCALE = 0.15
_REST = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
_BYTES = 20
_MAX_SPLATS = 10_000_000


def spz_bytes(splats: PosedSplats) -> bytes:
    """The whole file, canonical axes (right, up, back), flagged as trained with antialiasing.

    Raises:
        InputError: a splat lies outside +-128 m.
    """
    if len(splats) and float(np.abs(splats.means).max()) >= 2 ** (23 - FRACTIONAL_BITS):
        raise InputError("A splat lies outside the 128 m that the file can hold")
    fixed = np.round(splats.means.astype(np.float64) / STEP).astype("<i4").view(np.uint8)
    position = fixed.reshape(-1, 3, 4)[:, :, :3]
    dc = (splats.colors.astype(np.float64) - 0.5) / SH0
    parts = (
        position,
        _byte(splats.opacities * 255.0),
        _byte(dc * _COLOR_SCALE * 255 + 127.5),
        _byte((np.log(np.maximum(splats.scales.astype(np.float64), 1e-12)) + 10) / LOG_SCALE_STEP),
        _pack_quaternions(splats.wxyz.astype(np.float64)),
    )
    header = _HEADER.pack(_MAGIC, _VERSION, len(splats), 0, FRACTIONAL_BITS, _ANTIALIASED, 0)
    return compress(header + b"".join(np.ascontiguousarray(p).tobytes() for p in parts), 9, mtime=0)


def _byte(value: np.ndarray) -> np.ndarray:
    return np.round(value).clip(0, 255).astype(np.uint8)


def _pack_quaternions(wxyz: np.ndarray) -> np.ndarray:
    """[N] uint32: the index (of x, y, z, w) of the largest in the top two bits, then sign and 9 bits of each other."""
    xyzw = wxyz[:, [1, 2, 3, 0]] / np.linalg.norm(wxyz, axis=1, keepdims=True)
    largest = np.abs(xyzw).argmax(1)
    xyzw = xyzw * np.where(np.take_along_axis(xyzw, largest[:, None], 1) < 0, -1, 1)
    out = largest.astype(np.uint32)
    for value in np.take_along_axis(xyzw, _REST[largest], 1).T:
        size = np.round(np.abs(value) * np.sqrt(2) * 511).clip(0, 511).astype(np.uint32)
        out = (out << 10) | ((value < 0).astype(np.uint32) << 9) | size
    return out.astype("<u4")


def _unpack_quaternions(packed: np.ndarray) -> np.ndarray:
    """[N, 4] wxyz, inverse of `_pack_quaternions`."""
    largest = (packed >> 30).astype(int)
    xyzw = np.zeros((len(packed), 4))
    for i in range(3):
        field = (packed >> (20 - 10 * i)) & 1023
        value = np.where(field & 512, -1.0, 1.0) * (field & 511) / 511 / np.sqrt(2)
        np.put_along_axis(xyzw, _REST[largest][:, i : i + 1], value[:, None], 1)
    rest = np.sqrt(np.maximum(1 - (xyzw**2).sum(1), 0))
    np.put_along_axis(xyzw, largest[:, None], rest[:, None], 1)
    return xyzw[:, [3, 0, 1, 2]]


def read_spz(path: Path | str) -> PosedSplats:
    """Splats of a version 3 file; higher harmonics are ignored.

    Raises:
        FileFormatError: damaged, truncated, of another version, or lying about its size.
    """
    path = Path(path)
    try:
        packed = path.read_bytes()
        inflate = zlib.decompressobj(31)
        head = inflate.decompress(packed, _HEADER.size)
        magic, version, count, degree, bits, _, _ = _HEADER.unpack(head)
        if magic != _MAGIC or version != _VERSION or degree > 3 or bits > 23 or count > _MAX_SPLATS:
            raise FileFormatError("Not an SPZ file of version 3", where=path)
        size = count * (_BYTES + 3 * ((degree + 1) ** 2 - 1))
        data = inflate.decompress(inflate.unconsumed_tail, size + 1)
    except (OSError, zlib.error, struct.error) as error:
        raise FileFormatError(f"Not a readable SPZ file: {error}", where=path) from error
    if len(data) != size:
        raise FileFormatError(f"{len(data)} bytes of splats where {size} are announced", where=path)
    raw = np.frombuffer(data, np.uint8)
    ends = np.cumsum([9 * count, count, 3 * count, 3 * count, 4 * count])
    position, alpha, rgb, scale, turn = (raw[e - n : e] for e, n in zip(ends, np.diff(ends, prepend=0), strict=True))
    wide = np.zeros((3 * count, 4), np.uint8)
    wide[:, 1:] = position.reshape(-1, 3)
    means = (wide.reshape(-1).view("<i4") >> 8).reshape(count, 3) / 2.0**bits
    colors = ((rgb.reshape(count, 3) / 255.0 - 0.5) / _COLOR_SCALE) * SH0 + 0.5
    scales = np.exp(scale.reshape(count, 3) * LOG_SCALE_STEP - 10)
    wxyz = _unpack_quaternions(np.ascontiguousarray(turn).view("<u4"))
    return PosedSplats(*(x.astype(np.float32) for x in (means, wxyz, scales, alpha / 255.0, colors)))


def save_spz(splats: PosedSplats, path: Path | str) -> None:
    """Write a .spz (see `spz_bytes`)."""
    files.write_bytes(path, spz_bytes(splats))
