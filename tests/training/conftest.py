from __future__ import annotations

import pytest

from avatars.data import Clip, Track
from avatars.heads.head import Head
from tests.training.scene import make_scene


@pytest.fixture(scope="session")
def scene() -> tuple[Head, Clip, Track]:
    return make_scene()
