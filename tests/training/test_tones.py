"""Colours that splats of lips may take."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.training.bounds import part, tones
from avatars.training.loop import Trainer
from avatars.training.presets import Preset

_SKIN = torch.tensor([0.6, 0.42, 0.33])


@pytest.fixture
def trainer(scene: tuple[Head, Clip, Track]) -> Trainer:
    head, clip, track = scene
    preset = Preset(size=96, splats=2500, bases=4, iterations=10)
    return Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)


def test_lips_do_not_become_teeth(trainer: Trainer) -> None:
    model = trainer.model
    color, lips = model.parameters["color"].detach(), torch.from_numpy(part(model, "lips"))
    pink = torch.tensor([0.6, 0.3, 0.3])
    color[:], color[lips] = _SKIN, pink
    assert int(lips.sum()) >= 24
    bounds = tones(model)
    white = torch.full((len(color), 3), 0.9)
    bounds.clamp(white)
    # A quarter more green and blue than the median lip of that red, and what a highlight adds.
    np.testing.assert_allclose(white[lips][:, 1:], 0.9 * 0.5 * 1.25 + 0.3, atol=1e-5)
    same = color.clone()
    bounds.clamp(same)
    np.testing.assert_allclose(same[lips], color[lips])
