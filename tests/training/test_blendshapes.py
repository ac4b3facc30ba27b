"""A person's own blendshapes, from gradients of the rest shape and the coefficients of the frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatars.data import Clip, Track
from avatars.heads.head import Head, HeadModel
from avatars.splats.avatar import Avatar
from avatars.training import checkpoint
from avatars.training.blendshapes import Blendshapes, _shares, _taken
from avatars.training.loop import Trainer
from avatars.training.presets import Preset


@pytest.fixture(scope="module")
def person(scene: tuple[Head, Clip, Track]) -> Head:
    head, _, track = scene
    return head.shape(track.identity)


def _quirk(head: Head) -> np.ndarray:
    """[V, 3] m: something smooth, of up to 3 mm, that no blendshape of the head and no turn does."""
    shares = _shares(head)
    change = np.random.default_rng(1).normal(size=3 * shares.shape[1])
    taken = _taken(head, shares)
    field = shares @ (change - taken @ (taken.T @ change)).reshape(-1, 3)
    return 0.003 * field / np.abs(field).max()


def _taught(head: Head, fields: dict[str, np.ndarray], steps: int, frames: int = 40) -> tuple[HeadModel, Blendshapes]:
    """A head pulled, in frames of random coefficients, towards one whose blendshapes differ by some fields [V, 3]."""
    body = HeadModel(head)
    used = [
        head.expression_names.index(name) for name in ("mouthSmileLeft", "mouthSmileRight", "jawOpen", "browInnerUp")
    ]
    film = torch.zeros(frames, body.size)
    film[:, used] = torch.rand(frames, len(used), generator=torch.Generator().manual_seed(1))
    shapes = Blendshapes(body, film)
    body.template.requires_grad_()
    wanted = HeadModel(head)
    wanted.basis = wanted.basis.clone()  # the head's own array stays
    for name, field in fields.items():
        axis = head.expression_names.index(name)
        wanted.basis[axis] += torch.from_numpy(field.astype(np.float32)).flatten()
    rng = torch.Generator().manual_seed(0)
    for step in range(steps):
        expression = torch.zeros(1, body.size)
        expression[0, used] = torch.rand(len(used), generator=rng)
        (body.rest(expression) - wanted.rest(expression).detach()).square().sum().backward()
        shapes.step(expression, 0.06 ** (step / steps))
        body.template.grad = None
    return body, shapes


def test_what_a_smile_does_besides_is_learned(person: Head) -> None:
    quirk, axis = _quirk(person), person.expression_names.index("mouthSmileLeft")
    body, _ = _taught(person, {"mouthSmileLeft": quirk}, 1600)
    moved = body.basis.view(body.size, -1, 3).detach().numpy() - person.expression_basis
    share = (moved[axis] * quirk).sum() / (quirk**2).sum()
    assert 0.6 < share < 1.1
    for name in ("mouthSmileRight", "jawOpen", "browInnerUp", "cheekPuff"):
        other = moved[person.expression_names.index(name)]
        assert abs((other * quirk).sum() / (quirk**2).sum()) < 0.15 * share
    bolder, _ = _taught(person, {"mouthSmileLeft": quirk}, 1600, frames=400)
    more = bolder.basis.view(body.size, -1, 3).detach().numpy() - person.expression_basis
    assert (more[axis] * quirk).sum() > 1.05 * (moved[axis] * quirk).sum()  # of much it believes more
    stiff = person.regions["teeth_upper"] | person.regions["eyeball_l"]
    assert not moved[:, stiff | (person.template[:, 2] < -0.05)].any()


def test_what_another_blendshape_or_a_turn_does_is_left_to_it(person: Head) -> None:
    """However it is pulled: a coefficient keeps its meaning, so that what a tracker finds of it fits."""
    smile = person.expression_basis[person.expression_names.index("mouthSmileRight")]
    nod = np.cross([1.0, 0, 0], person.template) * 0.03
    for field in (smile, nod):
        body, _ = _taught(person, {"mouthSmileLeft": field}, 400)
        model, other = HeadModel(person), (body.basis.detach() - HeadModel(person).basis)
        axis = person.expression_names.index("mouthSmileLeft")
        still = model.template[None]
        done = model.landmarks(still + other[axis].view(1, -1, 3))[0] - model.landmarks(still)[0]
        asked = model.landmarks(torch.from_numpy(field.astype(np.float32))[None])[0]
        known = torch.isfinite(asked[:, 0])
        assert float(done[known].abs().max()) > 1e-5
        assert abs(float((done * asked)[known].sum() / asked[known].square().sum())) < 1e-4


def test_a_head_without_a_face_or_landmarks_keeps_its_own(person: Head) -> None:
    blind = replace(person, landmark_faces=np.full_like(person.landmark_faces, -1))
    assert _taken(blind, _shares(blind)).shape == (3 * _shares(blind).shape[1], 0)
    behind = replace(person, template=person.template - np.array([0, 0, 1], np.float32))
    body, _ = _taught(behind, {"mouthSmileLeft": np.full(person.template.shape, 0.01)}, 16)
    np.testing.assert_array_equal(body.basis.numpy(), HeadModel(behind).basis.numpy())


def test_a_training_moves_them_and_keeps_what_it_moved(
    scene: tuple[Head, Clip, Track], person: Head, tmp_path: Path
) -> None:
    _, clip, track = scene
    preset = Preset(size=96, splats=1500, bases=4, iterations=60, refine_from=0.3)
    trainer = Trainer(person, clip, track, np.arange(19), preset)
    for _ in range(18):
        trainer.step()
    assert trainer.shaped()[0].expression_basis.tobytes() == person.expression_basis.tobytes()
    trainer.run(tmp_path)
    basis = trainer.shaped()[0].expression_basis
    assert 1e-4 < np.abs(basis - person.expression_basis).max() < 0.006
    watched = checkpoint.snapshot(tmp_path, Avatar.load(tmp_path / checkpoint.START)).avatar
    np.testing.assert_array_equal(watched.head.expression_basis, basis)
    again = Trainer(person, clip, track, np.arange(19), preset)
    assert checkpoint.restore(tmp_path, again)
    np.testing.assert_array_equal(again.shaped()[0].expression_basis, basis)
    np.testing.assert_array_equal(again.optimizer.blendshapes.first, trainer.optimizer.blendshapes.first)
