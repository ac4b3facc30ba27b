"""From sides that no frame shows, skin stays within the outline of the head."""

from __future__ import annotations

import numpy as np
import torch

from avatars.training import bounds
from avatars.training.loop import Trainer
from avatars.training.sides import random_side, reduced, share
from avatars.training.speckle import worn

MOVED = ("mean", "quaternion", "log_scale")


def _skin(trainer: Trainer) -> torch.Tensor:
    model = trainer.model
    chosen = bounds.plain(model) & ~bounds.part(model, "ears") | bounds.part(model, "lips", "eyelids")
    return torch.from_numpy(chosen & ~worn(model)) & ~bounds.beside(model)


def _loss(trainer: Trainer, seed: int = 5) -> float:
    """Of one side; leaves no gradients."""
    found = trainer.outline.hold(trainer.poses.row(3), None, np.random.default_rng(seed))
    for value in trainer.model.parameters.values():
        value.grad = None
    return found


def _raised(trainer: Trainer) -> torch.Tensor:
    """Every splat of skin 3 mm above it; those."""
    skin = _skin(trainer)
    with torch.no_grad():
        extent = torch.from_numpy(trainer.model.binding.extent)
        trainer.model.parameters["mean"][skin, 2] = 0.003 / extent[skin]
    return skin


def test_only_places_turns_and_sizes_of_skin_are_asked(trainer: Trainer) -> None:
    skin = _raised(trainer)
    trainer.outline.hold(trainer.poses.row(3), torch.zeros(1, 1500, 9), np.random.default_rng(5))
    assert 100 < int(skin.sum()) < 1400
    for name, value in trainer.model.parameters.items():
        if name not in MOVED:
            assert value.grad is None, name
            continue
        assert value.grad is not None, name
        assert value.grad[skin].any(), name
        assert not value.grad[~skin].any(), name
    assert trainer.model.head.template.grad is None


def test_what_the_picture_taught_is_kept(trainer: Trainer) -> None:
    _raised(trainer)
    pose = trainer.poses.row(3)
    trainer.outline.hold(pose, None, np.random.default_rng(5))
    parameters = trainer.model.parameters
    alone = {name: parameters[name].grad.clone() for name in MOVED}  # type: ignore[union-attr]
    for name in MOVED:
        parameters[name].grad = torch.ones_like(parameters[name])
    trainer.outline.hold(pose, None, np.random.default_rng(5))
    for name in MOVED:
        torch.testing.assert_close(parameters[name].grad, 1 + alone[name])


def test_the_mesh_covers_what_is_inside_of_it(trainer: Trainer) -> None:
    """Pixels well inside are covered, those well outside are not, and the outline's pixels in between."""
    pose = trainer.poses.row(3)
    with torch.no_grad():
        posed = trainer.model.vertices(pose)[0].numpy()
    camera = random_side(reduced(trainer.camera), pose, 0.8, np.random.default_rng(1))
    covered, solid = trainer.outline.coverage(posed, camera)
    assert covered.shape == (camera.height, camera.width)
    view = camera.camera_from_world
    at = (posed @ view[:3, :3].T + view[:3, 3]).T
    column, line = at[0] / at[2] * camera.fx + camera.cx, at[1] / at[2] * camera.fy + camera.cy
    shown = (column > 3) & (column < camera.width - 3) & (line > 3) & (line < camera.height - 3)
    middle = covered[line[shown].astype(int), column[shown].astype(int)]
    assert shown.sum() > 500
    assert np.median(middle) > 0.999
    assert middle.min() > 0.02  # vertices of the outline itself
    assert covered[line.clip(0, camera.height - 1).astype(int).min() // 2, 0] == 0
    soft = (covered > 0.01) & (covered < 0.99)
    assert 0.01 < soft.mean() < 0.2
    assert set(np.unique(solid)) == {0.0, 1.0}
    assert covered[solid > 0].min() > 0.97
    of = trainer.model.head.head.regions
    nose = np.flatnonzero(of["nose"] & shown)
    assert solid[line[nose].astype(int), column[nose].astype(int)].mean() > 0.8
    assert (solid[covered > 0.99] == 0).mean() > 0.1  # scalp, neck and bust


def test_skin_above_the_mesh_shows_beside_it(trainer: Trainer) -> None:
    before = [_loss(trainer, seed) for seed in range(4)]
    _raised(trainer)
    after = [_loss(trainer, seed) for seed in range(4)]
    assert all(b > 1.5 * a for a, b in zip(before, after, strict=True))


def test_steps_along_it_bring_skin_back(trainer: Trainer) -> None:
    """From sides that were not among those it was shown, too."""
    _raised(trainer)
    before = np.mean([_loss(trainer, seed) for seed in range(100, 108)])
    moved = [trainer.model.parameters[name] for name in MOVED]
    adam = torch.optim.Adam(moved, lr=0.02)
    for step in range(80):
        adam.zero_grad()
        trainer.outline.hold(trainer.poses.row(3), None, np.random.default_rng(step))
        adam.step()
    after = np.mean([_loss(trainer, seed) for seed in range(100, 108)])
    assert after < 0.4 * before


def test_crumbs_grow_together(trainer: Trainer) -> None:
    """Of splats a third as large a face is seen through; holding it closes it, from other sides too."""
    model = trainer.model
    skin = _skin(trainer)
    with torch.no_grad():
        model.parameters["logit_opacity"][:] = torch.where(skin, 4.0, -16.0)  # nothing behind it
        model.parameters["log_scale"][skin] -= np.log(3.0)

    def seen_through() -> float:
        """Of a face's pixels in a mean side, how many are hardly there."""
        found = []
        for seed in range(100, 106):
            camera = random_side(reduced(trainer.camera), trainer.poses.row(3), 0.8, np.random.default_rng(seed))
            with torch.no_grad():
                vertices = model.vertices(trainer.poses.row(3))
                solid = trainer.outline.coverage(vertices[0].numpy(), camera)[1] > 0
                alpha = share(model, vertices, skin, camera, ())[1].numpy()
            found.append((alpha[solid] < 0.5).mean())
        return float(np.mean(found))

    before = seen_through()
    adam = torch.optim.Adam([model.parameters[name] for name in MOVED], lr=0.02)
    for step in range(60):
        adam.zero_grad()
        trainer.outline.hold(trainer.poses.row(3), None, np.random.default_rng(step))
        adam.step()
    assert before > 0.2, before
    assert seen_through() < 0.2 * before
