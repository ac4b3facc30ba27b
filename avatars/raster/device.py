"""Where to draw and train: what `--device` means, and why CUDA cannot be used where it cannot."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..errors import BackendError
from . import cuda, cuda_driver, cuda_image

CHOICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Obstacle:
    """Why CUDA is not used on this machine, and what to do about it; both sentences without the full stop."""

    why: str
    fix: str
    expected: bool
    """Nobody would expect it to work: there is no device, or torch was built without CUDA."""


def obstacle() -> Obstacle | None:
    """What keeps the first CUDA device from drawing, or None; compiles the kernels if the package lacks its code."""
    if torch.version.cuda is None:
        why = f"torch {torch.__version__} is built without CUDA"
        return Obstacle(why, "For an NVIDIA GPU install a CUDA build of torch and run `avatars doctor` again", True)
    if not torch.cuda.is_available():
        try:
            if cuda_driver.LAUNCHER.exists():
                cuda_driver.driver_version()
        except BackendError as error:
            return Obstacle(error.what, error.fix, True)
        return Obstacle("torch sees no CUDA device", "Check `nvidia-smi`, and CUDA_VISIBLE_DEVICES", True)
    try:
        cuda.module_of(torch.cuda.current_device())
    except BackendError as error:
        return Obstacle(error.what, error.fix, False)
    return None


def found() -> str:
    """The first CUDA device and its machine code, in words; only where there is no obstacle."""
    index = torch.cuda.current_device()
    origin = cuda_image.image(cuda.architecture(index)).origin
    return f"{torch.cuda.get_device_name(index)}, {origin}; the driver speaks CUDA {cuda_driver.driver_version()}"


def choose(name: str) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` means here.

    `auto` is CUDA where there is a device. A device that is there and cannot be used is an error, not a reason to go on
    quietly at a tenth of the speed.

    Raises:
        BackendError: no such choice, or CUDA was asked for (or is there) and cannot be used.
    """
    if name not in CHOICES:
        raise BackendError(f"Unknown device {name!r}", fix=f"Choose one of {', '.join(CHOICES)}")
    if name == "cpu":
        return torch.device("cpu")
    problem = obstacle()
    if problem is None:
        return torch.device("cuda", torch.cuda.current_device())
    if name == "auto" and problem.expected:
        return torch.device("cpu")
    raise BackendError(f"CUDA cannot be used: {problem.why}", fix=f"{problem.fix}. Or give --device cpu")
