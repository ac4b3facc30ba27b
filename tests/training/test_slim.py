"""Hair that is no deeper than it must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars import geometry
from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.splats.binding import local_frames
from avatars.splats.model import AvatarModel
from avatars.training import bounds
from avatars.training.loop import Trainer
from avatars.training.presets import Preset
from avatars.training.slim import _EVERY, _FADE, Slim


def _trainer(scene: tuple[Head, Clip, Track], share: float = 1.0) -> Trainer:
    """Of somebody of whose hair a share hangs 3 cm off the mesh."""
    head, clip, track = scene
    out = Trainer(head.shape(track.identity), clip, track, np.arange(19), Preset(size=96, splats=2000, bases=0))
    hair = _hair(out.model).nonzero()[:, 0]
    long = hair[: round(share * len(hair))]
    extent = torch.from_numpy(out.model.binding.extent)
    mean = out.model.parameters["mean"].detach()
    mean[hair] *= 0.01 / (mean[hair].norm(dim=1, keepdim=True) * extent[hair, None])
    mean[long] *= 3
    out.optimizer.slim = Slim(out.model)
    return out


def _hair(model: AvatarModel) -> torch.Tensor:
    return bounds.beside(model) & ~torch.from_numpy(model.head.head.torso_faces(model.binding.corner))


def test_long_hair_alone(scene: tuple[Head, Clip, Track]) -> None:
    assert len(Slim(_trainer(scene, 0.0).model).splats) == 0
    assert len(Slim(_trainer(scene, 0.1).model).splats) == 0
    model = _trainer(scene, 0.6).model
    assert len(Slim(model).splats) == pytest.approx(0.6 * int(_hair(model).sum()), abs=1)


def test_depth_fades_and_what_the_front_shows_does_not(scene: tuple[Head, Clip, Track]) -> None:
    model = _trainer(scene).model
    slim = Slim(model)
    hair = _hair(model)
    assert 20 < int(hair.sum()) < len(hair)
    head, binding = model.head.head, model.binding
    corners = [int(np.flatnonzero((head.faces == c).all(1))[0]) for c in binding.corner]
    frame = local_frames(head.template, head.faces, head.template, np.array(corners), binding.barycentric)[1]
    quaternion = geometry.quaternion_from_matrix(
        torch.from_numpy(frame.swapaxes(1, 2))
    ).float()  # axes along the head's
    size = torch.full((len(hair), 3), -1.0)
    for k in range(1, 10 * _EVERY + 1):
        slim.step(size, quaternion, 0.5, k)
    shrunk = -1.0 - 10 * _EVERY * _FADE * 0.5
    torch.testing.assert_close(size[hair], torch.tensor([[-1.0, -1.0, shrunk]]).expand(int(hair.sum()), 3))
    assert (size[~hair] == -1.0).all()  # nor clothes, nor skin


def test_clothes_keep_their_depth(scene: tuple[Head, Clip, Track], monkeypatch: pytest.MonkeyPatch) -> None:
    model = _trainer(scene).model
    monkeypatch.setattr(Head, "torso_faces", lambda self, faces: np.arange(len(faces)) % 2 == 0)
    splats = Slim(model).splats
    assert (splats % 2 == 1).all()
    assert len(splats) > 100


def test_a_step_takes_the_same_share_however_a_splat_is_turned(scene: tuple[Head, Clip, Track]) -> None:
    model = _trainer(scene).model
    slim, rng = Slim(model), np.random.default_rng(0)
    count = len(model.parameters["color"])
    quaternion = torch.from_numpy(rng.normal(size=(count, 4))).float()
    size = torch.from_numpy(rng.normal(-2, 0.7, (count, 3))).float()
    before = size.clone()
    slim.step(size, quaternion, 1.0, _EVERY)
    lost = (before - size)[_hair(model)]
    torch.testing.assert_close(lost.sum(1), torch.full((len(lost),), _FADE * _EVERY), atol=1e-6, rtol=0)
    assert (lost > -1e-7).all()


def test_trained_hair_is_flatter_than_without(scene: tuple[Head, Clip, Track]) -> None:
    depths = []
    for fade in (True, False):
        trainer = _trainer(scene)
        if not fade:
            trainer.optimizer.slim.splats = trainer.optimizer.slim.splats[:0]
        slim = Slim(trainer.model)
        for _ in range(60):
            trainer.step()
        turned = geometry.matrix_from_quaternion(trainer.model.parameters["quaternion"][slim.splats].detach())
        part = torch.einsum("nij,ni->nj", turned, slim._depth).square()
        depths.append(
            (part * (2 * trainer.model.parameters["log_scale"][slim.splats].detach()).exp()).sum(1).log().mean() / 2
        )
    assert float(depths[1] - depths[0]) > 0.02
