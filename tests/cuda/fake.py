"""The whole CUDA backend on the CPU: launcher and Python as they are, the driver a fake that runs emulated kernels."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest
import torch

from avatars.raster import cuda, cuda_driver, dispatch

from .emulator import run as emulator

HERE = Path(__file__).resolve().parent


def build(folder: Path) -> ctypes.CDLL:
    """Compile the driver and make it the one that `dlopen("libcuda.so.1")` finds in this process."""
    target = folder / "libcuda.so.1"
    sources = [HERE / "fake_driver.cpp", HERE / "emulator/fibres.cpp", HERE / "emulator/kernels.cpp"]
    folders = [f"-I{emulator.CUDA}", f"-I{emulator.CUDA / 'gpu'}", f"-I{HERE / 'emulator'}"]
    command = [emulator.compiler() or "c++", *emulator.FLAGS, *folders, *map(str, sources)]
    subprocess.run([*command, "-Wl,-soname,libcuda.so.1", "-o", str(target)], check=True)
    return ctypes.CDLL(str(target), mode=os.RTLD_GLOBAL | os.RTLD_NOW)


class Fake:
    """The fake driver's levers."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.module = cuda_driver.load(b"machine code", 0)

    def calls(self) -> list[str]:
        """Kernels launched and contexts pushed since the last time; fails if a kernel did wrong."""
        noted, wrong = (ctypes.create_string_buffer(1 << 16) for _ in range(2))
        self.library.fake_take(noted, len(noted), wrong, len(wrong))
        assert not wrong.value, wrong.value.decode()
        return noted.value.decode().split()

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Send CPU tensors to the CUDA backend."""
        monkeypatch.setattr(dispatch, "backend_of", lambda device: cuda)
        monkeypatch.setattr(cuda, "place", lambda device: (self.module, 0, 0))
        monkeypatch.setattr(cuda, "_rooms", {})


def available() -> str:
    """Why the fake cannot be used, or nothing."""
    if torch.cuda.is_available():
        return "a real driver is here, and tests marked gpu use it"
    if not emulator.compiler():
        return "needs a C++ compiler"
    if not cuda_driver.LAUNCHER.exists():
        return "the launcher is not built (pip install .)"
    return ""
