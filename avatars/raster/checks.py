"""What the operations refuse, with one clear error, before any kernel starts."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import BackendError, InputError

BACKENDS = ("auto", "cpu", "reference", "cuda", "gsplat")


def float32_cpu(name: str, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`value`, contiguous, if it is a float32 CPU tensor of this shape.

    Raises:
        InputError: another type, dtype or shape.
        BackendError: another device.
    """
    if not isinstance(value, Tensor):
        raise InputError(f"{name} must be a tensor, not {type(value).__name__}")
    if value.shape != shape:
        raise InputError(f"{name} must have shape {list(shape)}, not {list(value.shape)}")
    if value.dtype != torch.float32:
        raise InputError(f"{name} must be float32, not {str(value.dtype).removeprefix('torch.')}")
    if value.device.type != "cpu":
        message = f"{name} is on {value.device}, and this version has no kernels for that device"
        raise BackendError(message, fix="Move every tensor to the CPU")
    return value if value.is_contiguous() else value.contiguous()


def picture(width: int, height: int) -> None:
    """Refuse an empty or absurd picture."""
    if not (0 < width <= 1 << 15 and 0 < height <= 1 << 15):
        raise InputError(f"A picture of {width} x {height} pixels cannot be drawn")


def background(value: Tensor | None, batch: int, width: int, height: int) -> tuple[Tensor | None, int]:
    """(tensor, kind) as the library takes it: 0 none, 1 one colour, 2 a picture per view."""
    if value is None:
        return None, 0
    if isinstance(value, Tensor) and value.ndim == 1:
        return float32_cpu("background", value, (3,)), 1
    return float32_cpu("background", value, (batch, 3, height, width)), 2


def backend(name: str) -> str:
    """The backend that `name` means.

    Raises:
        InputError: no such name.
        BackendError: it is not there.
    """
    if name not in BACKENDS:
        raise InputError(f"Unknown backend {name!r}", fix=f"Choose one of {', '.join(BACKENDS)}")
    if name in ("cuda", "gsplat"):
        raise BackendError(f"The {name!r} backend is not part of this version", fix="Use backend='cpu'")
    return "cpu" if name == "auto" else name
