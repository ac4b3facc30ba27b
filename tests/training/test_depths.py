"""Hair and clothes beside the mesh find their depth together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatars import geometry
from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.splats.binding import frames
from avatars.training import bounds
from avatars.training.depths import Depths
from avatars.training.loop import Trainer
from avatars.training.presets import Preset


@pytest.fixture
def trainer(scene: tuple[Head, Clip, Track]) -> Trainer:
    head, clip, track = scene
    preset = Preset(size=96, splats=2000, fill=0.3, bases=4, iterations=10)
    return Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)


def _depths(trainer: Trainer) -> Depths:
    """As a training has them whose film tells all depths."""
    seen = trainer.tracked[torch.from_numpy(trainer.rows)]
    made = Depths(trainer.model, trainer.poses.row(trainer.middle), trainer.camera, seen)
    made._trust.fill_(1.0)
    return made


def _places(trainer: Trainer, mean: torch.Tensor) -> np.ndarray:
    """[N, 3] (x px, y px, depth m) in the frame that splats are seeded from."""
    pose, binding, camera = trainer.poses.row(trainer.middle), trainer.model.binding, trainer.camera
    origin, t, s = (x[0] for x in binding.surface(trainer.model.vertices(pose).detach()))
    frame, stretch = frames(t, s)
    size = torch.from_numpy(binding.extent)[:, None] * stretch[:, None]
    world = (origin + torch.einsum("nij,nj->ni", frame, mean) * size).numpy()
    seen = world @ camera.camera_from_world[:3, :3].T + camera.camera_from_world[:3, 3]
    at = seen[:, :2] / seen[:, 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    return np.concatenate([at, seen[:, 2:]], 1)


def test_depth_moves_along_the_line_of_sight(trainer: Trainer) -> None:
    depths = _depths(trainer)
    mean = trainer.model.parameters["mean"].detach().clone()
    beside = bounds.beside(trainer.model).numpy()
    assert 100 < beside.sum() < 700
    before = _places(trainer, mean)
    frozen = torch.zeros(len(mean), dtype=torch.bool)
    frozen[::7] = True
    gradient = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    for step in range(1, 61):
        depths.step(mean, gradient, frozen, 1.0, step)
    moved = _places(trainer, mean) - before
    assert np.abs(moved[~beside | frozen.numpy()]).max() == 0
    assert np.abs(moved[beside, :2]).max() < 1e-2  # px; float32 gives 1e-3
    assert np.abs(moved[beside, 2]).max() > 0.01
    assert np.abs(moved[:, 2]).max() < 0.2  # three grids, none over 6 cm


def test_a_head_that_does_not_turn_tells_no_depth(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    preset = Preset(size=96, splats=2000, fill=0.3, bases=4, iterations=10)

    def trust(turn: float) -> float:
        """Greatest trust in a film in which the head sways by so many radians to either side."""
        sway = np.zeros_like(track.rotation)
        sway[:, 1] = turn * np.sin(np.arange(len(sway)) * 0.7)
        turned = geometry.matrix_from_rotvec(torch.from_numpy(sway)) @ geometry.matrix_from_rotvec(
            torch.from_numpy(np.tile(track.rotation[:1], (len(sway), 1)))
        )
        rotation = geometry.rotvec_from_matrix(turned).numpy()
        still = replace(
            track, rotation=rotation, translation=np.tile(track.translation[:1], (len(sway), 1)),
            torso_rotation=np.tile(track.torso_rotation[:1], (len(sway), 1)),
            torso_translation=np.tile(track.torso_translation[:1], (len(sway), 1)),
        )  # fmt: skip
        return float(
            Trainer(head.shape(track.identity), clip, still, np.arange(19), preset).optimizer.depths._trust.max()
        )

    assert trust(0.0) == 0.0
    assert trust(np.radians(2.0)) < 0.3
    assert trust(np.radians(15.0)) == pytest.approx(1.0)


def test_neighbours_follow_those_that_know(trainer: Trainer) -> None:
    """Half of the splats are pulled 4 cm back, the others by nothing: all of them go."""
    depths = _depths(trainer)
    mean = trainer.model.parameters["mean"].detach().clone()
    index = bounds.beside(trainer.model).nonzero()[:, 0].numpy()
    told = np.random.default_rng(0).permutation(index)[: len(index) // 2]
    others = np.setdiff1d(index, told)
    begin = _places(trainer, mean)[:, 2]
    sight = depths.sight[torch.from_numpy(np.searchsorted(index, told))]
    for step in range(1, 401):
        missing = 0.04 - (_places(trainer, mean)[told, 2] - begin[told])
        gradient = torch.zeros_like(mean)
        gradient[told] = -sight * torch.from_numpy(missing.astype(np.float32))[:, None]
        depths.step(mean, gradient, torch.zeros(len(mean), dtype=torch.bool), 1 - step / 401, step)
    moved = _places(trainer, mean)[:, 2] - begin
    assert np.median(moved[told]) == pytest.approx(0.04, abs=0.005)
    assert np.median(moved[others]) == pytest.approx(0.04, abs=0.008)


def test_nothing_beside_the_mesh_is_nothing_to_move(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    preset = Preset(size=96, splats=800, fill=0.0, bases=4, iterations=10)
    trainer = Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)
    assert not len(trainer.optimizer.depths.splats)
    assert np.isfinite(trainer.step())
