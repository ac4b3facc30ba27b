"""Lids that a blink unfolds are opaque and even, whatever the film taught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.splats.binding import bind_reference
from avatars.training import blinks, bounds
from avatars.training.blinks import Blinks
from avatars.training.loop import Trainer
from avatars.training.presets import Preset

TRAIN = np.arange(19)
PRESET = Preset(size=96, splats=2500, bases=4, iterations=80)


@pytest.fixture
def trainer(scene: tuple[Head, Clip, Track]) -> Trainer:
    head, clip, track = scene
    return Trainer(head.shape(track.identity), clip, track, TRAIN, PRESET)


def _lids(trainer: Trainer) -> torch.Tensor:
    lids = bounds.lids(trainer.model)
    assert lids.sum() > 60
    assert (lids >= torch.from_numpy(bounds.part(trainer.model, "eyelids"))).all()
    return lids


def _shut(trainer: Trainer) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss of one blink, always the same, and the gradients that it leaves."""
    found = trainer.blinks.shut(trainer.poses.row(3), np.random.default_rng(5))
    grads = {}
    for name, value in trainer.model.parameters.items():
        if value.grad is not None:
            grads[name], value.grad = value.grad, None
    return found, grads


def test_only_lids_and_what_covers_eyes_learn(trainer: Trainer) -> None:
    lids, balls = _lids(trainer), torch.from_numpy(bounds.part(trainer.model, "eyeball_l", "eyeball_r"))
    with torch.no_grad():
        trainer.model.parameters["logit_opacity"][lids] = -1.0
    _, grads = _shut(trainer)
    assert set(grads) == {"log_scale", "logit_opacity", "color"}
    assert trainer.model.head.template.grad is None
    assert (grads["color"][~lids] == 0).all()
    assert float(grads["color"][lids].abs().sum()) > 0
    # What is hidden is not what hides it; more of a lid shows less of an eyeball.
    assert (grads["logit_opacity"][balls] == 0).float().mean() > 0.6
    assert float(grads["logit_opacity"][lids].sum()) < 0


def test_lids_become_opaque_and_even(trainer: Trainer) -> None:
    lids, rng = _lids(trainer), np.random.default_rng(0)
    p = trainer.model.parameters
    with torch.no_grad():
        p["logit_opacity"][lids] = -1.0
        p["color"][lids] += torch.from_numpy(rng.normal(0, 0.2, (int(lids.sum()), 3)).astype(np.float32))
    before, _ = _shut(trainer)
    for _ in range(60):
        _, grads = _shut(trainer)
        with torch.no_grad():
            for name, gradient in grads.items():
                p[name] -= 0.02 * gradient.sign()
    after, _ = _shut(trainer)
    assert after < 0.5 * before


def test_eyeballs_are_hidden_where_lids_are_shut(trainer: Trainer) -> None:
    pose, axes = trainer.poses.row(3), trainer.blinks._axes
    share = {}
    for blink in (0.0, 0.9):
        expression = pose.expression.clone()
        expression[:, axes] = blink
        with torch.no_grad():
            vertices = trainer.model.vertices(replace(pose, expression=expression))[0].numpy()
        camera = blinks._close_up(trainer.camera, vertices[trainer.blinks._around])
        balls = trainer.blinks._balls
        front = vertices[trainer.blinks._binding.corner].mean(1)[:, 2]
        front = balls & (front < np.median(front[balls]))  # towards the camera: what an open eye shows
        share[blink] = trainer.blinks._behind(vertices, camera)[front].mean()
    assert share[0.9] > 0.95
    assert share[0.0] < 0.85  # much of an eyeball lies behind skin at any time


def test_a_head_without_blinks_learns_nothing(trainer: Trainer) -> None:
    names = tuple(f"axis {i}" for i in range(len(trainer.head.expression_names)))
    trainer.model.head.head = replace(trainer.model.head.head, expression_names=names)
    trainer.blinks = Blinks(trainer.model, trainer.camera)
    assert _shut(trainer) == (0.0, {})


def test_eyeballs_lie_under_lids_and_bases_move_neither(trainer: Trainer) -> None:
    model = trainer.model
    (low, high), steady, _ = bounds.reach(model)
    extent = torch.from_numpy(model.binding.extent)
    lids, balls = _lids(trainer), torch.from_numpy(bounds.part(model, "eyeball_l", "eyeball_r"))
    assert (steady[lids | balls][:, :6] == 0).all()
    deepest = float((low[lids, 2] * extent[lids]).min())
    assert deepest > float((high[balls, 2] * extent[balls]).max()) + 0.0004
    assert (low[balls, 2] < high[balls, 2]).all()


def test_a_blink_throws_no_splat_of_a_lid_over_the_cheek(trainer: Trainer) -> None:
    model, lids = trainer.model, _lids(trainer)
    (low, high), _, _ = bounds.reach(model)
    pose = trainer.poses.row(3)
    expression = pose.expression.clone()
    expression[:, trainer.blinks._axes] = 1.0
    p = {name: value.detach() for name, value in model.parameters.items()}

    def places(mean: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            vertices = model.vertices(replace(pose, expression=expression))
            rest = (p[name] for name in ("quaternion", "log_scale", "logit_opacity", "color"))
            return bind_reference(vertices, model.binding, mean, *rest, None)[0][0]

    seats = places(torch.zeros_like(p["mean"]))
    for x, y in ((low, low), (low, high), (high, low), (high, high)):
        leaning = torch.stack([x[:, 0], y[:, 1], torch.zeros(len(seats))], 1)
        thrown = (places(leaning) - seats)[lids].norm(dim=1)
        assert thrown.max() < 0.0025  # of 1.2 extents it would be 0.02


def test_bases_of_lids_fade_faster(trainer: Trainer) -> None:
    model, lids = trainer.model, _lids(trainer)
    model.bases[:] = 1.0
    nothing = torch.zeros(len(model.bases), 9)
    for _ in range(16):
        trainer.optimizer.bases(nothing, torch.zeros(model.bases.shape[2]), 1.0)
    skin = torch.from_numpy(bounds.plain(model)) & ~lids
    lost = 1 - model.bases.mean((1, 2))
    np.testing.assert_allclose(lost[lids], 16 * 8 * 5e-4, rtol=1e-4)
    np.testing.assert_allclose(lost[skin], 16 * 5e-4, rtol=1e-3)


def test_lids_take_no_glint_of_an_eye(trainer: Trainer) -> None:
    lids = _lids(trainer)
    with torch.no_grad():
        trainer.model.parameters["color"][lids] = 1.0
    tones = bounds.tones(trainer.model)
    color = trainer.model.parameters["color"].detach().clone()
    tones.clamp(color)
    assert float(color[lids].max()) < 0.9  # skin of .55, painted with a deviation of .06
    dark = torch.zeros_like(color)
    tones.clamp(dark)
    assert float(dark[bounds.part(trainer.model, "eyelids")].max()) == 0  # lashes are black
