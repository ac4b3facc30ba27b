"""Timings of scripts/gpu_check.py: rows of its table, and a training on a clip."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


def timings(
    device: torch.device,
    count: int,
    size: int,
    batch: int,
    limits: dict[str, float] | None,
    budget: float,
    beside: bool = True,
) -> dict[str, Any]:
    """One row of the table; with gsplat's times where it is wanted `beside` and can be had."""
    from gpu_cases import Case, floor_ms, milliseconds
    from gpu_compare import gsplat

    case = Case(count, size, batch, device)
    row: dict[str, Any] = {"count": count, "size": size, "batch": batch}
    works = {"forward": case.forward(), "forward_backward": case.forward_backward()}
    if device.type == "cuda":
        works["step"] = case.step()
    for name, work in works.items():
        _note(row, f"{name}_eager_ms", lambda w=work: milliseconds(w, device, budget), device)
        if device.type == "cuda":
            _note(row, f"{name}_ms", lambda w=work: _captured_ms(case, w, budget), device)
    for name in ("forward", "forward_backward"):
        if limits is not None and f"{name}_ms" in row:
            row[f"{name}_floor_share"] = floor_ms(count, size, batch, limits, name != "forward") / row[f"{name}_ms"]
    rasterization = gsplat()[0] if device.type == "cuda" and beside else None
    if rasterization is not None:
        for name, work in _gsplat_works(rasterization, case).items():
            _note(row, f"gsplat_{name}_ms", lambda w=work: milliseconds(w, device, budget), device)
        for name, ours in (("speedup", "forward_backward_ms"), ("speedup_eager", "forward_backward_eager_ms")):
            if ours in row and "gsplat_forward_backward_ms" in row:
                row[name] = row["gsplat_forward_backward_ms"] / row[ours]
    return row


def _note(row: dict[str, Any], name: str, measure: Callable[[], float], device: torch.device) -> None:
    """Put a figure into the row, or why there is none; a device that is lost ends the row."""
    try:
        row[name] = measure()
    except Exception as error:  # whatever went wrong, the other figures of the row may still be had
        row.setdefault("errors", []).append(f"{name}: {type(error).__name__}: {str(error)[:300]}")
        if device.type == "cuda":
            torch.cuda.synchronize(device)


def _captured_ms(case: Any, work: Any, budget: float) -> float:
    """A replay with its note about overflow, which is what a user's step costs the device."""
    from gpu_cases import milliseconds

    from avatars.raster.cuda_graph import Captured

    captured = Captured(lambda inputs: work(), {"vertices": case.vertices})
    captured.step()
    captured.settle()
    return milliseconds(lambda: captured.launch({}), case.device, budget)


def _gsplat_works(rasterization: Any, case: Any) -> dict[str, Callable[[], object]]:
    from gpu_compare import gsplat_draw

    x = [t.requires_grad_() for t in case.free()]

    def forward() -> None:
        with torch.no_grad():
            gsplat_draw(rasterization, case, x)

    def both() -> None:
        torch.autograd.grad(gsplat_draw(rasterization, case, x), x, case.gradient)

    return {"forward": forward, "forward_backward": both}


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
