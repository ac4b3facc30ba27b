"""From a training that has ended to the model that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..data import Splats
from ..heads.head import Head
from ..splats.bases import BasisNetwork, Cloud
from .groom import groomed

if TYPE_CHECKING:
    from .loop import Trainer


@torch.no_grad()
def finish(trainer: Trainer) -> tuple[Head, Splats, BasisNetwork]:
    """What an `AvatarModel` is made of: the head as training shaped it, its splats with hair where nobody saw any, and
    the network, whose weights are held to those of the footage as refined."""
    network = trainer.model.network
    if len(trainer.rows) and trainer.preset.bases:
        weights = trainer.model.weights(trainer.poses.pose[torch.from_numpy(trainer.rows)])
        network.hold(Cloud.of(weights.cpu().numpy()))
    head, splats = trainer.shaped()
    with torch.enable_grad():
        splats = groomed(head, splats, network, trainer.poses, trainer.camera, trainer.rows)
    return head, splats, network
