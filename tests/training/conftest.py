from __future__ import annotations

import numpy as np
import pytest

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.training.loop import Trainer
from avatars.training.presets import Preset
from tests.training.scene import make_scene


@pytest.fixture(scope="session")
def scene() -> tuple[Head, Clip, Track]:
    return make_scene()


@pytest.fixture
def trainer(scene: tuple[Head, Clip, Track]) -> Trainer:
    """At the start of a small training, on all but the last of the scene's frames."""
    head, clip, track = scene
    preset = Preset(size=96, splats=1500, bases=4, iterations=80)
    return Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)
