"""CPU benchmark: our backend against the torch reference and against a plain C++ loop, and a whole training step.

    python scripts/bench.py [--json FILE] [--gate] [--threads 2]

Times are medians in milliseconds. Ratios compare code that ran in turn in this one process; `--gate` fails if one of
those against the plain loop with one thread each fell under 70 % of scripts/bench_baseline.json.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from avatars import files  # noqa: E402
from avatars.raster import native, ops, reference  # noqa: E402
from avatars.splats.binding import Binding, bind_reference, ellipsoids  # noqa: E402

# Called with lists of tensors, which a type checker cannot count.
render_bound: Any = ops.render_bound
rasterize: Any = ops.rasterize
rasterize_reference: Any = reference.rasterize
bind: Any = bind_reference

BASELINE = ROOT / "scripts" / "bench_baseline.json"
GATED = ("forward_vs_naive_one_thread", "forward_backward_vs_naive_one_thread")
"""One thread against one: a neighbour's load slows both alike."""


def ellipsoid(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A head-sized shell: vertices [V, 3] m and faces [F, 3]."""
    theta, phi = np.pi * (np.arange(rows) + 0.5) / rows, 2 * np.pi * np.arange(2 * rows) / (2 * rows)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    vertices = np.stack([0.075 * np.sin(t) * np.sin(p), 0.1 * np.cos(t), 0.09 * np.sin(t) * np.cos(p)], -1).reshape(
        -1, 3
    )
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(2 * rows), indexing="ij")
    a, b, k = i * 2 * rows + j, (i + 1) * 2 * rows + j, (j + 1) % (2 * rows)
    c, d = i * 2 * rows + k, (i + 1) * 2 * rows + k
    return vertices, np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])


class Scene:
    """`count` splats on the shell, with boxes of 3 to 6 px half-width where alpha falls under 1/255."""

    def __init__(self, count: int, size: int) -> None:
        rng = np.random.default_rng(0)
        vertices, faces = ellipsoid(56)
        corners = vertices[faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        triangle = rng.choice(len(faces), count, p=area / area.sum())
        extent = 0.001
        self.size, self.count = size, count
        self.binding = Binding.build(vertices, faces, triangle, rng.dirichlet([1, 1, 1], count), np.full(count, extent))
        focal, distance = size * 2.2, 0.5
        opacity = rng.uniform(0.3, 0.99, count)
        radius = rng.uniform(3, 6, count)[:, None] * np.stack([np.ones(count), rng.uniform(0.5, 1, count)], 1)
        sigma = (
            np.sqrt(np.maximum((radius / np.sqrt(2 * np.log(255 * opacity))[:, None]) ** 2 - 0.3, 0.1))
            / focal
            * distance
        )
        scale = np.concatenate([sigma, 0.3 * sigma[:, 1:]], 1) / extent

        def tensor(x: Any) -> Tensor:
            return torch.tensor(np.asarray(x), dtype=torch.float32)

        pose = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))[None]
        pose[0, 2, 3] = distance
        self.cameras = (tensor([[focal, focal, size / 2, size / 2]]), pose)
        self.vertices = tensor(vertices)[None]
        self.params = {
            "mean": tensor(rng.normal(0, 0.3, (count, 3))),
            "quaternion": tensor(rng.normal([1, 0, 0, 0], 0.2, (count, 4))),
            "log_scale": tensor(np.log(scale)),
            "logit_opacity": tensor(np.log(opacity / (1 - opacity))),
            "color": tensor(rng.random((count, 3))),
        }
        self.delta = torch.zeros(1, count, 9)
        self.background = torch.rand(1, 3, size, size)
        self.gradient = torch.randn(1, 3, size, size)

    def leaves(self) -> list[Tensor]:
        """Vertices, parameters and delta that want gradients."""
        return [t.clone().requires_grad_() for t in (self.vertices, *self.params.values(), self.delta)]

    def draw(self, x: list[Tensor]) -> ops.Rendered:
        """Bound splats by the native backend."""
        return render_bound(x[0], self.binding, *x[1:7], *self.cameras, self.size, self.size, self.background)

    def free(self) -> list[Tensor]:
        """The same Gaussians as means, quaternions, scales, opacities and colours in the world."""
        from avatars.geometry import quaternion_from_matrix

        with torch.no_grad():
            means, shape, _, opacity, color = bind(self.vertices, self.binding, *self.params.values(), self.delta)
            turn, scale = ellipsoids(shape)
            tensors = (means, quaternion_from_matrix(turn), scale, opacity, color)
            return [t.contiguous().requires_grad_() for t in tensors]


def milliseconds(work: Callable[[], object], rounds: int) -> float:
    """Median time of one call."""
    for _ in range(min(3, rounds)):
        work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def forward_and_backward(scene: Scene, rounds: int) -> tuple[float, float]:
    """Milliseconds of a forward pass, and of a forward and a backward pass, binding and projection included."""
    x = scene.leaves()

    def forward() -> None:
        with torch.no_grad():
            scene.draw(x)

    return milliseconds(forward, rounds), milliseconds(
        lambda: torch.autograd.grad(scene.draw(x).color, x, scene.gradient), rounds
    )


def naive_library(folder: Path) -> ctypes.CDLL:
    """The plain loop, compiled here."""
    target = folder / "naive.so"
    command = [*shlex.split(os.environ.get("CXX", "c++")), "-std=c++17", "-O3", "-march=native", f"-I{ROOT / 'cuda'}"]
    subprocess.run([*command, "-shared", "-fPIC", str(ROOT / "scripts/bench_naive.cpp"), "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


def against_naive(scene: Scene, rounds: int) -> dict[str, float]:
    """How many times as fast as the plain loop, forward and forward + backward, on free splats."""
    x, size = scene.free(), scene.size
    grads, image = [torch.zeros_like(t) for t in x], torch.empty(3, size, size)

    def ours(backward: bool) -> Tensor:
        drawn = rasterize(*x, *scene.cameras, size, size).color
        return torch.autograd.grad(drawn, x, scene.gradient)[0] if backward else drawn

    with tempfile.TemporaryDirectory() as folder:
        library = naive_library(Path(folder))

        def theirs(backward: bool) -> None:
            inputs = (*x, *scene.cameras, image)
            gradient = ctypes.c_void_p(scene.gradient.data_ptr() if backward else None)
            pointers = [ctypes.c_void_p(t.data_ptr()) for t in inputs]
            library.naive(scene.count, size, size, *pointers, gradient, *[ctypes.c_void_p(g.data_ptr()) for g in grads])

        theirs(True)
        if (image - ours(False)[0]).abs().max() > 1e-4 or (grads[0] - ours(True)).abs().max() > 1e-3 * grads[
            0
        ].abs().max():
            raise SystemExit("The plain loop and the native backend disagree")
        out, threads = {}, torch.get_num_threads()
        for name, backward in (("forward", False), ("forward_backward", True)):
            plain = milliseconds(lambda b=backward: theirs(b), rounds)
            out[f"{name}_vs_naive"] = plain / milliseconds(lambda b=backward: ours(b), rounds)
            torch.set_num_threads(1)
            plain = milliseconds(lambda b=backward: theirs(b), rounds)
            out[f"{name}_vs_naive_one_thread"] = plain / milliseconds(lambda b=backward: ours(b), rounds)
            torch.set_num_threads(threads)
        return out


def against_reference(rounds: int) -> dict[str, float]:
    """How many times as fast as the torch reference on a small scene (200 splats, 96 x 96)."""
    scene = Scene(200, 96)
    x = scene.free()

    def run(backend: str, backward: bool) -> None:
        if backend == "reference":
            color = rasterize_reference(*x, *scene.cameras, 96, 96)[0]
        else:
            color = rasterize(*x, *scene.cameras, 96, 96).color
        if backward:
            torch.autograd.grad(color, x, scene.gradient)

    names = ("forward_vs_reference", "forward_backward_vs_reference")
    return {
        name: milliseconds(lambda b=b: run("reference", b), 3) / milliseconds(lambda b=b: run("cpu", b), rounds)
        for name, b in zip(names, (False, True), strict=True)
    }


class TimedLibrary:
    """The native library with the time spent in it."""

    def __init__(self) -> None:
        self.inner, self.seconds = native.library(), 0.0

    def __getattr__(self, name: str) -> Callable[..., object]:
        function = getattr(self.inner, name)

        def call(*arguments: object) -> object:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.perf_counter() - start

        return call


def training_step(scene: Scene, rounds: int, k: int = 20) -> dict[str, float]:
    """Milliseconds of combine, draw, loss, backward and Adam on everything, and the share of it in native code."""
    x = scene.leaves()[:6]
    bases, weights = torch.randn(scene.count, 9, k) * 1e-3, torch.randn(1, k).requires_grad_()
    moments = [(torch.zeros_like(t), torch.zeros_like(t)) for t in (*x, bases)]
    target, mask = torch.rand(1, 3, scene.size, scene.size), torch.rand(1, 1, scene.size, scene.size)

    def step() -> None:
        delta = ops.combine_bases(bases, weights)
        delta.retain_grad()
        loss = ops.photometric_loss(scene.draw([*x, delta]).color, target, mask, 0.2)
        loss.backward()
        for t, (m, v) in zip(x, moments, strict=False):
            columns = t.shape[-1] if t.ndim > 1 else 1
            assert t.grad is not None
            param, grad, first, second = (u.reshape(-1, columns) for u in (t.detach(), t.grad, m, v))
            ops.adam_(param, grad, first, second, torch.zeros(columns), 1)
            t.grad = None
        assert delta.grad is not None
        first, second = moments[-1]
        ops.adam_outer_(bases, first, second, delta.grad[0], weights.detach()[0], torch.zeros(9), 1)

    timed, plain = TimedLibrary(), native.library
    with ops.native_threads():
        total = milliseconds(step, rounds)
        native.library = lambda: timed
        try:
            start = time.perf_counter()
            for _ in range(rounds):
                step()
            share = timed.seconds / (time.perf_counter() - start)
        finally:
            native.library = plain
    return {f"step_ms_{scene.count // 1000}k_{scene.size}": total, f"step_native_share_{scene.size}": share}


def measure(threads: int, rounds: int) -> dict[str, float]:
    """Every figure."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    figures: dict[str, float] = {"threads": threads, "lanes": native.library().av_lanes()}
    for count, size in ((20_000, 512), (20_000, 256), (12_000, 512), (12_000, 256)):
        scene = Scene(count, size)
        name = f"{count // 1000}k_{size}"
        figures[f"forward_ms_{name}"], figures[f"forward_backward_ms_{name}"] = forward_and_backward(scene, rounds)
        if count == 12_000:
            figures |= training_step(scene, rounds)
    figures |= against_naive(Scene(20_000, 512), rounds)
    return figures | against_reference(rounds)


def main() -> None:
    """Measure, print, write, gate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--gate", action="store_true", help="fail if a ratio fell under 70 %% of the committed baseline"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    figures = {name: round(value, 4) for name, value in measure(options.threads, options.rounds).items()}
    for name, value in figures.items():
        print(f"{name:32s} {value:10.3f}")
    if options.json:
        files.write_json(options.json, figures)
    if options.gate:
        baseline = files.read_json(BASELINE)
        slow = [name for name in GATED if figures[name] < 0.7 * baseline[name]]
        if slow:
            raise SystemExit(f"Slower than the baseline: {', '.join(slow)}")


if __name__ == "__main__":
    main()
