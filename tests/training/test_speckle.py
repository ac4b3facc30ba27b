"""From sides that no frame shows, skin is smooth and hair has one tint."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.training import bounds
from avatars.training.loop import Trainer
from avatars.training.presets import Preset
from avatars.training.sides import random_side, reduced
from avatars.training.speckle import _YAW, Speckle, hair, roughness

TRAIN = np.arange(19)
PRESET = Preset(size=96, splats=1500, bases=4, iterations=80)


@pytest.fixture
def trainer(scene: tuple[Head, Clip, Track]) -> Trainer:
    head, clip, track = scene
    out = Trainer(head.shape(track.identity), clip, track, TRAIN, PRESET)
    out.speckle = Speckle(out.model, out.camera)
    return out


def _rng() -> np.random.Generator:
    return np.random.default_rng(5)


def _gradients(trainer: Trainer, delta: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Of colour and opacity; none of anything else."""
    trainer.speckle.smooth(trainer.poses.row(3), delta, _rng())
    p = trainer.model.parameters
    for name in ("mean", "quaternion", "log_scale"):
        assert p[name].grad is None, name
    assert trainer.model.head.template.grad is None
    color, opacity = p["color"].grad, p["logit_opacity"].grad
    assert color is not None
    assert opacity is not None
    return color, opacity


def _kinds(trainer: Trainer) -> tuple[Tensor, Tensor, Tensor]:
    """Splats of skin, of hair and features, and of clothes."""
    skin = torch.from_numpy(bounds.plain(trainer.model)) & ~bounds.beside(trainer.model)
    worn = torch.from_numpy(trainer.head.bust_faces()[trainer.seeded.triangle])
    return skin & ~worn, ~skin & ~worn, worn


def _speckled(trainer: Trainer, seed: int = 0) -> None:
    """Every fifth splat black or white."""
    chosen = torch.from_numpy(np.random.default_rng(seed).uniform(size=1500) < 0.2)
    with torch.no_grad():
        trainer.model.parameters["color"][chosen] = torch.from_numpy(
            np.random.default_rng(seed).integers(0, 2, (int(chosen.sum()), 1)).astype(np.float32)
        )


def test_skin_may_change_hair_its_tint_and_clothes_nothing(trainer: Trainer) -> None:
    color, opacity = _gradients(trainer)
    skin, rest, worn = _kinds(trainer)
    assert min(int(x.sum()) for x in (skin, rest, worn)) > 50
    assert not color[worn].any()
    assert not opacity[~skin].any()
    assert opacity[skin].any()
    assert color[skin].mean(1).abs().max() > 1e-5
    assert color[rest].abs().max() > 1e-5
    assert color[rest].mean(1).abs().max() < 1e-9  # what moves all three channels alike is brightness


def test_hair_that_is_rougher_than_filmed_may_change_its_brightness(trainer: Trainer) -> None:
    _speckled(trainer)
    model = trainer.model
    chosen = hair(model)
    tints = _gradients(trainer)[0].clone()
    found = {}
    for rough in (0.0, 0.1, 2.0):
        for value in model.parameters.values():
            value.grad = None
        trainer.speckle = Speckle(model, trainer.camera, rough)
        color, opacity = _gradients(trainer)
        found[rough] = color[chosen].mean(1).abs().sum()
        torch.testing.assert_close(color[~chosen], tints[~chosen])
        torch.testing.assert_close(color - color.mean(1, keepdim=True), tints - tints.mean(1, keepdim=True))
        assert opacity[chosen].any() == (rough < 2)
    assert found[0.0] > found[0.1] > 20 * found[2.0]
    assert found[2.0] < 1e-6


def test_hair_is_smoothed_to_what_is_allowed(trainer: Trainer) -> None:
    """Steps of splats of the scalp, black and white by turns, end sooner the more the film allows."""
    model = trainer.model
    chosen = hair(model)
    start = model.parameters["color"].detach().clone()
    start[chosen] = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (int(chosen.sum()), 1)).astype(np.float32))
    spread = []
    for rough in (0.02, 0.3):
        speckle = Speckle(model, trainer.camera, rough)
        with torch.no_grad():
            model.parameters["color"].copy_(start)
        for step in range(40):
            speckle.smooth(trainer.poses.row(3), None, np.random.default_rng(step))
            with torch.no_grad():
                model.parameters["color"] -= 0.02 * model.parameters["color"].grad.sign()  # type: ignore[union-attr]
            for value in model.parameters.values():
                value.grad = None
        spread.append(float((model.parameters["color"].detach() - start)[chosen].abs().mean()))
    assert spread[0] > 1.5 * spread[1]


def test_how_rough_the_films_hair_is(trainer: Trainer) -> None:
    def found() -> float:
        model = trainer.model
        return roughness(model, trainer.poses, trainer.store, TRAIN, reduced(trainer.camera), hair(model))

    images, rng = trainer.store.images[0], np.random.default_rng(0)
    images[:] = 100
    assert found() == 0
    lone = rng.uniform(size=images[:, :1].shape) < 0.15
    images[:] = np.where(lone, 151, 100)
    assert found() == pytest.approx(51 / 255)
    images[:] = np.where(lone & (rng.uniform(size=lone.shape) < 0.5), 151, 100)
    assert found() == 0  # less than a tenth of all pixels stand out
    trainer.store.mattes[0][:] = 0
    assert found() == np.inf


def test_what_bases_add_follows_too(trainer: Trainer) -> None:
    delta = torch.zeros(1, 1500, 9, requires_grad=True)
    color, _ = _gradients(trainer, delta)
    assert delta.grad is not None
    assert not delta.grad[..., :6].any()
    torch.testing.assert_close(delta.grad[0, :, 6:], color)  # a colour and what is added to it are one sum


def test_what_the_picture_taught_is_kept(trainer: Trainer) -> None:
    alone = [x.clone() for x in _gradients(trainer)]
    for name in ("color", "logit_opacity"):
        trainer.model.parameters[name].grad = torch.ones_like(trainer.model.parameters[name])
    for added, own in zip(_gradients(trainer), alone, strict=True):
        torch.testing.assert_close(added, 1 + own)


def test_the_loss_is_the_distance_from_the_median(trainer: Trainer) -> None:
    _speckled(trainer)
    pose = trainer.poses.row(3)
    found = trainer.speckle.smooth(pose, None, _rng())
    camera = random_side(reduced(trainer.camera), pose, _YAW, _rng())
    model = trainer.model
    with torch.no_grad():
        model.bases.zero_()
        drawn = model.render(pose, camera, torch.full((3,), 0.5))
    picture = drawn.color[0].permute(1, 2, 0).numpy()
    far = np.abs(picture - cv2.medianBlur(picture, 5)).mean(2) * (drawn.alpha[0, 0].numpy() > 0.8)
    assert found == pytest.approx(far.mean(), rel=1e-4)
    assert found > 0.003


def test_steps_along_it_smooth_the_sides(trainer: Trainer) -> None:
    """Sides that were not among those it was shown, too."""

    def rough() -> float:
        found = [trainer.speckle.smooth(trainer.poses.row(3), None, np.random.default_rng(k)) for k in range(100, 112)]
        for value in trainer.model.parameters.values():
            value.grad = None
        return float(np.mean(found))

    _speckled(trainer)
    before = rough()
    for step in range(60):
        trainer.speckle.smooth(trainer.poses.row(3), None, np.random.default_rng(step))
        trainer.optimizer.splats(trainer.poses.row(3).expression, 1.0)
    assert rough() < 0.65 * before  # measured 0.51


def test_a_collar_on_a_neck_is_clothes(trainer: Trainer) -> None:
    """A head's neck goes down to where shirts are open: what has no tone of skin there is not smoothed as skin."""
    model, color = trainer.model, trainer.model.parameters["color"]
    neck = np.flatnonzero(bounds.plain(model) & bounds.part(model, "neck") & ~bounds.beside(model).numpy())
    collar, bare = neck[::2], neck[1::2]
    with torch.no_grad():
        color[torch.from_numpy(collar)] = torch.tensor([0.05, 0.9, 0.05])  # the scene's face has many a tone
    Speckle(model, trainer.camera).smooth(trainer.poses.row(3), None, _rng())
    assert color.grad is not None
    assert len(collar) > 20
    assert not color.grad[collar].any()
    assert color.grad[bare].any(1).sum() > 10
