"""What `--device` means, and what is said where CUDA cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from avatars.errors import BackendError
from avatars.raster import cuda, cuda_driver, device


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with a CUDA torch, a driver, a device and kernels for it."""
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(cuda_driver, "driver_version", lambda: "12.8")
    monkeypatch.setattr(cuda, "module_of", lambda index: 1)
    return monkeypatch


def fail(what: str, fix: str = ""):
    def raises(*_: object) -> None:
        raise BackendError(what, fix=fix)

    return raises


def test_auto_takes_the_device_that_works(machine: pytest.MonkeyPatch):
    assert device.obstacle() is None
    assert device.choose("auto") == device.choose("cuda") == torch.device("cuda", 0)
    assert device.choose("cpu") == torch.device("cpu")


def test_a_torch_without_cuda_is_named(machine: pytest.MonkeyPatch):
    machine.setattr(torch.version, "cuda", None)
    assert device.choose("auto") == torch.device("cpu")
    with pytest.raises(BackendError, match=r"built without CUDA.*CUDA build of torch.*--device cpu"):
        device.choose("cuda")


def test_no_driver_and_no_device(machine: pytest.MonkeyPatch):
    machine.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose("auto") == torch.device("cpu")
    with pytest.raises(BackendError, match="torch sees no CUDA device"):
        device.choose("cuda")
    machine.setattr(cuda_driver, "LAUNCHER", Path(__file__))
    machine.setattr(cuda_driver, "driver_version", fail("NVIDIA's driver cannot be used", "Install the driver"))
    assert device.choose("auto") == torch.device("cpu")
    with pytest.raises(BackendError, match=r"driver cannot be used.*Install the driver"):
        device.choose("cuda")


def test_a_device_that_is_there_and_fails_is_never_passed_over(machine: pytest.MonkeyPatch):
    machine.setattr(cuda, "module_of", fail("The package has no machine code for sm_61", "Update torch"))
    for name in ("auto", "cuda"):
        with pytest.raises(BackendError, match=r"no machine code for sm_61.*Update torch.*--device cpu"):
            device.choose(name)


def test_an_unknown_name_is_refused():
    with pytest.raises(BackendError, match="auto, cpu, cuda"):
        device.choose("metal")
