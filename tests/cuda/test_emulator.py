"""The emulator itself: planted faults must be found, or the kernels' tests mean little."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.raster import scenes

from .emulator.run import CUDA, Emulator, build
from .emulator.structs import KERNELS, SIZES, poisoned, sizes_of_mirrors
from .test_kernels import draw_free

FAULTS = {
    0: "different operations|not reached",  # a barrier for some, a warp operation for others
    1: "different barriers",
    2: "not reached by every thread",
    3: "not reached by all its lanes",
}


def test_mirrors_have_the_compiled_sizes(emulated: ctypes.CDLL):
    assert sizes_of_mirrors() == [emulated.emu_struct_size(i) for i in range(len(SIZES))]
    assert [emulated.emu_kernel_name(i).decode() for i in range(len(KERNELS))] == [f"av_{name}" for name in KERNELS]


@pytest.mark.parametrize("order", [0, 1, 7])
@pytest.mark.parametrize("fault", FAULTS)
def test_divergent_barriers_are_caught(fault: int, order: int, emulated: ctypes.CDLL):
    error = emulated.emu_planted(fault, None, order)
    assert error is not None
    assert any(part in error.decode() for part in FAULTS[fault].split("|")), error


def neighbours(emulated: ctypes.CDLL, barrier: bool, order: int) -> np.ndarray:
    out = poisoned(64)
    assert emulated.emu_planted(4 + barrier, out.ctypes.data, order) is None
    return out


def test_a_missing_barrier_shows_in_the_order_of_threads(emulated: ctypes.CDLL):
    # A read of what another thread has yet to write: shared memory starts as NaN, so it cannot pass for a value.
    # The races this cannot find are those between barriers whose outcome is the same in every order tried.
    without = [neighbours(emulated, False, order) for order in (0, 1)]
    assert np.isnan(without[0]).any()
    assert not np.array_equal(*without, equal_nan=True)
    for order in (0, 1, 7):
        assert np.array_equal(neighbours(emulated, True, order), np.arange(63, -1, -1, dtype=np.float32))


def test_a_barrier_taken_from_a_real_kernel_shows(emulated: ctypes.CDLL, tmp_path: Path):
    """Blending without the wait for the splats that it has just brought into shared memory."""
    copy = tmp_path / "cuda"
    shutil.copytree(CUDA, copy)
    kernel = copy / "gpu/blend.cuh"
    text, staged = (
        kernel.read_text(),
        "    }\n    __syncthreads();\n    const u32 n = least(kThreads, list.count - base);",
    )
    assert text.count(staged) == 1
    kernel.write_text(text.replace(staged, staged.replace("__syncthreads();", "")))
    faulty, tensors = build(tmp_path, copy), scenes.free(0, 1, 100)
    right = [draw_free(Emulator(emulated, order), tensors).color for order in (0, 1)]
    wrong = [draw_free(Emulator(faulty, order), tensors).color for order in (0, 1)]
    assert np.array_equal(*right)
    assert not np.array_equal(right[0], wrong[0], equal_nan=True)
    assert not np.array_equal(*wrong, equal_nan=True)
