"""The CUDA device's operations on tensors that ops.py has checked: launches on torch's current stream.

Same functions as cpu.py. A forward pass needs room for its list of (tile, splat) pairs, whose length only the device
knows. An eager call asks for it once, waits, and repeats itself with more room where that was too little; inside
`deferred` (see cuda_graph.py) nothing waits, and who captured the step looks at the flag one step later.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import BackendError, InputError
from . import cuda_driver, cuda_image
from .cpu import Gradients, pictures, room
from .cuda_driver import Adam, AdamTensor, Bases, Bound, Free, Loss, Raster, Sparse, Surface, library
from .native import pointer

if TYPE_CHECKING:
    from .ops import BindingLike

TILE = 16
"""Side of a tile, px; kTileSize of cuda/gpu/params.h."""
_LEAST_ROOM, _ROOM_PER_SPLAT, _SPARE = 1 << 14, 4, 1.3


@cache
def module_of(index: int) -> int:
    """The kernels on one device.

    Raises:
        BackendError: no machine code for it, no compiler, or no driver.
    """
    return cuda_driver.load(cuda_image.image(architecture(index)).code, index)


def architecture(index: int) -> str:
    """Such as `sm_90`."""
    major, minor = torch.cuda.get_device_capability(index)
    return f"sm_{major}{minor}"


def place(device: torch.device) -> tuple[int, int, int]:
    """(module, device index, stream) of a launch."""
    index = torch.cuda.current_device() if device.index is None else device.index
    return module_of(index), index, torch.cuda.current_stream(index).cuda_stream


@dataclass
class Later:
    """A step whose overflow is looked at after it ran."""

    status: Tensor
    """[2] int32 on the device; kernels set it, the host clears it."""
    room: int = 0
    """List entries per view that are known to be needed."""


_later: ContextVar[Later | None] = ContextVar("later", default=None)


@contextmanager
def deferred(later: Later) -> Iterator[None]:
    """Let no call of this thread wait for the device; overflow goes to `later.status` and stops every Adam step."""
    token = _later.set(later)
    try:
        yield
    finally:
        _later.reset(token)


_rooms: dict[tuple[torch.device, int, int], int] = {}
"""List entries per view, by device, splats and tiles: what the last call of that kind got by with."""


def more_room(needed: int) -> int:
    """List entries to provide where `needed` were asked for."""
    return int(needed * _SPARE) + 1024


class Frame:
    """What a forward pass keeps for its backward pass; arguments as `native.Frame`."""

    def __init__(self, normals: bool = False) -> None:
        self.raster = Raster(normals=normals)
        self.kept: tuple[Tensor | None, ...] = ()
        self.work: Tensor | None = None
        self.dropped: int | Tensor = 0

    def pruned(self, batch: int) -> int | Tensor:
        """How many splats were dropped as not finite or degenerate; a tensor [] where nobody waited for it."""
        del batch
        return self.dropped


def _set(structure: Any, **tensors: Tensor | None) -> None:
    for name, tensor in tensors.items():
        setattr(structure, name, pointer(tensor))


def _draw(
    frame: Frame, like: Tensor, cameras: Sequence[Tensor], background: Tensor | None, kind: int, width: int, height: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the forward pass that `frame.raster` describes, splats and batch already set."""
    raster, later = frame.raster, _later.get()
    batch, count, device = raster.batch, raster.count, like.device
    raster.width, raster.height, raster.background_kind = width, height, kind
    raster.tiles_x, raster.tiles_y = -(-width // TILE), -(-height // TILE)
    out = pictures(like, batch, width, height)
    if not batch:
        return out
    if later is None and device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        raise BackendError("A drawing cannot wait while a graph is captured", fix="Capture it with cuda_graph.Captured")
    words = torch.zeros(cuda_driver.STATUS_WORDS + batch, dtype=torch.int32, device=device)
    status, pruned = words[: cuda_driver.STATUS_WORDS] if later is None else later.status, words[-batch:]
    _set(raster, intrinsics=cameras[0], camera_from_world=cameras[1], background=background)
    _set(raster, color=out[0], alpha=out[1], depth=out[2], pruned=pruned, status=status)
    key = (device, count, raster.tiles_x * raster.tiles_y)
    entries = max(_rooms.get(key, _LEAST_ROOM), _ROOM_PER_SPLAT * count, later.room if later else 0)
    while True:
        raster.capacity = entries
        try:
            frame.work = like.new_empty(cuda_driver.bytes_of(raster)[0], dtype=torch.uint8)
        except torch.OutOfMemoryError as error:
            fix = "Use fewer or smaller splats, or a smaller image"
            raise BackendError(f"Out of memory in the rasterizer: {entries} list entries a view", fix=fix) from error
        where = place(device)
        cuda_driver.check(library().av_cuda_forward(*where, ctypes.byref(raster), frame.work.data_ptr()))
        if later is not None:
            frame.dropped = pruned.sum()
            break
        flags, needed, *dropped = words.tolist()  # waits
        if flags & cuda_driver.BAD_CAMERA:
            raise InputError("The camera is not finite, or its focal length is not positive")
        frame.dropped = sum(dropped)
        if not flags & cuda_driver.OVERFLOW:
            break
        entries = _rooms[key] = more_room(needed)
        words.zero_()
    frame.kept = (background, status, pruned)
    return out


def _draw_back(
    frame: Frame, like: Tensor, cameras: Sequence[Tensor], out: Sequence[Tensor], grads: Sequence[Tensor | None],
    cameras_made: Gradients, raster: Raster,
) -> None:  # fmt: skip
    """Run the backward pass of `frame`; `raster` is a copy of the frame's with splats and their gradients set."""
    _set(raster, intrinsics=cameras[0], camera_from_world=cameras[1], color=out[0], alpha=out[1], depth=out[2])
    _set(raster, g_color=grads[0], g_alpha=grads[1], g_depth=grads[2])
    _set(raster, g_intrinsics=cameras_made[0], g_camera=cameras_made[1])
    assert frame.work is not None
    scratch = like.new_empty(cuda_driver.bytes_of(raster)[1], dtype=torch.uint8)
    arguments = (ctypes.byref(raster), frame.work.data_ptr(), scratch.data_ptr())
    cuda_driver.check(library().av_cuda_backward(*place(like.device), *arguments))


def _none_drawn(made: Gradients) -> Gradients:
    return [g if g is None else g.zero_() for g in made]


def free_forward(
    frame: Frame, inputs: Sequence[Tensor], cameras: Sequence[Tensor], background: Tensor | None, kind: int,
    width: int, height: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """As `cpu.free_forward`."""
    frame.raster.batch, frame.raster.count = inputs[0].shape[:2]
    frame.raster.free = Free(*map(pointer, inputs))
    return _draw(frame, inputs[0], cameras, background, kind, width, height)


def free_backward(
    frame: Frame, inputs: Sequence[Tensor], cameras: Sequence[Tensor], out: Sequence[Tensor],
    grads: Sequence[Tensor | None], wants: Sequence[bool], want_cameras: bool,
) -> Gradients:  # fmt: skip
    """As `cpu.free_backward`."""
    made, cameras_made = room(inputs, wants), room(cameras, [want_cameras] * 2)
    if frame.work is None or not frame.raster.count:
        return _none_drawn(made + cameras_made)
    raster = Raster.from_buffer_copy(frame.raster)
    raster.free, raster.g_free = Free(*map(pointer, inputs)), Free(*map(pointer, made))
    _draw_back(frame, inputs[0], cameras, out, grads, cameras_made, raster)
    return made + cameras_made


_surfaces: WeakKeyDictionary[Any, dict[torch.device, tuple[Surface, list[Tensor]]]] = WeakKeyDictionary()


def _surface(binding: BindingLike, device: torch.device) -> Surface:
    """The binding's arrays on the device; it is immutable, so they are carried there once."""
    known = _surfaces.setdefault(binding, {})
    if device not in known:
        names = ("start", "index", "t", "s")
        arrays = [getattr(o, k) for o in (binding.operator, binding.transposed) for k in names]
        arrays += [binding.corner, binding.barycentric, binding.extent, binding.use_start, binding.use]
        tensors = [torch.from_numpy(a).to(device) for a in arrays]
        at = [t.data_ptr() for t in tensors]
        known[device] = Surface(Sparse(*at[:4]), Sparse(*at[4:8]), *at[8:]), tensors
    return known[device][0]


def bound_forward(
    frame: Frame, binding: BindingLike, inputs: Sequence[Tensor | None], cameras: Sequence[Tensor],
    background: Tensor | None, kind: int, width: int, height: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """As `cpu.bound_forward`."""
    vertices = inputs[0]
    assert vertices is not None
    frame.raster.batch, frame.raster.count = len(vertices), len(binding.corner)
    frame.raster.vertices = vertices.shape[1]
    frame.raster.bound, frame.raster.surface = Bound(*map(pointer, inputs)), _surface(binding, vertices.device)
    return _draw(frame, vertices, cameras, background, kind, width, height)


def bound_backward(
    frame: Frame, binding: BindingLike, inputs: Sequence[Tensor | None], cameras: Sequence[Tensor],
    out: Sequence[Tensor], grads: Sequence[Tensor | None], wants: Sequence[bool], want_cameras: bool,
) -> Gradients:  # fmt: skip
    """As `cpu.bound_backward`."""
    made, cameras_made = room(inputs, wants), room(cameras, [want_cameras] * 2)
    if frame.work is None or not frame.raster.count:
        return _none_drawn(made + cameras_made)
    vertices = inputs[0]
    assert vertices is not None
    raster = Raster.from_buffer_copy(frame.raster)
    raster.surface = _surface(binding, vertices.device)
    raster.bound, raster.g_bound = Bound(*map(pointer, inputs)), Bound(*map(pointer, made))
    _draw_back(frame, vertices, cameras, out, grads, cameras_made, raster)
    return made + cameras_made


def _bases(bases: Tensor, weights: Tensor, batch: int) -> Bases:
    work = Bases(batch=batch, rows=9 * len(bases), columns=bases.shape[2])
    _set(work, bases=bases, weights=weights)
    return work


def combine(bases: Tensor, weights: Tensor) -> Tensor:
    """As `cpu.combine`."""
    delta = bases.new_empty(len(weights), len(bases), 9)
    if not bases.shape[2]:
        return delta.zero_()
    if delta.numel():
        work = _bases(bases, weights, len(weights))
        _set(work, delta=delta)
        cuda_driver.check(library().av_cuda_combine(*place(bases.device), ctypes.byref(work)))
    return delta


def combine_backward(bases: Tensor, weights: Tensor, g_delta: Tensor, want_bases: bool) -> tuple[Tensor | None, Tensor]:
    """As `cpu.combine_backward`."""
    g_weights = torch.empty_like(weights)
    g_bases = torch.empty_like(bases) if want_bases else None
    if not (bases.numel() and len(weights)):
        return None if g_bases is None else g_bases.zero_(), g_weights.zero_()
    work = _bases(bases, weights, len(weights))
    partial = bases.new_empty(library().av_cuda_combine_partial(ctypes.byref(work)))
    _set(work, g_delta=g_delta, g_weights=g_weights, g_bases=g_bases, partial=partial)
    cuda_driver.check(library().av_cuda_combine_backward(*place(bases.device), ctypes.byref(work)))
    return g_bases, g_weights


def loss(
    image: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float, want_grad: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """As `cpu.loss`."""
    batch, _, height, width = image.shape
    grad = torch.empty_like(image) if want_grad else None
    if not batch:
        return image.new_zeros(()), image.new_zeros(()), grad
    work = Loss(batch=batch, height=height, width=width, ssim_weight=ssim_weight)
    _set(work, image=image, target=target, weight=weight, grad=grad)
    floats, doubles = cuda_driver.loss_sizes(work)
    maps = image.new_empty(floats) if want_grad else None
    partial, out = (image.new_empty(n, dtype=torch.float64) for n in (doubles, 4))
    _set(work, maps=maps, partial=partial, out=out)
    cuda_driver.check(library().av_cuda_loss(*place(image.device), ctypes.byref(work)))
    value = out.to(torch.float32)
    return value[2], value[1], grad


def _adam(step: int, corrections: Tensor, beta1: float, beta2: float, eps: float) -> Adam:
    later = _later.get()
    work = Adam(step=step, beta1=beta1, beta2=beta2, eps=eps)
    _set(work, corrections=corrections, skip=later.status if later else None)
    return work


def _put(work: Adam, param: Tensor, grad: Tensor, m: Tensor, v: Tensor, lr: Tensor) -> None:
    pointers = map(pointer, (param, grad, m, v, lr))
    columns = max(1, lr.numel())
    work.tensor[work.tensors] = AdamTensor(*pointers, param.numel() // columns, columns)
    work.tensors += 1


def adam_(
    param: Tensor, grad: Tensor, m: Tensor, v: Tensor, lr: Tensor, step: int, beta1: float, beta2: float, eps: float
) -> None:
    """As `cpu.adam_`."""
    corrections = lr.new_empty(2)
    work = _adam(step, corrections, beta1, beta2, eps)
    _put(work, param, grad, m, v, lr)
    cuda_driver.check(library().av_cuda_adam(*place(param.device), ctypes.byref(work)))


def _outer(
    bases: Tensor, m: Tensor, v: Tensor, g_delta: Tensor, weights: Tensor, lr: Tensor, corrections: Tensor,
    betas: tuple[float, float], eps: float, g_weights: Tensor | None = None,
) -> None:  # fmt: skip
    """Adam on the bases for the gradient sum over b of g_delta[b] * weights[b]; that of the weights on the way."""
    later = _later.get()
    work = _bases(bases, weights, len(weights))
    work.beta1, work.beta2, work.eps = *betas, eps
    if g_weights is not None:
        partial = bases.new_empty(library().av_cuda_combine_partial(ctypes.byref(work)))
        _set(work, g_weights=g_weights, partial=partial)
    _set(work, g_delta=g_delta, m=m, v=v, lr=lr, corrections=corrections, skip=later.status if later else None)
    cuda_driver.check(library().av_cuda_combine_backward(*place(bases.device), ctypes.byref(work)))


def adam_outer_(
    bases: Tensor, m: Tensor, v: Tensor, grad_delta: Tensor, weights: Tensor, lr: Tensor, step: int,
    beta1: float, beta2: float, eps: float,
) -> None:  # fmt: skip
    """As `cpu.adam_outer_`."""
    corrections = lr.new_empty(2)
    work = _adam(step, corrections, beta1, beta2, eps)
    cuda_driver.check(library().av_cuda_adam(*place(bases.device), ctypes.byref(work)))
    if bases.numel():
        _outer(bases, m, v, grad_delta, weights[None], lr, corrections, (beta1, beta2), eps)


class CountingAdam:
    """Adam for captured steps: it counts them on the device, and one launch moves every tensor.

    A step that overflowed counts for nothing, and moves nothing.

    Args:
        device: of the tensors.
    """

    def __init__(self, device: torch.device, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        self.betas, self.eps = (beta1, beta2), eps
        self.counter = torch.zeros(1, dtype=torch.int32, device=device)
        self.corrections = torch.zeros(2, device=device)

    def step(self, tensors: Sequence[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]) -> None:
        """Count one step and move up to 16 tensors: (param, grad, m, v, lr) each, lr [C] and the others [..., C]."""
        work = _adam(1, self.corrections, *self.betas, self.eps)
        _set(work, counter=self.counter)
        if len(tensors) > cuda_driver.MAX_ADAM_TENSORS:
            raise InputError(f"{len(tensors)} tensors at once; {cuda_driver.MAX_ADAM_TENSORS} are possible")
        for tensor in tensors:
            if not all(t.is_contiguous() for t in tensor):
                raise InputError("Adam's tensors must be contiguous")
            _put(work, *tensor)
        cuda_driver.check(library().av_cuda_adam(*place(self.counter.device), ctypes.byref(work)))

    def bases(self, bases: Tensor, m: Tensor, v: Tensor, g_delta: Tensor, weights: Tensor, lr: Tensor) -> Tensor:
        """Move the bases in the step that `step` has counted; returns the gradient of the weights [B, K].

        Args:
            bases, m, v: [N, 9, K]; g_delta: [B, N, 9]; weights: [B, K]; lr: [9].
        """
        tensors = (bases, m, v, g_delta, weights, lr)
        if not all(t.is_contiguous() for t in tensors):
            raise InputError("Adam's tensors must be contiguous")
        g_weights = torch.empty_like(weights)
        _outer(*tensors, self.corrections, self.betas, self.eps, g_weights)
        return g_weights
