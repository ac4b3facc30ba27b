"""From sides that no frame shows, skin seen from close by is no rougher than the film."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatars.training.loop import Trainer
from avatars.training.scratches import Scratches


def _scratches(trainer: Trainer, rough: float) -> Scratches:
    return Scratches(trainer.speckle, trainer.model, trainer.camera, rough)


def _scratched(trainer: Trainer) -> torch.Tensor:
    """Every fifth splat of skin black or white; those."""
    rng = np.random.default_rng(0)
    skin = trainer.speckle.skin
    chosen = skin & torch.from_numpy(rng.uniform(size=len(skin)) < 0.2)
    with torch.no_grad():
        shade = rng.integers(0, 2, (int(chosen.sum()), 1)).astype(np.float32)
        trainer.model.parameters["color"][chosen] = torch.from_numpy(shade)
    return chosen


def test_only_colours_and_opacities_of_skin_are_asked(trainer: Trainer) -> None:
    _scratched(trainer)
    delta = torch.zeros(1, 1500, 9, requires_grad=True)
    found = _scratches(trainer, 0.01).smooth(trainer.poses.row(3), delta, np.random.default_rng(2))
    assert found > 0
    skin = trainer.speckle.skin
    for name, value in trainer.model.parameters.items():
        if name not in ("color", "logit_opacity"):
            assert value.grad is None, name
            continue
        assert value.grad is not None
        assert value.grad[skin].any(), name
        assert not value.grad[~skin].any(), name
    assert delta.grad is not None
    assert delta.grad[0, skin, 6:].any()
    assert not delta.grad[0, ~skin].any()
    assert not delta.grad[..., :6].any()


@pytest.mark.parametrize("rough", [2.0, np.inf])
def test_skin_as_rough_as_the_film_is_left_alone(trainer: Trainer, rough: float) -> None:
    _scratched(trainer)
    assert _scratches(trainer, rough).smooth(trainer.poses.row(3), None, np.random.default_rng(2)) == 0
    for name, value in trainer.model.parameters.items():
        assert value.grad is None or not value.grad.any(), name


def test_steps_along_it_take_scratches_away(trainer: Trainer) -> None:
    """Down to what the film has: the more that is, the more is left."""
    pose, color = trainer.poses.row(3), trainer.model.parameters["color"]
    chosen = _scratched(trainer)
    start = color.detach().clone()
    change = []
    for rough in (0.0, 0.04):
        with torch.no_grad():
            color.copy_(start)
        scratches = _scratches(trainer, rough)
        before = np.mean([scratches.smooth(pose, None, np.random.default_rng(seed)) for seed in range(100, 112)])
        for step in range(100):
            color.grad = None
            scratches.smooth(pose, None, np.random.default_rng(step))
            assert color.grad is not None
            with torch.no_grad():
                color -= 0.01 * color.grad.sign()
        after = np.mean([scratches.smooth(pose, None, np.random.default_rng(seed)) for seed in range(100, 112)])
        assert after < 0.6 * before
        change.append(float((color.detach() - start)[chosen].abs().mean()))
    assert change[0] > 1.2 * change[1]
