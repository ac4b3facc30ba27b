from __future__ import annotations

import pytest
import torch

from avatars.raster import native


@pytest.fixture(params=["baseline", "v3"])
def variant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with each library that this processor can run."""
    if request.param == "v3" and native.variant() != "v3":
        pytest.skip("this processor has no AVX2")
    monkeypatch.setattr(native, "variant", lambda: request.param)
    return request.param


@pytest.fixture
def restore_threads():
    """Puts the number of threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
