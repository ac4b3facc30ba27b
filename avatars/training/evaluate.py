"""Figures on held-out frames, by both protocols."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..data import Camera
from ..splats.model import AvatarModel, Pose
from . import corrections, metrics
from .fit import fit_poses
from .frames import FrameStore
from .poses import PoseTable

_MOST = 48
"""Held-out frames that are measured; more are thinned evenly."""


@dataclass
class Evaluation:
    """Mean figures and, frame by frame, what they are made of."""

    photometric: dict[str, float]
    landmark: dict[str, float]
    face_only: dict[str, float]
    """As `landmark`, with the torso guessed from the head: what a driver gets whose torso nobody tracks."""
    train: dict[str, float]
    rows: np.ndarray
    """Held-out rows of the track."""
    photometric_rows: list[dict[str, float]]
    landmark_rows: list[dict[str, float]]
    fitted: Pose
    """Photometrically fitted poses of the held-out rows."""

    def to_json(self) -> dict[str, float]:
        """The names that reports and later runs read."""
        out = {
            "psnr": self.photometric["psnr"],
            "ssim": self.photometric["ssim"],
            "psnr_landmark": self.landmark["psnr"],
        }
        out["psnr_landmark_face_only"] = self.face_only["psnr"]
        out["ssim_landmark"] = self.landmark["ssim"]
        out |= {k: v for k, v in self.photometric.items() if k.startswith("psnr_")}
        out |= {f"landmark_{k}": v for k, v in self.landmark.items() if k.startswith("psnr_")}
        return out | {"psnr_train": self.train["psnr"]}


@torch.no_grad()
def render_row(
    model: AvatarModel, store: FrameStore, camera: Camera, pose: Pose, row: int, level: int = 0
) -> torch.Tensor:
    """[1, 3, H, W] of one row over the clip's own background."""
    frame = store.get(row, level)
    return model.render(pose, camera.resized(*store.sizes[level]), frame.background).color


def measure(
    model: AvatarModel, store: FrameStore, camera: Camera, poses: Pose, rows: np.ndarray
) -> list[dict[str, float]]:
    """Figures of each row, posed by `poses` (one per row, in order)."""
    out = []
    for i, row in enumerate(rows):
        drawn = render_row(model, store, camera, poses[i], int(row))
        out.append(metrics.compare(drawn, store.get(int(row), 0).image, store.landmarks[row]))
    return out


def chosen(rows: np.ndarray) -> np.ndarray:
    """At most `_MOST` of the held-out rows, evenly spread: fitting a frame takes a second or two."""
    if len(rows) <= _MOST:
        return rows
    return rows[np.linspace(0, len(rows) - 1, _MOST).astype(int)]


def evaluate(
    model: AvatarModel,
    store: FrameStore,
    camera: Camera,
    poses: PoseTable,
    learned: dict[str, np.ndarray],
    corrected: Pose,
    train_rows: np.ndarray,
    test_rows: np.ndarray,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Both protocols on the held-out rows; `poses` ends with the fitted ones there.

    Args:
        learned: corrections (see corrections.py).
        corrected: landmark poses of all rows with them applied.
    """
    poses.assign(corrected[torch.from_numpy(test_rows)], test_rows)
    test_rows = chosen(test_rows)
    index = torch.from_numpy(test_rows)
    landmark_rows = measure(model, store, camera, corrected[index], test_rows)
    face_only = measure(model, store, camera, corrections.predict_torso(learned, corrected)[index], test_rows)
    fit_poses(model, store, camera, poses, test_rows, progress=progress)
    fitted = poses.pose[index]
    photometric_rows = measure(model, store, camera, fitted, test_rows)
    some = train_rows[:: max(1, len(train_rows) // 30)]
    train = measure(model, store, camera, poses.pose[torch.from_numpy(some)], some)
    return Evaluation(
        metrics.mean(photometric_rows), metrics.mean(landmark_rows), metrics.mean(face_only), metrics.mean(train),
        test_rows, photometric_rows, landmark_rows, fitted,
    )  # fmt: skip
