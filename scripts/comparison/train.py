"""Train a baseline for as much processor time as ours had, on the same frames, track and background."""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, relu

from avatars.capture import faces
from avatars.raster import ops
from avatars.splats.model import AvatarModel, Pose
from avatars.training.finish import finish
from avatars.training.frames import Supervision, region_box
from avatars.training.loop import Trainer, Watcher
from avatars.training.poses import PoseTable

from .baselines import OffsetModel, RigidModel, uv_seeds

RIGID_RATES = {"mean": 5e-3, "quaternion": 6e-3, "log_scale": 0.017, "logit_opacity": 0.05, "color": 8e-3}
"""Adam's steps: GaussianAvatars' for place (falling a hundredfold), scale and opacity. Its 1e-3 for rotation and 7e-4
for colour are made for 600 000 steps; a run of minutes gets ours."""
OFFSET_RATES = {"quaternion": 6e-3, "log_scale": 0.005, "logit_opacity": 0.05, "color": 8e-3}
NETWORK_RATE = 1e-3
"""FlashAvatar's 1e-4, ten times faster for the same reason."""
REFINE = 0.2
"""Of our rates for poses: 1e-3 for expressions, which is what GaussianAvatars refines them by. FlashAvatar does not."""
PLACE, SCALE = (1.0, 0.01), (0.6, 1.0)
"""(Threshold in triangle sizes, weight) of GaussianAvatars' hinges on distance and scale."""
HUBER, MOUTH = 0.1, 40.0
"""FlashAvatar's loss, and the extra weight of the mouth."""
WIDTH, LAYERS = 64, 4


@dataclass
class Trained:
    """A model with the poses that its training ended with."""

    name: str
    model: AvatarModel
    poses: PoseTable
    numbers: int
    """Numbers that a file would store."""
    iterations: int
    processor: float
    """s of processor time."""
    seconds: float
    """s by the clock."""


def ours(trainer: Trainer, work: Path | str, watch: Watcher | None = None) -> Trained:
    """Run our own training to its end and time it.

    Args:
        work: directory for its checkpoint.
    """
    clock, start = time.monotonic(), time.process_time()
    trainer.run(Path(work), watch)
    used = time.process_time() - start
    model = AvatarModel(*finish(trainer))
    numbers = sum(x.numel() for x in (*model.parameters.values(), model.bases, *model.network.parameters()))
    numbers += 5 * len(model.binding)  # triangle, barycentric coordinates, extent
    return Trained("ours", model, trainer.poses, numbers, trainer.iteration, used, time.monotonic() - clock)


class Baseline(ABC):
    """One baseline's training. `workshop` lends frames, cameras, rows and seeds; its own model is not touched."""

    def __init__(self, workshop: Trainer, poses: PoseTable) -> None:
        self.workshop, self.poses = workshop, copy.deepcopy(poses)
        self.iteration = 0

    name: str
    model: RigidModel | OffsetModel
    optimizer: torch.optim.Optimizer

    def train(self, processor: float) -> Trained:
        """Train for `processor` seconds of processor time."""
        clock, start = time.monotonic(), time.process_time()
        base = [group["lr"] for group in self.optimizer.param_groups]
        while (used := time.process_time() - start) < processor:
            done = used / processor
            for group, rate in zip(self.optimizer.param_groups, base, strict=True):
                group["lr"] = rate * group["fall"] ** done
            with ops.native_threads():
                self.step(done)
            self.iteration += 1
        clock = time.monotonic() - clock
        return Trained(self.name, self.model, self.poses, self.model.size(), self.iteration, processor, clock)

    def step(self, done: float) -> None:
        """One step at a share of the time."""
        shop = self.workshop
        shop.iteration = self.iteration  # its order of rows is a function of the iteration
        row, level = shop._row(), 1 if done < shop.preset.coarse else 0
        frame = shop.store.get(row, level)
        pose, leaf = self.poses.leaf(row) if self.refines(done) else (self.poses.row(row), None)
        loss = self.loss(self.draw(pose, frame, level), frame, row, level)
        if not bool(torch.isfinite(loss)):
            return
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.model.parameters["color"].clamp_(0, 1)
        if leaf is not None:
            self.poses.step(row, leaf, REFINE)

    @abstractmethod
    def refines(self, done: float) -> bool:
        """Whether poses move too."""

    def draw(self, pose: Pose, frame: Supervision, level: int) -> Tensor:
        """[1, 3, H, W]."""
        shop, model = self.workshop, self.model
        (intrinsics, view), (width, height) = shop.views[level], shop.store.sizes[level]
        delta = model.delta(model.weights(pose)) if isinstance(model, OffsetModel) else None
        return model.draw(model.vertices(pose), delta, intrinsics, view, width, height, frame.background).color

    @abstractmethod
    def loss(self, color: Tensor, frame: Supervision, row: int, level: int) -> Tensor:
        """What is made small."""


class Rigid(Baseline):
    """The idea of GaussianAvatars; densification is left out, and our seeds, equal in number, stand in for it.

    Those on the mesh are under its hinges; those that we seed outside of it (hair, clothes) are not: pulled to their
    triangles and shrunk to their size they would leave gaps, which with densification others would fill.
    """

    name = "rigid, per triangle"

    def __init__(self, workshop: Trainer, poses: PoseTable) -> None:
        super().__init__(workshop, poses)
        self.model = model = RigidModel(workshop.head, workshop.seeded)
        self.held = torch.from_numpy(~workshop.seeded.mean.any(1))
        groups = []
        for name, rate in RIGID_RATES.items():
            value = model.parameters[name] = model.parameters[name].contiguous().requires_grad_()
            groups.append({"params": [value], "lr": rate, "fall": 0.01 if name == "mean" else 0.1})
        self.optimizer = torch.optim.Adam(groups, eps=1e-15, fused=True)

    def refines(self, done: float) -> bool:
        """From when ours does."""
        return done >= self.workshop.preset.refine_from

    def loss(self, color: Tensor, frame: Supervision, row: int, level: int) -> Tensor:
        """0.8 L1 + 0.2 D-SSIM and the hinges."""
        p = self.model.parameters
        far = relu(p["mean"][self.held].norm(dim=1) - PLACE[0]).mean() * PLACE[1]
        large = relu(p["log_scale"][self.held].exp() - SCALE[0]).mean() * SCALE[1]
        return ops.photometric_loss(color, frame.image, None, 0.2) + far + large


class Offset(Baseline):
    """The idea of FlashAvatar; without its LPIPS term, for which no weights are at hand."""

    name = "offsets by MLP"

    def __init__(self, workshop: Trainer, poses: PoseTable, width: int = WIDTH, layers: int = LAYERS) -> None:
        super().__init__(workshop, poses)
        torch.manual_seed(workshop.preset.seed)
        head, scale = workshop.head, workshop.model.network.scale
        seeds = uv_seeds(head, workshop.seeded, len(workshop.seeded))
        self.model = model = OffsetModel(head, seeds, scale, width, layers)
        groups = []
        for name, rate in OFFSET_RATES.items():
            value = model.parameters[name] = model.parameters[name].contiguous().requires_grad_()
            groups.append({"params": [value], "lr": rate, "fall": 0.1})
        groups.append({"params": list(model.network.parameters()), "lr": NETWORK_RATE, "fall": 0.1})
        self.optimizer = torch.optim.Adam(groups, eps=1e-15, fused=True)

    def refines(self, done: float) -> bool:
        """Never."""
        return False

    def loss(self, color: Tensor, frame: Supervision, row: int, level: int) -> Tensor:
        """Huber, and the mouth again."""
        store = self.workshop.store
        width, height = store.sizes[level]
        x0, y0, x1, y1 = region_box(store.landmarks[row] * (width / store.sizes[0][0]), faces.LIPS, width, height)
        whole = huber_loss(color, frame.image, delta=HUBER)
        mouth = huber_loss(color[..., y0:y1, x0:x1], frame.image[..., y0:y1, x0:x1], delta=HUBER, reduction="sum")
        return whole + MOUTH * mouth / color.numel()
