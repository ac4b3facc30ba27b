from __future__ import annotations

import pytest
import torch

from avatars.raster import native


@pytest.fixture(params=["baseline", "v3", "v4"])
def variant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with each library that this processor can run."""
    if request.param not in native.variants():
        pytest.skip(f"this processor cannot run {request.param}")
    monkeypatch.setattr(native, "variant", lambda: request.param)
    return request.param


@pytest.fixture
def restore_threads():
    """Puts the number of threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
