"""Reads the arrays out of a FLAME pickle without running anything in it. The only place that touches pickle.

A pickle is a program. Here its every global is looked up in a short list of stand-ins that do nothing but keep what
they are given; NumPy, SciPy and chumpy objects are rebuilt from those afterwards, with their sizes checked. Run as
`python -m avatars.heads.unpickle IN OUT`, in a process of its own with limits on memory and time: see `flame.py`.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

MEMORY_BYTES, CPU_SECONDS = 2 << 30, 30
REFUSED = 3
"""Exit status when the file is refused; the reason is one JSON object on stdout."""
_MAX_FILE = 1 << 30
_WANTED = ("f", "v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights")


class RefusedError(Exception):
    """The pickle asks for something that is not on the list, or does not hold together."""


class _Kept:
    """Stands for an object; keeps the state that the pickle sets."""

    state: Any = None

    def __new__(cls, *_: Any) -> Any:
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Kept):
    """numpy.ndarray."""


class _Chumpy(_Kept):
    """chumpy.ch.Ch: an array that remembers how it was computed; its value is `x`."""


class _Sparse(_Kept):
    """scipy.sparse.csc_matrix."""


class _Dtype(_Kept):
    """numpy.dtype, of plain numbers only."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.code = str(code)

    def resolve(self) -> np.dtype:
        if self.code not in _NUMBERS:
            raise RefusedError(f"an array of type {self.code[:20]!r}")
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "="
        return np.dtype(self.code).newbyteorder(order if order in ("<", ">", "=", "|") else "=")


_NUMBERS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"}


def _reconstruct(*_: Any) -> _Array:
    """numpy's: an empty array of a class, filled by `__setstate__`; the size asked for is not believed."""
    return _Array()


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """numpy's protocol 5 form."""
    out = _Array()
    out.state = (1, shape, dtype, order == "F", bytes(buffer))
    return out


def _scalar(dtype: Any, data: Any = b"") -> _Array:
    out = _Array()
    out.state = (1, (), dtype, False, data)
    return out


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """codecs.encode as NumPy's protocol 2 uses it: bytes spelled as text."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RefusedError("codecs.encode with another codec than latin1")
    return text.encode("latin1")


def _new(cls: Any, *_: Any) -> _Kept:
    """copyreg's way to make a bare object."""
    if not (isinstance(cls, type) and issubclass(cls, _Kept)):
        raise RefusedError("copyreg._reconstructor of another class")
    return cls()


class _Nothing:
    """builtins.object, as an argument of copyreg's."""


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    **{(f"scipy.sparse.{module}", "csc_matrix"): _Sparse for module in ("csc", "_csc")},
    **{(module, "_reconstructor"): _new for module in ("copyreg", "copy_reg")},
    **{(module, "object"): _Nothing for module in ("builtins", "__builtin__")},
    **{(module, "set"): set for module in ("builtins", "__builtin__")},
    ("_codecs", "encode"): _encode,
    ("chumpy.ch", "Ch"): _Chumpy,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise RefusedError(f"the global {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedError("a persistent reference")


def read_arrays(data: bytes) -> dict[str, np.ndarray]:
    """The wanted arrays of a FLAME pickle, sparse ones made dense, by name.

    Raises:
        RefusedError: not such a pickle, or one that asks for more than arrays.
    """
    try:
        value = _Reader(io.BytesIO(data), encoding="latin1").load()
    except RefusedError:
        raise
    except MemoryError:
        raise RefusedError("more memory than any FLAME file needs") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise RefusedError(f"what is not a whole pickle ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise RefusedError("something else than a dictionary of arrays")
    found = {_text(key): item for key, item in value.items() if isinstance(key, (str, bytes))}
    return {name: _dense(name, found[name]) for name in _WANTED if name in found}


def _text(key: str | bytes) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else key


def _dense(name: str, item: Any) -> np.ndarray:
    for _ in range(3):  # a chumpy array may wrap another
        if not isinstance(item, _Chumpy):
            break
        item = (item.state or {}).get("x") if isinstance(item.state, dict) else None
    if isinstance(item, _Array):
        return _array(name, item)
    if isinstance(item, _Sparse) and isinstance(item.state, dict):
        return _from_sparse(name, item.state)
    raise RefusedError(f"no array under {name!r}")


def _array(name: str, item: Any) -> np.ndarray:
    try:
        _, shape, dtype, fortran, raw = item.state
        shape = tuple(int(n) for n in shape)
        kind = dtype.resolve()
        raw = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
    except RefusedError:
        raise
    except (TypeError, ValueError, AttributeError, UnicodeEncodeError):
        raise RefusedError(f"a malformed array under {name!r}") from None
    if any(n < 0 for n in shape) or math.prod(shape) * kind.itemsize != len(raw):
        raise RefusedError(f"an array under {name!r} whose size does not fit its data")
    return np.frombuffer(raw, kind).reshape(shape, order="F" if fortran else "C").astype(kind.newbyteorder("="))


def _from_sparse(name: str, state: dict[str, Any]) -> np.ndarray:
    """A dense [rows, columns] array from compressed columns."""
    try:
        data, indices, indptr = (_array(name, state[key]) for key in ("data", "indices", "indptr"))
        rows, columns = (int(n) for n in state.get("_shape", state.get("shape")))  # type: ignore[union-attr]
    except (KeyError, TypeError, ValueError):
        raise RefusedError(f"a malformed sparse matrix under {name!r}") from None
    shaped = data.ndim == indices.ndim == indptr.ndim == 1 and len(data) == len(indices) and len(indptr) == columns + 1
    if not shaped or rows * columns > 1 << 24 or min(rows, columns) < 0:
        raise RefusedError(f"a malformed sparse matrix under {name!r}")
    counts = np.diff(indptr.astype(np.int64))
    inside = len(indices) == 0 or (indices.min() >= 0 and indices.max() < rows)
    if (counts < 0).any() or counts.sum() != len(data) or indptr[0] != 0 or not inside:
        raise RefusedError(f"a malformed sparse matrix under {name!r}")
    out = np.zeros((rows, columns), np.float64)
    np.add.at(out, (indices.astype(np.int64), np.repeat(np.arange(columns), counts)), data)
    return out


def _limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _main(source: str, target: str) -> int:
    try:
        if Path(source).stat().st_size > _MAX_FILE:
            raise RefusedError("more bytes than any FLAME file has")
        arrays = read_arrays(Path(source).read_bytes())
        Path(target).write_bytes(save({name: np.ascontiguousarray(value) for name, value in arrays.items()}))
    except RefusedError as error:
        print(json.dumps({"asks_for": str(error)}))
        return REFUSED
    except MemoryError:
        print(json.dumps({"asks_for": "more memory than any FLAME file needs"}))
        return REFUSED
    return 0


if __name__ == "__main__":
    _limit()
    sys.exit(_main(sys.argv[1], sys.argv[2]))
