"""What the operations refuse, with one clear error, before any kernel starts."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import BackendError, InputError

BACKENDS = ("auto", "cpu", "reference", "cuda", "gsplat")
DEVICES = ("cpu", "cuda")


def device_of(name: str, value: Tensor, dimensions: int, shape: str) -> torch.device:
    """The device that all tensors of a call must share: that of its first.

    Args:
        shape: in words, for the error.

    Raises:
        InputError: not a tensor, or another number of dimensions.
        BackendError: there are no kernels for the device.
    """
    if not isinstance(value, Tensor) or value.ndim != dimensions:
        raise InputError(f"{name} must be a tensor {shape}")
    if value.device.type not in DEVICES:
        message = f"{name} is on {value.device}, and there are no kernels for that device"
        raise BackendError(message, fix="Move every tensor to the CPU or to a CUDA device")
    return value.device


def float32(name: str, value: Tensor, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """`value`, contiguous, if it is a float32 tensor of this shape on this device.

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
    if value.device != device:
        message = f"{name} is on {value.device}, and the other tensors are on {device}"
        raise BackendError(message, fix=f"Move every tensor to {device}")
    return value if value.is_contiguous() else value.contiguous()


def picture(width: int, height: int) -> None:
    """Refuse an empty or absurd picture."""
    if not (0 < width <= 1 << 15 and 0 < height <= 1 << 15):
        raise InputError(f"A picture of {width} x {height} pixels cannot be drawn")


def background(
    value: Tensor | None, batch: int, width: int, height: int, device: torch.device
) -> tuple[Tensor | None, int]:
    """(tensor, kind) as the kernels take it: 0 none, 1 one colour, 2 a picture per view."""
    if value is None:
        return None, 0
    if isinstance(value, Tensor) and value.ndim == 1:
        return float32("background", value, (3,), device), 1
    return float32("background", value, (batch, 3, height, width), device), 2


def backend(name: str, device: torch.device | None = None) -> str:
    """The backend that `name` means for tensors on `device`.

    Raises:
        InputError: no such name.
        BackendError: it is not there, or is not the one for this device.
    """
    if name not in BACKENDS:
        raise InputError(f"Unknown backend {name!r}", fix=f"Choose one of {', '.join(BACKENDS)}")
    if name == "gsplat":
        raise BackendError("The 'gsplat' backend is not part of this version", fix="Use backend='auto'")
    if device is None or name == "reference":
        return name
    if name not in ("auto", device.type):
        raise BackendError(
            f"The {name!r} backend was asked for, and the tensors are on {device}", fix=f"Move them to {name}"
        )
    return device.type
