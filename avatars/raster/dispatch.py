"""Which module does the work for tensors on a device."""

from __future__ import annotations

from types import ModuleType

import torch

from . import cpu, cuda


def backend_of(device: torch.device) -> ModuleType:
    """cpu.py or cuda.py; they have the same functions."""
    return cuda if device.type == "cuda" else cpu
