"""The launcher of the CUDA kernels, loaded by ctypes when it is first used, and the structures that it takes.

The structures mirror cuda/gpu/params.h; their sizes are compared with the launcher's own when it is loaded.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_float, c_int, c_longlong, c_uint, c_ulonglong, c_void_p
from functools import cache
from pathlib import Path

from ..errors import BackendError

OVERFLOW, BAD_CAMERA = 1, 2
"""Bits of the first word of a status."""
STATUS_WORDS = 2
"""Flags, and the largest number of list entries that any view has asked for."""
MAX_ADAM_TENSORS = 16


def _pointers(*names: str) -> list[tuple[str, type]]:
    return [(name, c_void_p) for name in names]


def _ints(*names: str) -> list[tuple[str, type]]:
    return [(name, c_int) for name in names]


class Sparse(Structure):
    """Sparse rows over vertices with two coefficients per entry."""

    _fields_ = _pointers("start", "index", "t", "s")


class Surface(Structure):
    """A `Binding` on the device."""

    _fields_ = [
        ("forward", Sparse), ("transposed", Sparse),
        *_pointers("corner", "barycentric", "extent", "use_start", "use"),
    ]  # fmt: skip


class Bound(Structure):
    """Splats bound to a mesh, or what flows back to them."""

    _fields_ = _pointers("vertices", "mean", "quaternion", "log_scale", "logit_opacity", "color", "delta")


class Free(Structure):
    """Splats in the world, or what flows back to them."""

    _fields_ = _pointers("means", "quats", "scales", "opacities", "colors")


class Raster(Structure):
    """One forward or backward pass."""

    _fields_ = [
        *_ints("batch", "count", "vertices", "width", "height", "tiles_x", "tiles_y", "background_kind"),
        ("capacity", c_uint), ("normals", c_uint),
        ("bound", Bound), ("surface", Surface), ("free", Free),
        *_pointers("intrinsics", "camera_from_world", "background", "color", "alpha", "depth", "pruned", "status"),
        ("work", c_void_p * 17),
        *_pointers("g_color", "g_alpha", "g_depth"),
        ("g_bound", Bound), ("g_free", Free),
        *_pointers("g_intrinsics", "g_camera"),
    ]  # fmt: skip


class Bases(Structure):
    """Learned bases: their combination, its gradients, or a step of Adam on them."""

    _fields_ = [
        *_ints("batch", "rows", "columns", "pad"),
        *_pointers("bases", "weights", "delta", "g_delta", "g_weights", "g_bases", "partial"),
        *_pointers("m", "v", "lr", "corrections", "skip"),
        ("beta1", c_float), ("beta2", c_float), ("eps", c_float), ("pad2", c_float),
    ]  # fmt: skip


class Loss(Structure):
    """The photometric loss and its gradient."""

    _fields_ = [
        *_ints("batch", "height", "width"), ("ssim_weight", c_float),
        *_pointers("image", "target", "weight", "grad", "maps", "partial", "out"),
    ]  # fmt: skip


class AdamTensor(Structure):
    """One tensor [n, columns] of a step of Adam."""

    _fields_ = [*_pointers("param", "grad", "m", "v", "lr"), ("n", c_longlong), ("columns", c_int), ("pad", c_int)]


class Adam(Structure):
    """One step of Adam on up to 16 tensors."""

    _fields_ = [
        ("tensor", AdamTensor * MAX_ADAM_TENSORS), ("tensors", c_int), ("step", c_int),
        *_pointers("counter", "corrections", "skip"),
        ("beta1", c_float), ("beta2", c_float), ("eps", c_float), ("pad", c_float),
    ]  # fmt: skip


_CALL = [c_void_p, c_int, c_void_p]
"""Module, device, stream."""
_SIGNATURES: dict[str, tuple[list, type | None]] = {
    "av_cuda_layout": ([POINTER(c_int)], None),
    "av_cuda_driver": ([POINTER(c_int), c_char_p, c_int], c_int),
    "av_cuda_load": ([c_char_p, c_int, POINTER(c_void_p), c_char_p, c_int], c_int),
    "av_cuda_words": ([c_int, c_char_p, c_int], None),
    "av_cuda_bytes": ([POINTER(Raster), POINTER(c_ulonglong)], None),
    "av_cuda_forward": ([*_CALL, POINTER(Raster), c_void_p], c_int),
    "av_cuda_backward": ([*_CALL, POINTER(Raster), c_void_p, c_void_p], c_int),
    "av_cuda_combine": ([*_CALL, POINTER(Bases)], c_int),
    "av_cuda_combine_partial": ([POINTER(Bases)], c_ulonglong),
    "av_cuda_combine_backward": ([*_CALL, POINTER(Bases)], c_int),
    "av_cuda_loss_sizes": ([POINTER(Loss), POINTER(c_ulonglong)], None),
    "av_cuda_loss": ([*_CALL, POINTER(Loss)], c_int),
    "av_cuda_adam": ([*_CALL, POINTER(Adam)], c_int),
}
LAUNCHER = Path(__file__).with_name("_cuda.so")


@cache
def library() -> ctypes.CDLL:
    """The launcher.

    Raises:
        BackendError: it is missing, does not load, or was built from other sources than these.
    """
    if not LAUNCHER.exists():
        raise BackendError("The CUDA launcher is missing", where=LAUNCHER, fix="Reinstall with `pip install .`")
    try:
        lib = ctypes.CDLL(str(LAUNCHER))
        for name, (arguments, result) in _SIGNATURES.items():
            getattr(lib, name).argtypes, getattr(lib, name).restype = arguments, result
    except (OSError, AttributeError) as error:
        message = f"The CUDA launcher does not load: {error}"
        raise BackendError(message, where=LAUNCHER, fix="Reinstall with `pip install .`") from error
    theirs = (c_int * 4)()
    lib.av_cuda_layout(theirs)
    if list(theirs) != [ctypes.sizeof(kind) for kind in (Raster, Bases, Loss, Adam)]:
        raise BackendError(
            "The CUDA launcher was built from other sources", where=LAUNCHER, fix="Reinstall with `pip install .`"
        )
    return lib


def driver_version() -> str:
    """Version of CUDA that the installed driver speaks, such as `12.8`.

    Raises:
        BackendError: there is no driver.
    """
    version, words = c_int(), ctypes.create_string_buffer(512)
    if library().av_cuda_driver(ctypes.byref(version), words, len(words)):
        raise BackendError(
            f"NVIDIA's driver cannot be used: {words.value.decode(errors='replace')}",
            fix="Install the driver (525 or newer), or run on the CPU",
        )
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def load(image: bytes, device: int) -> int:
    """Give machine code to a device; a handle for the other calls, valid as long as the process lives.

    Raises:
        BackendError: no driver, or the driver refuses the code.
    """
    handle, words = c_void_p(), ctypes.create_string_buffer(512)
    status = library().av_cuda_load(image, device, ctypes.byref(handle), words, len(words))
    if status:
        said = words.value.decode(errors="replace") or words_of(status)
        raise BackendError(f"The CUDA kernels do not load: {said}", fix="Run `avatars doctor`")
    assert handle.value is not None
    return handle.value


def words_of(status: int) -> str:
    """What the driver says about a status."""
    words = ctypes.create_string_buffer(512)
    library().av_cuda_words(status, words, len(words))
    return words.value.decode(errors="replace") or f"status {status}"


def check(status: int) -> None:
    """Turn a status of the launcher into an error."""
    if status:
        raise BackendError(f"A CUDA kernel could not be started: {words_of(status)}", fix="Run `avatars doctor`")


def bytes_of(raster: Raster) -> tuple[int, int]:
    """Workspace of a forward pass, and of its backward pass besides; sizes, capacity and pointers must be set."""
    out = (c_ulonglong * 2)()
    library().av_cuda_bytes(ctypes.byref(raster), out)
    return out[0], out[1]


def loss_sizes(loss: Loss) -> tuple[int, int]:
    """Floats of `maps` and doubles of `partial`."""
    out = (c_ulonglong * 2)()
    library().av_cuda_loss_sizes(ctypes.byref(loss), out)
    return out[0], out[1]
