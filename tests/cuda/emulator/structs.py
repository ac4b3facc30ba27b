"""Mirrors of the structs in cuda/gpu/params.h."""

from __future__ import annotations

import ctypes
from ctypes import Structure, c_float, c_int, c_longlong, c_uint, c_void_p

import numpy as np

KERNELS = (
    "prepare", "project_bound", "project_free", "allocate", "scatter", "blend",
    "blend_backward", "blend_backward_depth", "project_bound_backward", "project_bound_backward_normals",
    "project_free_backward", "camera_finish",
    "vertex_gather", "vertex_finish",
    "combine", "combine_backward", "combine_finish",
    "loss", "loss_reduce", "loss_backward",
    "adam_tick", "adam",
)  # fmt: skip


def _fields(kind: type, names: str) -> list[tuple[str, type]]:
    return [(name, kind) for name in names.split()]


def _pointers(names: str) -> list[tuple[str, type]]:
    return _fields(c_void_p, names)


class Bound(Structure):
    _fields_ = _pointers("vertices mean quaternion log_scale logit_opacity color delta")


class Surface(Structure):
    _fields_ = _pointers(
        "start index t s transposed_start transposed_index transposed_t transposed_s"
        " corner barycentric extent use_start use"
    )


class Free(Structure):
    _fields_ = _pointers("means quats scales opacities colors")


class RasterWork(Structure):
    _fields_ = _pointers(
        "cameras vertex_rows splats depth span first_row block_rows tile_count tile_start tile_cursor keys keys2"
        " row_splat rows surface_rows corner_rows camera_partial"
    )


class Raster(Structure):
    _fields_ = [
        *_fields(c_int, "batch count vertices width height tiles_x tiles_y background_kind"),
        ("capacity", c_uint),
        ("normals", c_uint),
        ("bound", Bound),
        ("surface", Surface),
        ("free", Free),
        *_pointers("intrinsics camera_from_world background color alpha depth pruned status"),
        ("work", RasterWork),
        *_pointers("g_color g_alpha g_depth"),
        ("g_bound", Bound),
        ("g_free", Free),
        *_pointers("g_intrinsics g_camera"),
    ]


class Bases(Structure):
    _fields_ = [
        *_fields(c_int, "batch rows columns pad"),
        *_pointers("bases weights delta g_delta g_weights g_bases partial m v lr corrections skip"),
        *_fields(c_float, "beta1 beta2 eps pad2"),
    ]


class Loss(Structure):
    _fields_ = [
        *_fields(c_int, "batch height width"),
        ("ssim_weight", c_float),
        *_pointers("image target weight grad maps partial out"),
    ]


class AdamTensor(Structure):
    _fields_ = [*_pointers("param grad m v lr"), ("n", c_longlong), ("columns", c_int), ("pad", c_int)]


class Adam(Structure):
    _fields_ = [
        ("tensor", AdamTensor * 16),
        ("tensors", c_int),
        ("step", c_int),
        *_pointers("counter corrections skip"),
        *_fields(c_float, "beta1 beta2 eps pad"),
    ]


SIZES = (Raster, Bases, Loss, Adam, AdamTensor, RasterWork)


def address(array: np.ndarray | None) -> int | None:
    """Where a contiguous array lies; null for None."""
    if array is None:
        return None
    assert array.flags.c_contiguous
    return array.ctypes.data


def poisoned(shape: tuple[int, ...] | int, dtype: type = np.float32) -> np.ndarray:
    """Memory full of ones: NaN as floats, so that whatever is not written shows. Aligned like device memory."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.full(count + 256, 0xFF, np.uint8)
    start = -raw.ctypes.data % 256
    return raw[start : start + count].view(dtype).reshape(shape)


def sizes_of_mirrors() -> list[int]:
    """For comparison with the compiled ones."""
    return [ctypes.sizeof(s) for s in SIZES]
