"""How the bases of a model learn and forget."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.training.bounds import part
from avatars.training.loop import Trainer
from avatars.training.presets import Preset


def test_what_nothing_asks_for_fades(scene: tuple[Head, Clip, Track]) -> None:
    """Of two equal entries one is asked for in every step, the other never; at full rate half is gone in 1400 steps."""
    head, clip, track = scene
    preset = Preset(size=96, splats=300, bases=2, iterations=10)
    trainer = Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)
    optimizer, bases = trainer.optimizer, trainer.model.bases
    bases[:, :3, 0] = 0.5
    worn = torch.from_numpy(trainer.head.bust_faces()[trainer.seeded.triangle])
    free, cloth = int((optimizer.steady[:, 0] * ~worn).nonzero()[0]), int(worn.nonzero()[0])
    gradient, weights = torch.zeros(300, 9), torch.tensor([1.0, 0.0])
    gradient[free, 0] = -1.0
    for _ in range(1400):
        optimizer.bases(gradient, weights, 1.0)
    assert float(bases[free, 0, 0]) > 1.0
    np.testing.assert_allclose(bases[free, 1:3, 0], 0.5 * np.exp(-1400 * 5e-4), rtol=0.02)
    assert float(bases[cloth, 1, 0]) == 0.5, "clothes keep what they learned"
    before = bases.clone()
    for _ in range(32):
        optimizer.bases(torch.zeros(300, 9), torch.zeros(2), 0.0)
    assert torch.equal(before, bases), "nothing fades when nothing learns any more"


def test_lids_move_as_the_mesh_moves_them(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    preset = Preset(size=96, splats=1500, bases=4, iterations=12, bases_from=0.0)
    trainer = Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)
    for _ in range(8):
        trainer.step()
    lids = torch.from_numpy(part(trainer.model, "eyelids"))
    assert int(lids.sum()) > 20
    assert not trainer.model.bases[lids, :6].any()
    assert trainer.model.bases[lids, 6:].any(), "their colour may change"


@pytest.mark.parametrize("bases", [0, 3])
def test_a_model_with_any_number_of_bases_trains(scene: tuple[Head, Clip, Track], bases: int) -> None:
    head, clip, track = scene
    preset = Preset(size=64, splats=300, bases=bases, iterations=8, bases_from=0.0)
    trainer = Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)
    for _ in range(4):
        assert np.isfinite(trainer.step())
    assert trainer.model.bases.shape == (300, 9, bases)
    assert bool(trainer.model.bases.any()) == (bases > 0)
