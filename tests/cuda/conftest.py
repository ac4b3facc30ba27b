"""The emulated kernels, compiled once a session."""

from __future__ import annotations

import ctypes

import pytest

from . import fake
from .emulator.run import Emulator, build, compiler


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The GPU kernels compiled for the CPU."""
    if not compiler():
        pytest.skip("needs a C++ compiler")
    return build(tmp_path_factory.mktemp("emulator"))


@pytest.fixture
def device(emulated: ctypes.CDLL) -> Emulator:
    """Runs kernels in ascending order of threads."""
    return Emulator(emulated)


@pytest.fixture(scope="session")
def fake_driver(tmp_path_factory: pytest.TempPathFactory) -> fake.Fake:
    """A driver that runs the emulated kernels."""
    reason = fake.available()
    if reason:
        pytest.skip(reason)
    return fake.Fake(fake.build(tmp_path_factory.mktemp("driver")))


@pytest.fixture
def on_cuda(fake_driver: fake.Fake, monkeypatch: pytest.MonkeyPatch) -> fake.Fake:
    """From here on the CUDA backend serves the CPU's tensors."""
    fake_driver.use(monkeypatch)
    fake_driver.calls()
    return fake_driver
