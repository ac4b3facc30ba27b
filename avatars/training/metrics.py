"""How close a rendered frame is to the captured one: PSNR and SSIM over RGB in [0, 1], whole and by region."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..capture import faces
from ..raster import ops
from .frames import region_box

REGIONS = ("face", "mouth", "eyes", "above_chin", "below_chin")


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of images in [0, 1]."""
    error = float((a - b).double().square().mean())
    return float(-10 * np.log10(max(error, 1e-10)))


def compare(rendered: Tensor, captured: Tensor, landmarks: np.ndarray) -> dict[str, float]:
    """Figures of one frame.

    Args:
        rendered, captured: [1, 3, H, W].
        landmarks: [478, 2] px of the captured frame.
    """
    rendered = rendered.clamp(0, 1)
    height, width = captured.shape[-2:]
    out = {"psnr": psnr(rendered, captured), "ssim": float(ops.ssim(rendered, captured))}
    chin = int(np.clip(landmarks[:468, 1].max(), 1, height - 1))
    eyes = faces.EYE_L + faces.EYE_R
    boxes = {
        "face": _tight_box(landmarks[:468], width, height),
        "mouth": region_box(landmarks, faces.LIPS, width, height),
        "eyes": region_box(landmarks, eyes, width, height),
        "above_chin": (0, 0, width, chin),
        "below_chin": (0, chin, width, height),
    }
    for name, (x0, y0, x1, y1) in boxes.items():
        if x1 > x0 and y1 > y0:
            out[f"psnr_{name}"] = psnr(rendered[..., y0:y1, x0:x1], captured[..., y0:y1, x0:x1])
    return out


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each figure over the frames that have it."""
    names = {name for row in rows for name in row}
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in sorted(names)}


def _tight_box(points: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    low, high = np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int)
    return int(max(low[0], 0)), int(max(low[1], 0)), int(min(high[0], width)), int(min(high[1], height))
