"""The container of glTF 2.0: typed arrays gathered into one buffer, and a .glb around it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileFormatError

_COMPONENT = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "uint32": 5125, "float32": 5126}
_KIND = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
ARRAY_BUFFER, ELEMENT_BUFFER = 34962, 34963


class Buffer:
    """Collects accessors; `views` and `accessors` are glTF's JSON."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(
        self, array: np.ndarray, *, target: int | None = None, bounds: bool = False, normalized: bool = False
    ) -> int:
        """Index of a new accessor over `array` [n, ...].

        Args:
            target: ARRAY_BUFFER or ELEMENT_BUFFER for vertex data.
            bounds: write min and max.
        """
        accessor = {"count": len(array), **self._type(array), "bufferView": self._view(array, target)}
        if normalized:
            accessor["normalized"] = True
        if bounds:
            flat = array.reshape(len(array), -1)
            accessor |= {"min": flat.min(0).tolist(), "max": flat.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def add_sparse(self, array: np.ndarray) -> int:
        """Index of a new accessor over a mostly zero `array` [n, 3], which stores only the rows that are not zero."""
        rows = np.flatnonzero(array.any(1)).astype(np.uint32)
        accessor: dict[str, Any] = {"count": len(array), **self._type(array)}
        accessor |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        if len(rows):
            accessor["sparse"] = {
                "count": len(rows),
                "indices": {"bufferView": self._view(rows, None), "componentType": _COMPONENT["uint32"]},
                "values": {"bufferView": self._view(array[rows], None)},
            }
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def _type(self, array: np.ndarray) -> dict[str, Any]:
        return {"componentType": _COMPONENT[array.dtype.name], "type": _KIND[array.shape[1:]]}

    def _view(self, array: np.ndarray, target: int | None) -> int:
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        if target is not None:
            view["target"] = target
        self.data += np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        self.data += b"\0" * (-len(self.data) % 4)
        self.views.append(view)
        return len(self.views) - 1


def pack(document: dict[str, Any], buffer: Buffer) -> bytes:
    """A .glb file of a glTF document and its buffer."""
    document = document | {
        "buffers": [{"byteLength": len(buffer.data)}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
    }
    text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), _JSON) + text + struct.pack("<II", len(buffer.data), _BIN) + buffer.data
    return struct.pack("<III", _MAGIC, 2, 12 + len(chunks)) + chunks


def unpack(path: Path | str) -> tuple[dict[str, Any], bytes]:
    """(document, buffer) of a .glb file.

    Raises:
        FileFormatError: not a .glb, or truncated.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
        magic, version, length = struct.unpack_from("<III", data)
        size, kind = struct.unpack_from("<II", data, 12)
        document = json.loads(data[20 : 20 + size])
        start = 20 + size
        binary, binary_kind = struct.unpack_from("<II", data, start)
    except (OSError, struct.error, ValueError, RecursionError) as error:
        raise FileFormatError(f"Not a .glb file: {error}", where=path) from error
    if (magic, version, kind, binary_kind) != (_MAGIC, 2, _JSON, _BIN) or not length == len(data) == start + 8 + binary:
        raise FileFormatError("Not a .glb file, or truncated", where=path)
    return document, data[start + 8 :]


def array(document: dict[str, Any], data: bytes, index: int) -> np.ndarray:
    """One accessor as an array [n, ...]; sparse ones are filled in. For files that this module wrote."""
    names = {v: k for k, v in _COMPONENT.items()}
    shapes = {v: k for k, v in _KIND.items()}
    accessor = document["accessors"][index]
    kind, shape = np.dtype(names[accessor["componentType"]]), shapes[accessor["type"]]

    def view(number: int, dtype: np.dtype, count: int, item: tuple[int, ...]) -> np.ndarray:
        size = count * int(np.prod(item, dtype=int))
        return np.frombuffer(data, dtype, size, document["bufferViews"][number]["byteOffset"]).reshape(count, *item)

    if "bufferView" in accessor:
        return view(accessor["bufferView"], kind, accessor["count"], shape)
    out = np.zeros((accessor["count"], *shape), kind)
    if "sparse" in accessor:
        sparse = accessor["sparse"]
        rows = view(sparse["indices"]["bufferView"], np.dtype("uint32"), sparse["count"], ())
        out[rows] = view(sparse["values"]["bufferView"], kind, sparse["count"], shape)
    return out
