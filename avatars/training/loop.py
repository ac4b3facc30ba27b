"""Training: draw a frame, compare, move splats, bases, network and the frame's own pose.

Reads top to bottom. The order of frames and all noise are functions of (seed, iteration), so a resumed run continues
to the bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from ..data import Clip, Splats, Track
from ..errors import TrainingError
from ..geometry import rotvec_from_matrix
from ..heads.head import Head
from ..raster import ops
from ..splats.bases import BasisNetwork, StateScale
from ..splats.interior import eye_white, interior_colors
from ..splats.model import AvatarModel, Pose, camera_tensors
from ..splats.rebind import rebound
from ..splats.seeding import View, screen, seed
from . import checkpoint, metrics
from .blinks import Blinks
from .calm import calm
from .frames import FrameStore, Supervision
from .occlusion import Occlusion
from .optimizer import Optimizer, shaped
from .outline import Outline
from .poses import PoseTable
from .presets import Preset
from .scratches import Scratches
from .sides import Sides, reduced
from .speckle import Speckle, hair, roughness

_SEED_VIEWS = 9
_BAD_STEPS = 10
_RARITY = (0.6, 3.0)
_CALM_AT = (0.6, 0.85)
"""Shares of the steps at which unseen splats are calmed; the steps after it mend what that cost."""
_VEILED = 0.5
"""Share of the steps in which what the head hides has a random colour."""
_SIDES_FROM, _SIDES_EVERY = 0.3, 8
"""Share of the steps after which, and how often, surfaces are pulled shut, and made smooth, from random sides."""
_BLINKS_EVERY = 4
"""How often lids are shut."""
_SAVE_SECONDS = 20.0
_PEEK_EVERY, _PEEKS = 500, 4


@dataclass
class Progress:
    """What a watcher is told about a running training."""

    iteration: int
    iterations: int
    loss: float
    rate: float
    """Iterations per second."""
    seconds: float
    psnr: float | None = None
    """Of a few held-out frames, posed by landmarks, at half resolution: a first impression, measured now and then."""


Watcher = Callable[[Progress], None]


class Trainer:
    """One training: frames, poses, model and optimizer, and the step that moves them.

    Args:
        head: the person's head (identity baked in).
        clip, track: footage and its tracked poses.
        rows: training rows of the track.
        preset: how much and how.
        device: where to train (see `raster.device.choose`); poses stay in the host's memory.
    """

    def __init__(
        self, head: Head, clip: Clip, track: Track, rows: np.ndarray, preset: Preset,
        device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        torch.manual_seed(preset.seed)
        self.device = torch.device(device)
        self.head, self.track, self.preset, self.rows = head, track, preset, rows
        self.store = FrameStore(clip, track.frame, preset.size, preset.focus, self.device)
        width, height = self.store.sizes[0]
        self.camera = track.camera.resized(width, height)
        self.poses = PoseTable(track, head.expression_low, head.expression_high)
        self.tracked = self.poses.snapshot()
        network = self._network(track)
        self.seeded = self._seed(head, track)
        self.model = AvatarModel(head, self.seeded, network).to(self.device)
        for value in self.model.parameters.values():
            value.requires_grad_()
        seen = self.tracked[torch.from_numpy(rows)]
        self.optimizer = Optimizer(self.model, self.poses.row(self.middle), self.camera, seen)
        self.occlusion = Occlusion(self.model, self.tracked, self.camera)
        self.sides = Sides(self.model, self.occlusion, self.camera)
        self.outline = Outline(self.model, self.camera)
        film = (self.model, self.poses, self.store, rows)
        self.speckle = Speckle(self.model, self.camera, roughness(*film, reduced(self.camera), hair(self.model)))
        rough = roughness(*film, self.camera, self.speckle.skin)
        self.scratches = Scratches(self.speckle, self.model, self.camera, rough)
        self.blinks = Blinks(self.model, self.camera)
        turns = rotvec_from_matrix(seen.rotation @ seen.rotation[0].T)
        self.shares = np.cumsum(rarity(seen.expression.numpy(), turns.numpy()))
        self.cameras = [self.camera.resized(*size) for size in self.store.sizes]
        views = [camera_tensors(camera) for camera in self.cameras]
        self.views = [(intrinsics.to(self.device), view.to(self.device)) for intrinsics, view in views]
        self.iteration, self.seconds, self.bad = 0, 0.0, 0
        self.smooth = float("nan")
        self.history: list[tuple[int, float]] = []
        self.peeks: list[tuple[int, float]] = []
        self._peek_every = min(_PEEK_EVERY, max(preset.iterations // 500 * 50, 50))

    def _network(self, track: Track) -> BasisNetwork:
        pose = self.poses.pose[torch.from_numpy(self.rows)]
        scale = StateScale.fit(pose.expression, pose.rotation, pose.translation, pose.torso_rotation)
        return BasisNetwork(track.expression.shape[1], self.preset.bases, scale)

    def _seed(self, head: Head, track: Track) -> Splats:
        from ..heads.head import HeadModel

        chosen = self.rows[np.linspace(0, len(self.rows) - 1, min(_SEED_VIEWS, len(self.rows))).astype(int)]
        self.middle = int(chosen[len(chosen) // 2])
        body = HeadModel(head)
        views = []
        for row in chosen:
            p = self.poses.row(int(row))
            vertices = body.pose(p.expression, p.rotation, p.translation, p.torso_rotation, p.torso_translation)[
                0
            ].numpy()
            image = self.store.images[0][row].transpose(1, 2, 0)
            views.append(View(vertices, image, self.store.mattes[0][row, 0]))
        preset, screens = self.preset, [screen(view.vertices, self.camera) for view in views]
        white = eye_white(head, screens, [view.image for view in views])
        seeded = seed(head, views, self.camera, preset.splats, preset.fill, preset.bases, preset.seed, white)
        self.interior = interior_colors(head, seeded.triangle, seeded.barycentric, white)
        return seeded

    def shaped(self) -> tuple[Head, Splats]:
        """The head as training shaped it, and the splats as they are now, bound to that."""
        head = shaped(self.head, self.optimizer.head_tensors())
        return head, rebound(self.model.splats(self.seeded), self.head, head)

    def to_cpu(self) -> None:
        """After the last step: what evaluates, draws and saves finds everything in the host's memory."""
        self.model.to("cpu")
        self.store.to("cpu")

    # -- one step -----------------------------------------------------------------------------------------------

    def step(self) -> float:
        """One iteration; returns its loss."""
        preset, done = self.preset, self.iteration / self.preset.iterations
        if self.iteration in (int(share * preset.iterations) for share in _CALM_AT):
            calmed = calm(self.model, self.head, self.seeded, self.interior, self.poses, self.camera, self.rows)
            self.optimizer.limit(calmed.hidden, calmed.low, calmed.high)
        rng = np.random.default_rng([preset.seed, self.iteration])
        row = self._row()
        level = 1 if done < preset.coarse else 0
        refine, learn_bases = done >= preset.refine_from, done >= preset.bases_from and preset.bases > 0
        frame = self.store.get(row, level)
        if rng.uniform() < preset.random_background:
            frame = self.store.over(frame, torch.from_numpy(rng.uniform(size=3).astype(np.float32)))
        pose, leaf = self.poses.leaf(row) if refine else (self.poses.row(row), None)
        if refine:
            self.optimizer.relief.listen()
        pose = pose.to(self.device)
        weights = self._weights(pose, rng) if learn_bases else None
        delta = None
        if weights is not None:
            delta = self.model.delta(weights)
            assert delta is not None
            delta.retain_grad()
        veiled, shade = rng.uniform() < _VEILED, torch.from_numpy(rng.uniform(size=3).astype(np.float32))
        with self.occlusion.recolored(row, shade) if veiled else nullcontext() as hidden:
            loss = self._loss(pose, delta, frame, level)
            value = float(loss.detach())
            if not np.isfinite(value):
                return self._skip(row)
            loss.backward()
        if hidden is not None:
            self._let_be(hidden, delta)
        if done >= _SIDES_FROM and self.iteration % _SIDES_EVERY == 0:
            self.sides.pull(self.poses.row(row), rng)
            self.speckle.smooth(self.poses.row(row), delta, rng)
            self.scratches.smooth(self.poses.row(row), delta, rng)
            self.outline.hold(self.poses.row(row), delta, rng)
        if done >= _SIDES_FROM and self.iteration % _BLINKS_EVERY == _BLINKS_EVERY // 2:
            self.blinks.shut(self.poses.row(row), rng)
        rate = 0.06 ** max(0.0, (done - 0.1) / 0.9)
        self.optimizer.splats(pose.expression.detach(), rate)
        if delta is not None and weights is not None and delta.grad is not None:
            self.optimizer.bases(delta.grad[0], weights.detach()[0], rate)
        if leaf is not None:
            self.poses.step(row, leaf, max(rate, 0.1))
        self.iteration += 1
        self.bad = 0
        return value

    def _let_be(self, hidden: Tensor, delta: Tensor | None) -> None:
        """What had a colour that was not its own, [n] indices, learns nothing from this step."""
        for moved in self.model.parameters.values():
            if moved.grad is not None:
                moved.grad.index_fill_(0, hidden, 0)
        if delta is not None and delta.grad is not None:
            delta.grad.index_fill_(1, hidden, 0)

    def _row(self) -> int:
        """Epochs of as many draws as there are rows: systematic, so that every row comes as often as its share says."""
        count = len(self.rows)
        epoch, place = divmod(self.iteration, count)
        rng = np.random.default_rng([self.preset.seed, 1, epoch])
        drawn = np.searchsorted(self.shares, (np.arange(count) + rng.uniform()) / count).clip(0, count - 1)
        return int(self.rows[rng.permutation(drawn)[place]])

    def _weights(self, pose: Pose, rng: np.random.Generator) -> Tensor:
        network = self.model.network
        state = network.state(pose.expression, pose.rotation, pose.translation, pose.torso_rotation)
        noise = torch.from_numpy(rng.normal(size=state.shape).astype(np.float32)) * (2 * self.preset.noise)
        return network(state + noise.to(self.device))

    def _loss(self, pose: Pose, delta: Tensor | None, frame: Supervision, level: int) -> Tensor:
        (intrinsics, view), (width, height) = self.views[level], self.store.sizes[level]
        drawn = self.model.draw(self.model.vertices(pose), delta, intrinsics, view, width, height, frame.background)
        loss = ops.photometric_loss(drawn.color, frame.image, frame.weight, self.preset.ssim)
        if self.preset.alpha > 0:
            loss = loss + self.preset.alpha * (drawn.alpha - frame.matte).abs().mean()
        return loss

    def _skip(self, row: int) -> float:
        """A step without a finite loss changes nothing; many in a row end the training."""
        self.iteration += 1
        self.bad += 1
        if self.bad >= _BAD_STEPS:
            raise TrainingError(
                f"The loss was not finite in {self.bad} steps in a row", where=f"iteration {self.iteration}, row {row}",
                fix="Run again with a lower preset, or report the clip",
            )  # fmt: skip
        return float("nan")

    # -- the run ------------------------------------------------------------------------------------------------

    def run(self, directory: Path, watch: Watcher | None = None) -> None:
        """Train to the end, saving on the way; resumes from `directory` if it holds this run's checkpoint."""
        if not checkpoint.restore(directory, self) or not (directory / checkpoint.START).exists():
            checkpoint.begin(directory, self)
        started = saved = time.monotonic()
        before, first = self.seconds, self.iteration
        whole, seen = True, self.peeks[-1][1] if self.peeks else None
        try:
            while self.iteration < self.preset.iterations:
                with ops.native_threads():
                    whole = False
                    value = self.step()
                    whole = True
                if np.isfinite(value):
                    self.smooth = value if not np.isfinite(self.smooth) else 0.98 * self.smooth + 0.02 * value
                now = time.monotonic()
                self.seconds = before + now - started
                if self.iteration % 50 == 0:
                    self.history.append((self.iteration, self.smooth))
                    if self.iteration % self._peek_every == 0 and (seen := self._peek()) is not None:
                        self.peeks.append((self.iteration, seen))
                    if watch is not None:
                        rate = (self.iteration - first) / max(now - started, 1e-6)
                        done = (self.iteration, self.preset.iterations, self.smooth, rate, self.seconds, seen)
                        watch(Progress(*done))
                if now - saved > _SAVE_SECONDS:
                    checkpoint.save(directory, self)
                    saved = time.monotonic()
        finally:
            if whole:  # a step that was interrupted half-way is not a state to continue from; the last one on disk is
                checkpoint.save(directory, self)

    @torch.no_grad()
    def _peek(self) -> float | None:
        """PSNR of a few rows that are not trained on, as landmarks posed them."""
        held = np.setdiff1d(np.arange(len(self.store)), self.rows)
        if not len(held):
            return None
        camera = self.cameras[1]
        found = []
        for row in held[:: max(1, len(held) // _PEEKS)]:
            frame = self.store.get(int(row), 1)
            color = self.model.render(self.tracked[int(row)], camera, frame.background).color.clamp(0, 1)
            found.append(metrics.psnr(color, frame.image))
        return float(np.mean(found))


def rarity(*states: np.ndarray) -> np.ndarray:
    """[T] shares summing to 1: rows with few neighbours in some state [T, E] come more often.

    In expression these are blinks and wide mouths, in the head's turn the sides that the film hardly shows.
    """
    share = np.ones(len(states[0]))
    near = min(8, len(share) - 1)
    for state in states if near >= 1 else ():
        distance = KDTree(state).query(state, near + 1)[0][:, -1]
        share *= (distance / max(float(np.median(distance)), 1e-6)).clip(*_RARITY)
    return share / share.sum()
