"""Clothes hang in sheets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.training import drape
from avatars.training.drape import _AROUND, _EVERY, Drape
from avatars.training.loop import Trainer
from avatars.training.presets import Preset
from avatars.training.speckle import worn

DEEP = 0.03
"""m"""


@pytest.fixture
def trainer(scene: tuple[Head, Clip, Track], monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """Of somebody whose hair counts as cloth: this one wears none that stands off."""
    monkeypatch.setattr(drape, "worn", lambda model: np.ones(len(model.binding), bool))
    head, clip, track = scene
    preset = Preset(size=96, splats=2000, fill=0.3, bases=4, iterations=10)
    return Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)


def _away(trainer: Trainer, mean: torch.Tensor) -> torch.Tensor:
    """[n] m by which cloth is farther from the camera than it was seeded."""
    cloth = trainer.optimizer.drape
    return ((mean[cloth.splats] - cloth._first) * cloth._sight).sum(1) / cloth._sight.square().sum(1)


def _settled(cloth: Drape, mean: torch.Tensor, steps: int) -> torch.Tensor:
    out = mean.clone()
    for step in range(1, steps + 1):
        cloth.step(out, torch.zeros(len(mean), dtype=torch.bool), 1.0, step)
    return out


def test_what_leaves_its_sheet_comes_back_along_the_line_of_sight(trainer: Trainer) -> None:
    cloth = trainer.optimizer.drape
    start = _settled(cloth, trainer.model.parameters["mean"].detach(), 200 * _EVERY)  # seeds lie in steps of triangles
    assert len(cloth.splats) == 600
    lone = cloth.splats[:: 4 * _AROUND]
    rows = torch.arange(0, len(cloth.splats), 4 * _AROUND)
    torn = start.clone()
    torn[lone] += DEEP * cloth._sight[rows]
    out = _settled(cloth, torn, 100 * _EVERY)
    left = _away(trainer, out) - _away(trainer, start)
    assert float(left[rows].abs().max()) < 0.1 * DEEP
    others = np.setdiff1d(np.arange(len(left)), rows.numpy())
    assert float((left[others].abs() < 0.1 * DEEP).float().mean()) > 0.95  # a few at edges tip over to another median
    moved = out - torn
    sight = torch.nn.functional.normalize(cloth._sight, dim=1)
    along = (moved[cloth.splats] * sight).sum(1, keepdim=True) * sight
    torch.testing.assert_close(moved[cloth.splats], along, atol=1e-4, rtol=0)
    elsewhere = torch.ones(len(out), dtype=torch.bool)
    elsewhere[cloth.splats] = False
    assert not moved[elsewhere].any()


def test_what_is_frozen_stays(trainer: Trainer) -> None:
    cloth = trainer.optimizer.drape
    mean = trainer.model.parameters["mean"].detach().clone()
    mean[cloth.splats] += DEEP * torch.linspace(-1, 1, len(cloth.splats))[:, None] * cloth._sight
    torn, frozen = mean.clone(), torch.zeros(len(mean), dtype=torch.bool)
    frozen[cloth.splats[::3]] = True
    cloth.step(mean, frozen, 1.0, _EVERY)
    assert torch.equal(mean[frozen], torn[frozen])
    moved = (mean != torn).any(1)
    assert int(moved.sum()) > 0.5 * int((~frozen[cloth.splats]).sum())


def test_a_tie_is_not_drawn_into_the_shirt(trainer: Trainer) -> None:
    """Where every other splat is of another colour and 3 cm deeper, both stay where they are."""
    model = trainer.model
    beside = trainer.optimizer.depths.splats
    with torch.no_grad():
        model.parameters["color"][beside] = 0.9
        model.parameters["color"][beside[::2]] = 0.1
    cloth = trainer.optimizer.drape = Drape(model, trainer.optimizer.depths)
    start = _settled(cloth, model.parameters["mean"].detach(), 200 * _EVERY)
    apart = start.clone()
    apart[cloth.splats[::2]] += DEEP * cloth._sight[::2]
    moved = _away(trainer, _settled(cloth, apart, 100 * _EVERY)) - _away(trainer, apart)
    assert float(moved.abs().max()) < 0.1 * DEEP


def test_hair_and_skin_are_no_cloth(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    preset = Preset(size=96, splats=2000, fill=0.3, bases=4, iterations=10)
    trainer = Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)
    assert len(trainer.optimizer.depths.splats) > 100
    chosen = trainer.optimizer.drape.splats.numpy()
    assert not (~worn(trainer.model))[chosen].any()


def test_a_film_without_cloth(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    preset = Preset(size=96, splats=800, fill=0.0, bases=4, iterations=10)
    trainer = Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)
    assert not len(trainer.optimizer.drape.splats)
    assert np.isfinite(trainer.step())
