"""Colours that splats of bare skin may take."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.splats.model import AvatarModel
from avatars.splats.seeding import View, broadside
from avatars.training.bounds import part, tones
from avatars.training.loop import Trainer
from avatars.training.presets import Preset

_SKIN = torch.tensor([0.6, 0.42, 0.33])


@pytest.fixture
def trainer(scene: tuple[Head, Clip, Track]) -> Trainer:
    head, clip, track = scene
    preset = Preset(size=96, splats=2500, bases=4, iterations=10)
    return Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)


def _skin(model: AvatarModel) -> torch.Tensor:
    bare = part(model, "face") & ~part(model, "brows", "scalp", "lips", "eyelids")
    return torch.from_numpy(bare) & (model.parameters["mean"].abs().amax(1) == 0)


def test_broadside_is_the_mean_cosine_to_the_camera(trainer: Trainer) -> None:
    head = trainer.head
    middle = head.template[head.regions["face"]].mean(0)
    # The head as it is, y up and facing +z, before cameras that look along +z is seen from behind: turn it about x.
    around = np.diag([1.0, -1.0, -1.0])
    near, far = (head.template - middle) @ around.T + [0, 0, 0.6], (head.template - middle) @ around.T + [0, 0, 0.9]
    blank = np.zeros((96, 96, 3), np.uint8)
    views = [View(v.astype(np.float32), blank, blank[..., 0]) for v in (near, far)]
    found = broadside(head, np.arange(len(head.faces)), views, trainer.camera)
    expected = np.zeros(len(head.faces))
    for v in (near, far):
        a, b, c = (v[head.faces[:, k]] for k in range(3))
        normal, sight = np.cross(b - a, c - a), -(a + b + c)
        cosine = (normal * sight).sum(1) / np.maximum(
            np.linalg.norm(normal, axis=1) * np.linalg.norm(sight, axis=1), 1e-15
        )
        expected += cosine.clip(0) / 2
    np.testing.assert_allclose(found, expected, atol=1e-4)
    nose, scalp = head.faces_of("nose"), head.faces_of("scalp")
    assert found[nose].max() > 0.95
    assert (found[scalp] == 0).mean() > 0.3  # what covers the back


def test_dark_skin_is_not_greyer_than_skin_and_highlights_may_be(trainer: Trainer) -> None:
    model = trainer.model
    color = model.parameters["color"].detach()
    color[:] = _SKIN
    bounds, skin = tones(model, np.ones(len(color))), _skin(model)
    shade, gloss = torch.tensor([0.5, 0.49, 0.48]), torch.tensor([0.72, 0.55, 0.46])
    outline = shade.repeat(len(color), 1)
    bounds.clamp(outline)
    # Green and blue fall to what skin of this red has, and 5 % more.
    expected = 0.5 * 1.05 * _SKIN / _SKIN[0]
    np.testing.assert_allclose(outline[skin][:, 1:], expected[1:].expand(int(skin.sum()), 2), atol=1e-5)
    np.testing.assert_allclose(outline[skin][:, 0], 0.5, atol=1e-6)
    bright = gloss.repeat(len(color), 1)
    bounds.clamp(bright)
    np.testing.assert_allclose(bright[skin], gloss.expand(int(skin.sum()), 3), atol=1e-6)
    orange = torch.tensor([0.6, 0.3, 0.1]).repeat(len(color), 1)
    bounds.clamp(orange)
    np.testing.assert_allclose(orange[skin][:, 1:], (0.8 * _SKIN[1:]).expand(int(skin.sum()), 2), atol=1e-5)
    hair = torch.from_numpy(part(model, "scalp"))
    np.testing.assert_allclose(outline[hair], shade.expand(int(hair.sum()), 3))


def test_what_is_seen_edge_on_differs_little_from_skin_beside_it(trainer: Trainer) -> None:
    model = trainer.model
    color = model.parameters["color"].detach()
    color[:] = _SKIN
    skin = _skin(model)
    for seen, contrast in ((0.0, 0.02), (0.4, 0.085), (1.0, 0.15)):
        bounds = tones(model, np.full(len(color), seen))
        dark = torch.zeros(len(color), 3)
        bounds.clamp(dark)
        expected = _SKIN - contrast
        expected[1:] = torch.maximum(expected[1:], 0.8 * expected[0] * _SKIN[1:] / _SKIN[0])
        np.testing.assert_allclose(dark[skin], expected.expand(int(skin.sum()), 3), atol=1e-5)


def test_lips_do_not_become_teeth(trainer: Trainer) -> None:
    model = trainer.model
    color, lips = model.parameters["color"].detach(), torch.from_numpy(part(model, "lips"))
    pink = torch.tensor([0.6, 0.3, 0.3])
    color[:], color[lips] = _SKIN, pink
    assert int(lips.sum()) >= 24
    bounds = tones(model, np.ones(len(color)))
    white = torch.full((len(color), 3), 0.9)
    bounds.clamp(white)
    # A quarter more green and blue than the median lip of that red, and what a highlight adds.
    np.testing.assert_allclose(white[lips][:, 1:], 0.9 * 0.5 * 1.25 + 0.3, atol=1e-5)
    same = color.clone()
    bounds.clamp(same)
    np.testing.assert_allclose(same[lips], color[lips])
