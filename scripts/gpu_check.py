"""Everything that must run whenever a GPU is at hand, in one command and under eight minutes.

    python scripts/gpu_check.py [--json FILE] [--quick] [--avatar X.avatar --clip FOLDER]

Builds the native libraries, compares the CUDA backend with the CPU's and with gsplat (where it can be imported), looks
for differences between two runs, runs small scenes under compute-sanitizer (where there is one), and times drawing,
gradients and whole training steps, eager and as CUDA graphs, beside gsplat. Prints one table, writes one JSON to
scripts/benchmarks/. Needs torch, numpy, safetensors and this checkout; exit code 1 if anything is wrong.

With an avatar and the captured clip that it was made from it also trains on them for a minute.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

SPLATS, SIZES, BATCHES = (10_000, 20_000, 60_000, 200_000), (256, 512, 1024), (1, 16)
LIMIT = 440.0
"""Seconds after which nothing more is timed."""
SANITIZER_SECONDS = 75
IMAGE_STEP = 1e-5
BOUNDS = {
    "pixels": 5e-3, "pixels_off": 5e-3, "free_pixels": 5e-3, "free_pixels_off": 5e-3, "gradients": 1e-3,
    "free_gradients": 1e-3, "loss": 1e-4, "bases": 1e-4,
}  # fmt: skip
"""Largest difference from the CPU backend: of pixels, and of gradients relative to the largest; `_off` is the share of
pixel values further off than IMAGE_STEP. In a large scene two splats of nearly equal depth may be drawn in the other
order, or an alpha lie on the other side of 1/255: under the emulator an avatar of 12,000 splats has 0.07 % of its
values off, the worst by 5e-4, and gradients by 3e-4."""
GSPLAT_IMAGE_BOUND, GSPLAT_COSINE = 5e-3, 0.999


def build() -> dict[str, Any]:
    """Build the libraries and kernels in place."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"The libraries do not build:\n{(done.stdout + done.stderr)[-3000:]}")
    return {"build_seconds": time.perf_counter() - start}


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    from avatars.raster import cuda_driver
    from avatars.raster import device as devices

    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name, "multiprocessors": properties.multi_processor_count,
        "memory_gb": round(properties.total_memory / 1e9, 1), "driver_cuda": cuda_driver.driver_version(),
        "kernels": devices.found(), "torch": torch.__version__, "python": platform.python_version(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }  # fmt: skip


# -- correctness ----------------------------------------------------------------------------------------------------


def _apart(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    ours, theirs = ours.double().cpu(), theirs.double().cpu()
    if not ours.isfinite().all():
        return float("inf")
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-12))


def against_cpu(device: torch.device, scenes: tuple[tuple[int, int, int], ...]) -> dict[str, float]:
    """Largest differences from the CPU backend over (splats, px, batch) scenes: pictures, gradients, loss, bases."""
    from gpu_cases import Case

    from avatars.raster import ops

    rasterize: Any = ops.rasterize
    found = dict.fromkeys(BOUNDS, 0.0)

    def note(name: str, value: float) -> None:
        found[name] = value if value != value else max(found[name], value)  # NaN stays

    def note_picture(name: str, a: Tensor, b: Tensor) -> None:
        apart = (a.detach().cpu() - b.detach()).abs()
        note(name, float(apart.max()))
        note(f"{name}_off", float((apart > IMAGE_STEP).float().mean()))

    for scene in scenes:
        here, there = Case(*scene, device), Case(*scene, torch.device("cpu"))
        drawn, grads = [], []
        for case in (here, there):
            x = case.leaves()
            out = case.draw(x)
            value = (out.color * case.gradient).sum() + (out.alpha + out.depth).square().mean()
            drawn.append((out.color, out.alpha, out.depth))
            grads.append(torch.autograd.grad(value, x))
        for a, b in zip(*drawn, strict=True):
            note_picture("pixels", a, b)
        for a, b in zip(*grads, strict=True):
            note("gradients", _apart(a, b))
        free = [[t.requires_grad_() for t in case.free()] for case in (here, there)]
        pictures = [
            rasterize(*x, *case.cameras, case.size, case.size).color
            for x, case in zip(free, (here, there), strict=True)
        ]
        note_picture("free_pixels", *pictures)
        pulls = [torch.autograd.grad(p, x, c.gradient) for p, x, c in zip(pictures, free, (here, there), strict=True)]
        for a, b in zip(*pulls, strict=True):
            note("free_gradients", _apart(a, b))
        losses = []
        for case, (color, *_) in zip((here, there), drawn, strict=True):
            image = color.detach().requires_grad_()
            loss = ops.photometric_loss(image, case.target, case.mask, 0.2)
            losses.append((loss.detach(), torch.autograd.grad(loss, image)[0]))
        for a, b in zip(*losses, strict=True):
            note("loss", _apart(a, b))
        sums = []
        for case in (here, there):
            x = [case.bases.clone().requires_grad_(), case.weights.clone().requires_grad_()]
            delta = ops.combine_bases(x[0], x[1])
            sums.append((delta.detach(), *torch.autograd.grad((delta * delta).sum(), x)))
        for a, b in zip(*sums, strict=True):
            note("bases", _apart(a, b))
    return found


def differences(found: dict[str, float]) -> list[str]:
    """What of `against_cpu` is over its bound."""
    return [
        f"{k}: {v:.1e} from the CPU backend, at most {BOUNDS[k]:.0e}" for k, v in found.items() if not v <= BOUNDS[k]
    ]


@cache
def gsplat() -> tuple[Any, str]:
    """gsplat's rasterization, or None and why; its first call compiles it."""
    if importlib.util.find_spec("gsplat") is None:
        return None, "gsplat is not installed"
    try:
        rendering = importlib.import_module("gsplat.rendering")
        one = torch.ones(1, 1, 3, device="cuda")
        pose, k = torch.eye(4, device="cuda"), torch.eye(3, device="cuda")
        rendering.rasterization(
            one, torch.ones(1, 1, 4, device="cuda"), one, one[..., 0], one, pose[None, None], k[None, None], 16, 16
        )
    except Exception as error:  # whatever its compiler or its kernels say, our own check goes on
        return None, f"gsplat does not run here: {type(error).__name__}: {str(error)[:300]}"
    return rendering.rasterization, "gsplat " + metadata.version("gsplat")


def gsplat_draw(rasterization: Any, case: Any, x: list[Tensor]) -> Tensor:
    """The same picture [B, 3, H, W] by gsplat: B scenes with one camera each, in one call."""
    fx, fy, cx, cy = case.cameras[0].unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    k = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one], -1).reshape(-1, 1, 3, 3)
    picture = rasterization(
        *x, case.cameras[1][:, None], k, case.size, case.size, near_plane=0.01, eps2d=0.3,
        rasterize_mode="antialiased", packed=False,
    )[0]  # fmt: skip
    return picture[:, 0].permute(0, 3, 1, 2)


def against_gsplat(device: torch.device, scene: tuple[int, int, int] = (20_000, 512, 1)) -> dict[str, float]:
    """Largest pixel difference and least cosine between gradients, on the same Gaussians."""
    from gpu_cases import Case

    from avatars.raster import ops

    rasterize: Any = ops.rasterize
    rasterization, _ = gsplat()
    if rasterization is None:
        return {}
    case = Case(*scene, device)
    ours, theirs = ([t.clone().requires_grad_() for t in case.free()] for _ in range(2))
    a, b = rasterize(*ours, *case.cameras, case.size, case.size).color, gsplat_draw(rasterization, case, theirs)
    grads = torch.autograd.grad(a, ours, case.gradient), torch.autograd.grad(b, theirs, case.gradient)
    pairs = [(p.flatten().double(), q.flatten().double()) for p, q in zip(*grads, strict=True)]
    cosine = [float(torch.cosine_similarity(p, q, 0)) for p, q in pairs]
    return {"pixels": float((a - b).abs().max()), "mean_pixels": float((a - b).abs().mean()), "cosine": min(cosine)}


def determinism(device: torch.device, scene: tuple[int, int, int] = (20_000, 512, 2)) -> list[str]:
    """What differs between two runs, or between a graph and eager calls; bit for bit."""
    from gpu_cases import Case

    from avatars.raster.cuda_graph import Captured

    case = Case(*scene, device)
    wrong = []

    def everything() -> list[Tensor]:
        x = case.leaves()
        out = case.draw(x)
        return [out.color, out.alpha, out.depth, *torch.autograd.grad(out.color, x, case.gradient)]

    first = everything()
    for _ in range(3):
        if not all(torch.equal(a, b) for a, b in zip(first, everything(), strict=True)):
            wrong.append("two eager runs differ")
            break
    if device.type != "cuda":
        return wrong
    captured = Captured(lambda inputs: everything(), {"vertices": case.vertices})
    for _ in range(2):
        captured.step()
        if not all(torch.equal(a, b) for a, b in zip(first, captured.settle(), strict=True)):
            wrong.append("a graph and an eager run differ")
            break

    def losses() -> list[float]:
        run = case.step()
        return [float(run()) for _ in range(5)]

    if losses() != losses():
        wrong.append("two trainings of five steps differ")
    return wrong


def small_scenes(device: torch.device) -> None:
    """Every kernel once, small and odd: what runs under compute-sanitizer."""
    from gpu_cases import Case

    found = against_cpu(device, ((300, 48, 2), (150, 37, 9)))
    problems = differences(found)
    if device.type == "cuda":
        run = Case(200, 40, 3, device).step()
        found["step"] = max(float(run()) for _ in range(2))
    if problems:
        raise SystemExit("\n".join(problems))


def sanitizer() -> dict[str, str]:
    """What memcheck and racecheck say of small scenes."""
    tool = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if tool is None:
        return {"compute-sanitizer": "not on this machine"}
    said = {}
    for check in ("memcheck", "racecheck"):
        command = [tool, "--tool", check, "--error-exitcode", "9", sys.executable, __file__, "--small-scenes"]
        environment = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=SANITIZER_SECONDS, check=False, env=environment
            )
        except subprocess.TimeoutExpired:
            said[check] = f"not finished in {SANITIZER_SECONDS} s"
            continue
        words = (done.stdout + done.stderr).strip().splitlines()
        clean = done.returncode == 0
        said[check] = "clean" if clean else f"exit code {done.returncode}: " + " | ".join(words[-6:])
    return said


# -- timing ---------------------------------------------------------------------------------------------------------


def timings(
    device: torch.device, count: int, size: int, batch: int, limits: dict[str, float] | None, budget: float
) -> dict[str, float]:
    """One row of the table."""
    from gpu_cases import Case, floor_ms, milliseconds

    case = Case(count, size, batch, device)
    row: dict[str, float] = {"count": count, "size": size, "batch": batch}
    works = {"forward": case.forward(), "forward_backward": case.forward_backward()}
    if device.type == "cuda":
        works["step"] = case.step()
    for name, work in works.items():
        row[f"{name}_eager_ms"] = milliseconds(work, device, budget)
        if device.type == "cuda":
            row[f"{name}_ms"] = _captured_ms(case, work, budget)
    if limits is not None:
        for name in ("forward", "forward_backward"):
            floor = floor_ms(count, size, batch, limits, name != "forward")
            row[f"{name}_floor_share"] = floor / row[f"{name}_ms"]
    rasterization = gsplat()[0] if device.type == "cuda" else None
    if rasterization is not None:
        row |= _gsplat_ms(rasterization, case, budget)
        row["speedup"] = row["gsplat_forward_backward_ms"] / row["forward_backward_ms"]
    return row


def _captured_ms(case: Any, work: Any, budget: float) -> float:
    """A replay with its note about overflow, which is what a user's step costs the device."""
    from gpu_cases import milliseconds

    from avatars.raster.cuda_graph import Captured

    captured = Captured(lambda inputs: work(), {"vertices": case.vertices})
    captured.step()
    captured.settle()
    return milliseconds(lambda: captured.launch({}), case.device, budget)


def _gsplat_ms(rasterization: Any, case: Any, budget: float) -> dict[str, float]:
    from gpu_cases import milliseconds

    x = [t.requires_grad_() for t in case.free()]

    def forward() -> None:
        with torch.no_grad():
            gsplat_draw(rasterization, case, x)

    def both() -> None:
        torch.autograd.grad(gsplat_draw(rasterization, case, x), x, case.gradient)

    return {
        "gsplat_forward_ms": milliseconds(forward, case.device, budget),
        "gsplat_forward_backward_ms": milliseconds(both, case.device, budget),
    }


def train(avatar_path: Path, clip_path: Path, device: torch.device, seconds: float = 60.0) -> dict[str, float]:
    """A training on a real clip, from an avatar's head and track: steps per second, and PSNR on frames it saw."""
    from avatars.capture.store import load_clip
    from avatars.splats.avatar import Avatar
    from avatars.training import metrics
    from avatars.training.loop import Trainer
    from avatars.training.presets import load_preset

    avatar, clip = Avatar.load(avatar_path), load_clip(clip_path)
    rows = np.arange(len(avatar.track.frame))
    trainer = Trainer(avatar.head, clip, avatar.track, rows, load_preset("fast"), device=device)
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds and trainer.iteration < trainer.preset.iterations:
        trainer.step()
        steps += 1
    spent = time.perf_counter() - start
    with torch.no_grad():
        found = []
        for row in rows[:: max(1, len(rows) // 10)]:
            frame = trainer.store.get(int(row), 0)
            drawn = trainer.model.render(trainer.poses.row(int(row)), trainer.camera, frame.background)
            found.append(metrics.psnr(drawn.color.clamp(0, 1), frame.image))
    return {"steps_per_second": steps / spent, "steps": steps, "psnr_train": float(np.mean(found))}


# -- all of it ------------------------------------------------------------------------------------------------------


def require_device() -> torch.device:
    """The CUDA device, or an end with one clear sentence."""
    from avatars.errors import AvatarError
    from avatars.raster import device

    try:
        return device.choose("cuda")
    except AvatarError as error:
        raise SystemExit(f"This check needs a CUDA GPU. {error}") from error


def correctness(device: torch.device, quick: bool) -> tuple[dict[str, Any], list[str]]:
    """All comparisons, and what is wrong."""
    found = against_cpu(device, ((2000, 255, 2),) if quick else ((2000, 255, 2), (20_000, 512, 1), (3000, 333, 9)))
    problems = differences(found)
    theirs = against_gsplat(device)
    if theirs and not (theirs["pixels"] <= GSPLAT_IMAGE_BOUND and theirs["cosine"] >= GSPLAT_COSINE):
        problems.append(f"gsplat draws something else: {theirs}")
    problems += determinism(device)
    checked = {} if quick else sanitizer()
    problems += [f"{tool}: {said}" for tool, said in checked.items() if said.startswith("exit code")]
    return {"against_cpu": found, "against_gsplat": theirs or gsplat()[1], "sanitizer": checked}, problems


def main() -> None:
    """Run everything, tell, write."""
    start = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write; scripts/benchmarks/gpu_DEVICE.json by default")
    parser.add_argument("--quick", action="store_true", help="fewer scenes, no sanitizer: a minute")
    parser.add_argument("--avatar", type=Path, help="an avatar to train again, with --clip")
    parser.add_argument("--clip", type=Path, help="the captured clip (RUN/clip) of that avatar")
    parser.add_argument("--small-scenes", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if (options.avatar is None) != (options.clip is None):
        parser.error("--avatar and --clip go together")
    if not torch.cuda.is_available():
        require_device()  # nothing is built for nothing
    if options.small_scenes:
        return small_scenes(require_device())
    report: dict[str, Any] = build()
    device = require_device()
    from gpu_cases import ceilings, table

    from avatars import files

    report |= machine(device)
    for key, value in report.items():
        print(f"{key:24s} {value}")
    found, problems = correctness(device, options.quick)
    report |= found
    for key, value in found.items():
        print(f"{key:24s} {value}")
    limits = ceilings(device)
    report["ceilings"], rows = limits, []
    shapes = [(n, s, b) for b in BATCHES for s in SIZES for n in SPLATS]
    for shape in shapes if not options.quick else [(20_000, 512, 1), (60_000, 512, 1), (60_000, 512, 16)]:
        if time.perf_counter() - start > LIMIT - 90 * bool(options.avatar):
            print(f"out of time: {len(rows)} of {len(shapes)} configurations were timed")
            break
        rows.append(timings(device, *shape, limits, 0.1))
    report["rows"] = rows
    print(table(rows))
    if options.avatar:
        report["training"] = train(options.avatar, options.clip, device)
        print(f"{'training':24s} {report['training']}")
    report["seconds"] = time.perf_counter() - start
    report["problems"] = problems
    name = "".join(c if c.isalnum() else "_" for c in str(report["device"]).lower())
    target = options.json or HERE / "benchmarks" / f"gpu_{name}.json"
    files.write_json(target, report)
    print(f"{report['seconds']:.0f} s; written to {target}")
    if problems:
        raise SystemExit("\n".join(["WRONG:", *problems]))


if __name__ == "__main__":
    main()
