"""Scenes, clocks and counted floors of scripts/gpu_check.py."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

import bench
import torch
from torch import Tensor

from avatars.raster import cuda, ops

BASES = 20
RATES = (0.02, 0.006, 0.012, 0.03, 0.008)
"""Of the splats' tensors in a step, as training has them."""
_render_bound: Any = ops.render_bound


class Case:
    """`count` splats of 3 to 6 px on a head-sized shell, seen in `batch` slightly different poses, size x size px."""

    def __init__(self, count: int, size: int, batch: int, device: torch.device) -> None:
        scene = bench.Scene(count, size)
        g = torch.Generator().manual_seed(1)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=g)

        def here(value: Tensor) -> Tensor:
            return value.contiguous().to(device)

        self.count, self.size, self.batch, self.device = count, size, batch, device
        self.binding = scene.binding
        shift = normal(batch, 1, 3) * 0.002
        self.vertices = here(scene.vertices + shift)
        self.params = {name: here(value) for name, value in scene.params.items()}
        self.cameras = tuple(here(c.expand(batch, *c.shape[1:])) for c in scene.cameras)
        self.background, self.target = (here(torch.rand(batch, 3, size, size, generator=g)) for _ in range(2))
        self.gradient = here(normal(batch, 3, size, size))
        self.mask = here(torch.rand(batch, 1, size, size, generator=g))
        self.bases, self.weights = here(normal(count, 9, BASES) * 1e-3), here(normal(batch, BASES))
        self.delta = torch.zeros(batch, count, 9, device=device)

    def leaves(self) -> list[Tensor]:
        """Copies of vertices, splats and delta that want gradients."""
        tensors = (self.vertices, *self.params.values(), self.delta)
        return [t.detach().clone().requires_grad_() for t in tensors]

    def draw(self, x: list[Tensor]) -> ops.Rendered:
        """Bind, project, blend."""
        return _render_bound(x[0], self.binding, *x[1:7], *self.cameras, self.size, self.size, self.background)

    def forward(self) -> Callable[[], Tensor]:
        """A drawing without gradients."""
        x = [self.vertices, *self.params.values(), self.delta]

        def run() -> Tensor:
            with torch.no_grad():
                return self.draw(x).color

        return run

    def forward_backward(self) -> Callable[[], tuple[Tensor, ...]]:
        """A drawing and the gradients of everything."""
        x = self.leaves()
        return lambda: torch.autograd.grad(self.draw(x).color, x, self.gradient)

    def step(self) -> Callable[[], Tensor]:
        """A training step: bases, drawing, L1 + D-SSIM, gradients, Adam on splats, bases and weights; CUDA only."""
        x = self.leaves()[:6]
        weights, bases = self.weights.clone(), self.bases.clone()
        moments = [(torch.zeros_like(t), torch.zeros_like(t)) for t in (*x[1:], weights, bases)]
        columns = [t.shape[-1] if t.ndim > 1 else 1 for t in x[1:]]
        rates = [torch.full((c,), r, device=self.device) for c, r in zip(columns, RATES, strict=True)]
        weight_rate, basis_rate = (torch.full((c,), r, device=self.device) for c, r in ((BASES, 1e-3), (9, 2e-3)))
        # The weights stand for the network; their gradient comes last, and their Adam with it.
        adam, network = (cuda.CountingAdam(self.device, 0.9, 0.99, 1e-7) for _ in range(2))

        def run() -> Tensor:
            delta = ops.combine_bases(bases, weights).requires_grad_()
            loss = ops.photometric_loss(self.draw([*x, delta]).color, self.target, self.mask, 0.2)
            _, *grads, g_delta = torch.autograd.grad(loss, [*x, delta])  # the vertices' goes to the frame's pose
            pairs = zip(x[1:], grads, moments, rates, strict=False)
            adam.step([(p.detach(), g.contiguous(), m, v, lr) for p, g, (m, v), lr in pairs])
            pulled = adam.bases(bases, *moments[-1], g_delta, weights, basis_rate)
            network.step([(weights, pulled, *moments[-2], weight_rate)])
            return loss.detach()

        return run

    def free(self) -> list[Tensor]:
        """The same Gaussians in the world: means, quats, scales, opacities, colors, with a leading B."""
        from avatars.geometry import quaternion_from_matrix
        from avatars.splats.binding import bind_reference, ellipsoids

        bind: Any = bind_reference
        with torch.no_grad():
            params = [value.cpu() for value in self.params.values()]
            means, shape, _, opacity, color = bind(self.vertices.cpu(), self.binding, *params, self.delta.cpu())
            turn, scale = ellipsoids(shape)
            tensors = (means, quaternion_from_matrix(turn), scale, opacity, color)
            return [t.contiguous().to(self.device) for t in tensors]


def milliseconds(work: Callable[[], object], device: torch.device, budget: float = 0.25) -> float:
    """Median time of one call: by events around groups of calls on a CUDA device, by the clock elsewhere.

    Args:
        budget: seconds to spend, besides the warm-up.
    """
    if device.type != "cuda":
        return bench.milliseconds(work, 3)
    for _ in range(3):
        work()
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    once = max(time.perf_counter() - start, 2e-5)
    inner = max(1, min(20, int(budget / 12 / once)))
    rounds = max(3, min(40, int(budget / (inner * once))))
    times = []
    for _ in range(rounds):
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        for _ in range(inner):
            work()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) / inner)
    return statistics.median(times)


def ceilings(device: torch.device) -> dict[str, float]:
    """What the device can do: warp instructions per second (multiprocessors x 4 x top clock) and copied bytes/s."""
    query = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits", "-i", str(device.index or 0)]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout
        clock = float(said.split()[0]) * 1e6
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        clock = 1.75e9
    source = torch.empty(1 << 28, dtype=torch.float32, device=device).normal_()
    target = torch.empty_like(source)
    seconds = milliseconds(lambda: target.copy_(source), device) * 1e-3
    units = torch.cuda.get_device_properties(device).multi_processor_count
    return {"clock_hz": clock, "instructions": units * 4 * clock, "bytes": 2 * 4 * source.numel() / seconds}


# Counted on 50 k splats of 3 to 6 px at 512 x 512, tiles of 16 px: 226 k evaluations of 8 x 4 px by a warp, 40
# instructions each forward and 111 backward, and what staging, culling, sorting and projection add. Per splat of
# every view, since these splats have the same size in pixels at any resolution.
_INSTRUCTIONS = {"forward": 4.52 * 40 + 40 + 12, "backward": 4.52 * 111 + 132 + 20}
_SPLAT_BYTES = {"forward": 124 + 110, "backward": 362}
_PIXEL_BYTES = {"forward": 16, "backward": 32}
_LAUNCHES = {"forward": 5, "backward": 5}
_GAP = 1e-6


def floor_ms(count: int, size: int, batch: int, limits: dict[str, float], backward: bool) -> float:
    """Least time of a drawing, or of it and its gradients: the larger of issuing and moving bytes, and launch gaps."""
    total = 0.0
    for part in ("forward", "backward") if backward else ("forward",):
        issue = count * batch * _INSTRUCTIONS[part] / limits["instructions"]
        moved = batch * (count * _SPLAT_BYTES[part] + size * size * _PIXEL_BYTES[part]) / limits["bytes"]
        total += max(issue, moved) + _LAUNCHES[part] * _GAP
    return total * 1e3


COLUMNS = (
    ("count", "splats", 8, "d"), ("size", "px", 5, "d"), ("batch", "B", 3, "d"),
    ("forward_eager_ms", "fwd eager", 10, ".3f"), ("forward_ms", "fwd graph", 10, ".3f"),
    ("forward_floor_share", "of floor", 9, ".0%"),
    ("forward_backward_eager_ms", "f+b eager", 10, ".3f"), ("forward_backward_ms", "f+b graph", 10, ".3f"),
    ("forward_backward_floor_share", "of floor", 9, ".0%"),
    ("step_eager_ms", "step eager", 11, ".3f"), ("step_ms", "step graph", 11, ".3f"),
    ("gsplat_forward_ms", "gsplat fwd", 11, ".3f"), ("gsplat_forward_backward_ms", "gsplat f+b", 11, ".3f"),
    ("speedup", "times", 6, ".1f"), ("speedup_eager", "eager", 6, ".1f"),
)  # fmt: skip
"""Key, heading, width and format of the table's columns."""


def table(rows: list[dict[str, float]]) -> str:
    """One line per configuration; a dash where something was not measured."""
    lines = ["".join(f"{heading:>{width}}" for _, heading, width, _ in COLUMNS)]
    for row in rows:
        cells = []
        for key, _, width, form in COLUMNS:
            value = row.get(key)
            cells.append(f"{'-' if value is None else format(value, form):>{width}}")
        lines.append("".join(cells))
    return "\n".join(lines)
