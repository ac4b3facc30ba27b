"""Runs the GPU kernels on the CPU: the calls that a launcher makes, on NumPy arrays."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .structs import KERNELS, Adam, AdamTensor, Bases, Bound, Free, Loss, Raster, address, poisoned

HERE = Path(__file__).resolve().parent
CUDA = HERE.parents[2] / "cuda"
FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-unknown-pragmas"]
TILE = 16

BOUND = ("vertices", "mean", "quaternion", "log_scale", "logit_opacity", "color", "delta")
FREE = ("means", "quats", "scales", "opacities", "colors")


class EmulatorError(Exception):
    """What the emulator found wrong with a kernel."""


def compiler() -> str | None:
    """A C++ compiler, if there is one."""
    return shutil.which(os.environ.get("CXX", "c++"))


def build(folder: Path, cuda: Path = CUDA) -> ctypes.CDLL:
    """Compile the kernels, of these sources or of a copy with planted faults, and the emulator."""
    target = folder / "emulator.so"
    sources = [str(HERE / "fibres.cpp"), str(HERE / "kernels.cpp")]
    found = compiler()
    assert found
    subprocess.run([found, *FLAGS, f"-I{cuda}", f"-I{cuda / 'gpu'}", *sources, "-o", str(target)], check=True)
    library = ctypes.CDLL(str(target))
    for name in ("raster", "bases", "loss", "adam"):
        function = getattr(library, f"emu_{name}")
        function.argtypes, function.restype = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint], ctypes.c_char_p
    library.emu_planted.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint]
    library.emu_planted.restype = library.emu_kernel_name.restype = ctypes.c_char_p
    library.emu_work.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
    library.emu_work.restype = ctypes.c_ulonglong
    return library


def _array(value: Any, dtype: type = np.float32) -> np.ndarray | None:
    return None if value is None else np.ascontiguousarray(value, dtype)


def _gradients_in(p: Raster, name: str) -> Any:
    """The struct that holds the address of this gradient."""
    if name in ("g_intrinsics", "g_camera"):
        return p
    return p.g_bound if p.bound.mean else p.g_free


@dataclass
class Drawn:
    """A forward pass, ready for its backward pass."""

    params: Raster
    color: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray
    pruned: np.ndarray
    status: np.ndarray
    keep: list[Any] = field(default_factory=list)


class Emulator:
    """The kernels' launches. `order` is that of threads, warps and blocks: no result may depend on it."""

    def __init__(self, library: ctypes.CDLL, order: int = 0) -> None:
        self.library, self.order = library, order

    def launch(self, group: str, kernel: str, params: ctypes.Structure) -> None:
        """Run one kernel to its end."""
        error = getattr(self.library, f"emu_{group}")(KERNELS.index(kernel), ctypes.addressof(params), self.order)
        if error:
            raise EmulatorError(f"{kernel}: {error.decode()}")

    def forward(
        self,
        splats: dict[str, Any],
        intrinsics: Any,
        camera: Any,
        size: tuple[int, int],
        *,
        binding: Any = None,
        background: Any = None,
        capacity: int = 20000,
        wanted: tuple[str, ...] = (),
        normals: bool = False,
    ) -> Drawn:
        """Draw bound or free splats; `wanted` names the gradients that a backward pass will want."""
        arrays = {k: _array(v) for k, v in splats.items()}
        intrinsics, camera, background = _array(intrinsics), _array(camera), _array(background)
        batch, (width, height), bound = len(intrinsics), size, binding is not None
        p = Raster(batch=batch, width=width, height=height, capacity=capacity, normals=normals)
        p.tiles_x, p.tiles_y = -(-width // TILE), -(-height // TILE)
        p.background_kind = 0 if background is None else 1 if background.ndim == 1 else 2
        keep: list[Any] = [arrays, intrinsics, camera, background]
        for name, array in arrays.items():
            setattr(p.bound if bound else p.free, name, address(array))
        if bound:
            p.count, p.vertices = len(arrays["mean"]), arrays["vertices"].shape[1]
            for prefix, operator in (("", binding.operator), ("transposed_", binding.transposed)):
                for name in ("start", "index", "t", "s"):
                    setattr(p.surface, prefix + name, address(getattr(operator, name)))
            for name in ("corner", "barycentric", "extent", "use_start", "use"):
                setattr(p.surface, name, address(getattr(binding, name)))
            keep.append(binding)
        else:
            p.count = arrays["means"].shape[1]
        p.intrinsics, p.camera_from_world, p.background = address(intrinsics), address(camera), address(background)
        color, alpha, depth = (poisoned((batch, c, height, width)) for c in (3, 1, 1))
        pruned, status = poisoned(batch, np.uint32), np.zeros(2, np.uint32)
        p.color, p.alpha, p.depth = address(color), address(alpha), address(depth)
        p.pruned, p.status = address(pruned), address(status)
        one = 1
        for name in wanted:  # decides the workspace; real addresses come with the backward pass
            setattr(_gradients_in(p, name), name, one)
        work = poisoned(self.library.emu_work(ctypes.addressof(p), None, 1) + 256, np.uint8)
        self.library.emu_work(ctypes.addressof(p), address(work), 1)
        for kernel in ("prepare", "project_bound" if bound else "project_free", "allocate", "scatter", "blend"):
            self.launch("raster", kernel, p)
        assert (work[-256:] == 0xFF).all(), "written past the workspace"
        return Drawn(p, color, alpha, depth, pruned, status, [*keep, work])

    def backward(
        self, drawn: Drawn, g_color: Any, g_alpha: Any, g_depth: Any, shapes: dict[str, tuple[int, ...]]
    ) -> dict[str, np.ndarray]:
        """Gradients of the arrays in `shapes`, which must be those wanted of `forward`."""
        p, bound = drawn.params, bool(drawn.params.bound.mean)
        given = [_array(g) for g in (g_color, g_alpha, g_depth)]
        p.g_color, p.g_alpha, p.g_depth = map(address, given)
        p.g_bound, p.g_free, p.g_intrinsics, p.g_camera = Bound(), Free(), None, None
        out = {name: poisoned(shape) for name, shape in shapes.items()}
        for name, array in out.items():
            setattr(_gradients_in(p, name), name, address(array))
        kernels = ["blend_backward" if g_depth is None else "blend_backward_depth"]
        kernels.append(("project_bound_backward" + "_normals" * p.normals) if bound else "project_free_backward")
        kernels += ["camera_finish"] if "g_camera" in out else []
        kernels += ["vertex_gather", "vertex_finish"] if "vertices" in out else []
        for kernel in kernels:
            self.launch("raster", kernel, p)
        return out

    def combine(self, bases: Any, weights: Any) -> np.ndarray:
        """delta [B, N, 9] of bases [N, 9, K] and weights [B, K]."""
        bases, weights = _array(bases), _array(weights)
        n, _, k = bases.shape
        delta = poisoned((len(weights), n, 9))
        p = Bases(batch=len(weights), rows=9 * n, columns=k)
        p.bases, p.weights, p.delta = map(address, (bases, weights, delta))
        self.launch("bases", "combine", p)
        return delta

    def combine_backward(
        self,
        bases: np.ndarray,
        weights: Any,
        g_delta: Any,
        *,
        wants_bases: bool = True,
        adam: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Gradients of weights and bases; with `adam` (m, v, lr, corrections, skip, betas) also a step on the bases."""
        weights, g_delta = _array(weights), _array(g_delta)
        n, _, k = bases.shape
        p = Bases(batch=len(weights), rows=9 * n, columns=k)
        g_weights, g_bases = poisoned((len(weights), k)), poisoned(bases.shape) if wants_bases else None
        partial = poisoned((len(weights), k, self.library.emu_combine_blocks(ctypes.byref(p))))
        p.bases, p.weights, p.g_delta = map(address, (bases, weights, g_delta))
        p.g_weights, p.g_bases, p.partial = map(address, (g_weights, g_bases, partial))
        if adam:
            for name in ("m", "v", "lr", "corrections", "skip"):
                setattr(p, name, address(adam.get(name)))
            p.beta1, p.beta2, p.eps = adam["betas"]
        self.launch("bases", "combine_backward", p)
        self.launch("bases", "combine_finish", p)
        return g_weights, g_bases

    def loss(self, image: Any, target: Any, weight: Any, ssim_weight: float) -> tuple[np.ndarray, np.ndarray]:
        """The four numbers of `Loss.out`, and the gradient."""
        image, target, weight = _array(image), _array(target), _array(weight)
        batch, _, height, width = image.shape
        p = Loss(batch=batch, height=height, width=width, ssim_weight=ssim_weight)
        grad, maps, out = poisoned(image.shape), poisoned((3, *image.shape)), poisoned(4, np.float64)
        partial = poisoned((self.library.emu_loss_blocks(ctypes.byref(p)), 3), np.float64)
        p.image, p.target, p.weight = map(address, (image, target, weight))
        p.grad, p.maps, p.partial, p.out = map(address, (grad, maps, partial, out))
        for kernel in ("loss", "loss_reduce", "loss_backward"):
            self.launch("loss", kernel, p)
        return out, grad

    def adam(
        self, tensors: list[tuple[np.ndarray, ...]], step: int, counter: np.ndarray | None, skip: np.ndarray | None
    ) -> np.ndarray:
        """One step on (param, grad, m, v, lr) tuples, in place; returns the corrections."""
        corrections = np.zeros(2, np.float32)
        p = Adam(tensors=len(tensors), step=step, beta1=0.9, beta2=0.999, eps=1e-8)
        p.counter, p.corrections, p.skip = map(address, (counter, corrections, skip))
        for i, arrays in enumerate(tensors):
            n, columns = arrays[0].shape
            p.tensor[i] = AdamTensor(*map(address, arrays), n, columns, 0)
        self.launch("adam", "adam_tick", p)
        self.launch("adam", "adam", p)
        return corrections
