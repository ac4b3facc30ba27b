"""Arrays in few bytes: integers on a grid, halves, bytes of a kind side by side; one gzip stream around all.

The player decodes the same table (`player/src/bundle.ts`). Every size is announced and checked before anything is
inflated, so a small file cannot ask for a large memory.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import FileFormatError

DTYPES = {
    "i8": np.int8,
    "u8": np.uint8,
    "i16": np.int16,
    "u16": np.uint16,
    "u32": np.uint32,
    "f16": np.float16,
    "f32": np.float32,
}
MAX_BYTES = 256 << 20
_MAX_SCALE = 1e6
_LEVEL = 7
"""Of gzip: 9 takes eight times as long to save one percent more."""
_LIMITS = {"i8": 127, "i16": 32767, "u16": 65535}


@dataclass
class Packer:
    """Collects arrays; `table` describes them to a reader."""

    table: dict[str, dict[str, Any]] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, name: str, values: np.ndarray, dtype: str, scale: float | None = None) -> None:
        """Store an array as it is (`scale` None), or round(values / scale) as integers."""
        if scale is not None:
            values = np.round(np.asarray(values, np.float64) / scale).clip(-_LIMITS[dtype], _LIMITS[dtype])
        stored = np.ascontiguousarray(values, np.dtype(DTYPES[dtype]).newbyteorder("<"))
        # Bytes of equal significance side by side: the high ones repeat, and gzip finds that.
        data = stored.reshape(-1).view(np.uint8).reshape(stored.size, -1).T.tobytes() if stored.size else b""
        self.table[name] = {"dtype": dtype, "shape": list(stored.shape), "offset": self.size, "bytes": len(data)}
        if scale is not None:
            self.table[name]["scale"] = float(scale)
        self.parts.append(data)
        self.size += len(data)

    def add_fixed(self, name: str, values: np.ndarray, dtype: str, least: float = 0.0) -> None:
        """Store as integers on the finest grid that reaches the largest value, but no finer than `least`."""
        largest = float(np.abs(values).max(initial=0))
        self.add(name, values, dtype, max(largest / _LIMITS[dtype], least, 1e-12))

    def add_index(self, name: str, values: np.ndarray, below: int) -> None:
        """Store indices less than `below`."""
        self.add(name, values, "u16" if below <= 65536 else "u32")

    def data(self) -> bytes:
        """The gzip stream; the same bytes every time."""
        return gzip.compress(b"".join(self.parts), _LEVEL, mtime=0)


def unpack(table: Any, data: bytes, inflated: Any, where: object) -> dict[str, np.ndarray]:
    """Arrays by name; those with a scale come out as float32.

    Raises:
        FileFormatError: damaged, lying about sizes, or not finite.
    """
    if not isinstance(inflated, int) or not 0 <= inflated <= MAX_BYTES or not isinstance(table, dict):
        raise FileFormatError("The bundle announces an unreasonable size", where=where)
    try:
        inflate = zlib.decompressobj(31)
        raw = inflate.decompress(data, inflated + 1)
    except zlib.error as error:
        raise FileFormatError(f"The bundle is damaged: {error}", where=where) from error
    if len(raw) != inflated or not inflate.eof:
        raise FileFormatError("The bundle's size is not the announced one", where=where)
    out = {}
    for name, entry in table.items():
        try:
            out[name] = _array(entry, raw)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FileFormatError(f"Array '{str(name)[:60]}' of the bundle is damaged: {error}", where=where) from error
    return out


def _array(entry: dict[str, Any], raw: bytes) -> np.ndarray:
    dtype, shape = np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"])
    offset, size = entry["offset"], entry["bytes"]
    if not all(isinstance(n, int) and 0 <= n <= MAX_BYTES for n in (*shape, offset, size)):
        raise ValueError("sizes must be whole numbers")
    count = int(np.prod(shape, dtype=object))
    if size != count * dtype.itemsize or offset + size > len(raw):
        raise ValueError("it lies outside the file or has another size than its shape")
    planes = np.frombuffer(raw, np.uint8, size, offset).reshape(dtype.itemsize, count)
    values = np.ascontiguousarray(planes.T).view(dtype.newbyteorder("<")).reshape(shape)
    if "scale" in entry or dtype.kind == "f":
        scale = entry.get("scale", 1.0)
        if not isinstance(scale, int | float) or not abs(scale) <= _MAX_SCALE:
            raise ValueError("its scale makes no sense")
        values = (values.astype(np.float64) * float(scale)).astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("it holds NaN or infinity")
    return values
