"""The compiled CPU library, loaded by ctypes when it is first used."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_double, c_float, c_int, c_longlong, c_void_p
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BackendError, InputError

if TYPE_CHECKING:
    from torch import Tensor

_V3 = {"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe", "abm"}
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


class Mesh(Structure):
    """Mirror of `Mesh` in cuda/bound.cpp."""

    _fields_ = [("vertices", c_int)] + [
        (name, c_void_p)
        for name in (
            "start", "index", "t", "s", "transposed_start", "transposed_index", "transposed_t", "transposed_s",
            "corner", "barycentric", "extent", "use_start", "use",
        )
    ]  # fmt: skip


class Params(Structure):
    """Mirror of `Params` in cuda/bound.cpp."""

    _fields_ = [(name, c_void_p) for name in ("mean", "quaternion", "log_scale", "logit_opacity", "color", "delta")]


class Grads(Structure):
    """Mirror of `Grads` in cuda/bound.cpp."""

    _fields_ = [
        (name, c_void_p)
        for name in (
            "vertices",
            "mean",
            "quaternion",
            "log_scale",
            "logit_opacity",
            "color",
            "delta",
            "intrinsics",
            "camera",
        )
    ]


_SIGNATURES = {
    "av_lanes": [],
    "av_frame_free": [c_void_p],
    "av_frame_pruned": [c_void_p, c_int],
    "av_rasterize_forward": [c_void_p] + [c_int] * 6 + [c_void_p] * 8 + [c_int] + [c_void_p] * 3,
    "av_rasterize_backward": [c_void_p] + [c_int] * 2 + [c_void_p] * 18,
    "av_bound_forward": [c_void_p]
    + [c_int] * 7
    + [POINTER(Mesh), POINTER(Params)]
    + [c_void_p] * 4
    + [c_int]
    + [c_void_p] * 3,
    "av_bound_backward": [c_void_p]
    + [c_int] * 3
    + [POINTER(Mesh), POINTER(Params)]
    + [c_void_p] * 6
    + [POINTER(Grads)],
    "av_combine": [c_int] * 4 + [c_void_p] * 3,
    "av_combine_backward": [c_int] * 4 + [c_void_p] * 5,
    "av_adam": [c_int, c_longlong, c_int] + [c_void_p] * 5 + [c_int] + [c_float] * 3,
    "av_adam_outer": [c_int] * 3 + [c_void_p] * 6 + [c_int] + [c_float] * 3,
    "av_loss": [c_int] * 4 + [c_void_p] * 3 + [c_float, c_void_p, POINTER(c_double)],
    "av_mesh": [c_int] * 5 + [c_void_p] * 2 + [c_float] + [c_void_p] * 3,
}


@cache
def variants() -> tuple[str, ...]:
    """Libraries that this processor can run, best first: `v4` (16 pixels at a time), `v3` (8) and `baseline` (4)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ("baseline",)
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    return (*(name for name, needed in (("v4", _V4), ("v3", _V3)) if flags >= needed), "baseline")


def variant() -> str:
    """Name of the library that fits this processor."""
    return variants()[0]


def library() -> ctypes.CDLL:
    """The library that fits this processor.

    Raises:
        BackendError: it is missing or does not load.
    """
    return _load(variant())


@cache
def _load(name: str) -> ctypes.CDLL:
    path = Path(__file__).with_name(f"_cpu_{name}.so")
    if not path.exists():
        raise BackendError("The native CPU library is missing", where=path, fix="Reinstall with `pip install .`")
    try:
        lib = ctypes.CDLL(str(path))
        for function, arguments in _SIGNATURES.items():
            getattr(lib, function).argtypes = arguments
            getattr(lib, function).restype = c_int
        lib.av_frame_new.argtypes, lib.av_frame_new.restype = [], c_void_p
        lib.av_frame_pruned.restype = c_longlong
        lib.av_frame_free.restype = None
    except (OSError, AttributeError) as error:
        message = f"The native CPU library does not load: {error}"
        raise BackendError(message, where=path, fix="Reinstall with `pip install .`") from error
    return lib


class Frame:
    """What a forward pass keeps for its backward pass; goes back to the library's pool when it is dropped.

    Args:
        normals: draw the splats' normals in the place of their colours.
    """

    def __init__(self, normals: bool = False) -> None:
        self.normals = normals
        self._library = library()
        self.handle = self._library.av_frame_new()
        if not self.handle:
            raise BackendError("Out of memory in the rasterizer")

    def pruned(self, batch: int) -> int:
        """How many splats were dropped as not finite or degenerate in the last forward pass."""
        return self._library.av_frame_pruned(self.handle, batch)

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self._library.av_frame_free(self.handle)


def pointer(value: Tensor | None) -> int | None:
    """Address of a tensor's data, or null."""
    return None if value is None else value.data_ptr()


def check(status: int) -> None:
    """Turn a status of the library into an error."""
    if status == 1:
        raise BackendError("Out of memory in the rasterizer", fix="Use fewer or smaller splats, or a smaller image")
    if status == 2:
        raise InputError("The camera is not finite, or its focal length is not positive")
    if status:
        raise BackendError(f"The rasterizer failed with status {status}")
