"""What the head hides, and that it teaches nothing while it wears a colour that is not its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.training.calm import _usual, visibility
from avatars.training.loop import Trainer
from avatars.training.presets import Preset

TRAIN = np.arange(19)


@pytest.fixture
def trainer(scene: tuple[Head, Clip, Track]) -> Trainer:
    head, clip, track = scene
    return Trainer(head.shape(track.identity), clip, track, TRAIN, Preset(size=96, splats=1500, bases=4, iterations=80))


def test_hidden_is_what_the_picture_does_not_show(trainer: Trainer) -> None:
    """The mesh's depth buffer against the splats' own blending weights."""
    hidden = trainer.occlusion.hidden(3).numpy()
    assert 0.05 < hidden.mean() < 0.6
    with torch.no_grad():
        trainer.model.parameters["logit_opacity"].fill_(6.0)
    shown, _ = visibility(trainer.model, trainer.poses, trainer.camera, np.array([3]))
    assert shown[hidden].max() < 0.2  # measured 0.0: solid splats let nothing through
    assert shown[~hidden].mean() > 3 * shown[hidden].mean() + 0.05


def test_what_starts_outside_the_mesh_is_never_hidden(trainer: Trainer) -> None:
    outside = (trainer.model.parameters["mean"].detach().abs().amax(1) > 0).numpy()
    for row in (0, 9, 18):
        assert not trainer.occlusion.hidden(row).numpy()[outside].any()


def test_a_colour_is_lent_and_given_back(trainer: Trainer) -> None:
    color = trainer.model.parameters["color"]
    before = color.detach().clone()
    lent = torch.tensor([0.1, 0.2, 0.3])

    def interrupted() -> None:
        with trainer.occlusion.recolored(3, lent) as hidden:
            assert torch.equal(hidden, trainer.occlusion.hidden(3).nonzero()[:, 0])
            others = ~trainer.occlusion.hidden(3)
            assert torch.equal(color.detach()[others], before[others])
            assert torch.equal(color.detach()[hidden], lent.expand(len(hidden), 3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.equal(color.detach(), before)


def test_the_veiled_learn_nothing(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    always = torch.zeros(1500, dtype=torch.bool)
    always[::3] = True
    always[torch.from_numpy(np.isfinite(trainer.interior[:, 0]))] = False  # teeth move as rows, flesh is evened out
    always[trainer.optimizer.depths.splats] = False  # hair goes with its neighbours, and is never hidden (see above)
    monkeypatch.setattr(trainer.occlusion, "hidden", lambda row: always)
    monkeypatch.setattr("avatars.training.loop._VEILED", 1.0)
    monkeypatch.setattr("avatars.training.loop._SIDES_FROM", 2.0)  # from there they are seen
    for _ in range(4):  # scales come within their limits
        trainer.step()
    before = {k: v.detach().clone() for k, v in trainer.model.parameters.items()}
    for _ in range(40):  # bases learn from step 20
        trainer.step()
    for name, value in trainer.model.parameters.items():
        assert torch.equal(value.detach()[always], before[name][always]), name
        assert not torch.equal(value.detach()[~always], before[name][~always]), name
    assert not trainer.model.bases[always].any()
    assert trainer.model.bases[~always].any()


def test_the_usual_colour_is_that_of_most_pixels() -> None:
    """Against a plain loop; three slivers of background do not outvote one broad splat."""
    rng = np.random.default_rng(0)
    colors, weights = rng.uniform(size=(20, 9, 3)), rng.uniform(size=(20, 9))
    found = _usual(torch.from_numpy(colors), torch.from_numpy(weights)).numpy()
    for n in range(20):
        for c in range(3):
            order = np.argsort(colors[n, :, c])
            reached = np.cumsum(weights[n, order])
            assert found[n, c] == colors[n, order[np.searchsorted(reached, reached[-1] / 2)], c]
    pale, dark = [1.0, 1.0, 1.0], [0.1, 0.1, 0.1]
    colors = torch.tensor([[pale, pale, dark, pale]])
    assert _usual(colors, torch.tensor([[0.1, 0.2, 5.0, 0.1]])).tolist() == [pytest.approx(dark)]
