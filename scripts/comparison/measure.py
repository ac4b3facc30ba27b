"""Every figure of one trained method on one clip, by one protocol for all."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from scipy import ndimage

from avatars.data import Track
from avatars.heads.head import Head
from avatars.splats.avatar import Avatar
from avatars.splats.model import AvatarModel, Pose
from avatars.synthetic.accuracy import align, tracking_errors
from avatars.synthetic.truth import GroundTruth
from avatars.training import build, corrections
from avatars.training.evaluate import Evaluation, evaluate
from avatars.training.loop import Trainer
from avatars.training.novel_views import novel_view_psnr, seen_through
from avatars.training.rates import drawing_rate
from avatars.training.redetect import redetect

from .train import Trained

_RIM = 4
"""px within the true outline, at its own size, where a hole begins to count."""
SOLID = 0.8
"""Alpha under which one sees through."""


@dataclass
class Measured:
    """A method with its figures and its poses of the held-out frames."""

    trained: Trained
    figures: dict[str, Any]
    result: Evaluation
    landmark: Pose
    track: Track


def measured(
    shop: Trainer,
    track: Track,
    trained: Trained,
    train_rows: np.ndarray,
    test_rows: np.ndarray,
    truth: tuple[GroundTruth, Head] | None,
) -> Measured:
    """Both protocols, landmarks found again, and against the truth where there is one.

    Args:
        shop: whose frames and camera are used.
        track: landmark track of all rows, in the person's units.
        truth: of a synthetic clip, with the head that it was made with.
    """
    model, head = trained.model, trained.model.head.head
    learned = corrections.fit(shop.tracked, trained.poses.pose, train_rows, head.expression_names)
    corrected = corrections.apply(learned, shop.tracked, head.expression_low, head.expression_high)
    result = evaluate(model, shop.store, shop.camera, trained.poses, learned, corrected, train_rows, test_rows)
    figures: dict[str, Any] = result.to_json()
    landmark = corrected[torch.from_numpy(result.rows)]
    figures |= redetect(model, shop.store, shop.camera, {"": result.fitted, "landmark_": landmark}, result.rows)
    final = build.with_poses(track, trained.poses.pose, learned, shop)
    if truth is not None:
        figures |= against_truth(model, final, *truth)
        figures |= tracking_errors(final, *truth, head).summary()
    figures |= {
        "splats": len(model.binding),
        "megabytes": trained.numbers * 4 / 1e6,
        "iterations": trained.iterations,
        "processor_seconds": trained.processor,
        "train_seconds": trained.seconds,
        "iterations_per_second": trained.iterations / trained.processor,
        "frames_per_second": drawing_rate(model, shop.camera, result.fitted),
    }
    return Measured(trained, figures, result, landmark, final)


def against_truth(model: AvatarModel, track: Track, truth: GroundTruth, head: Head) -> dict[str, float]:
    """`novel_view_30`, `novel_view_45` (dB), `holes_percent` and `holes_side_percent`.

    Args:
        track: final poses of all rows.
        head: the generic head that the truth refers to.
    """
    stand = cast(Avatar, SimpleNamespace(model=lambda: model, track=track))
    out: dict[str, float] = {}
    by_yaw = novel_view_psnr(stand, truth, head)
    for degrees in (30, 45):
        both = [value for yaw, value in by_yaw.items() if abs(abs(yaw) - degrees) < 1]
        if both:
            out[f"novel_view_{degrees}"] = float(np.mean(both))
    front, side = [], []
    for row in np.linspace(0, len(track.frame) - 1, 12).astype(int):
        frame = int(track.frame[row])
        matte = truth.mattes[int(np.flatnonzero(truth.track.frame == frame)[0])]
        front.append(_holes(model, track, int(row), truth, head, truth.track.camera, matte))
    for view in truth.views:
        row = np.flatnonzero(track.frame == view.frame)
        if len(row):
            side.append(_holes(model, track, int(row[0]), truth, head, view.camera, view.image[..., 3]))
    out["holes_percent"] = 100 * float(np.mean(front))
    return out | ({"holes_side_percent": 100 * float(np.mean(side))} if side else {})


@torch.no_grad()
def _holes(
    model: AvatarModel, track: Track, row: int, truth: GroundTruth, head: Head, camera: Any, matte: np.ndarray
) -> float:
    """Share of the true outline, its rim left out, that is not solid; the face is first laid on the true one."""
    pose = Pose.of_track(track, [row])
    at = int(np.flatnonzero(truth.track.frame == track.frame[row])[0])
    face = head.regions["face"]
    true = truth.vertices(head, [at])[0].astype(float)
    move = align(model.vertices(pose)[0].numpy().astype(float)[face], true[face])
    alpha = model.render(pose, seen_through(camera, move)).alpha[0, 0].numpy()
    # Below the neck a monocular avatar may lie elsewhere: only the head and the neck are asked about.
    view = camera.camera_from_world
    low = true[head.regions["neck"]] @ view[:3, :3].T + view[:3, 3]
    chin = int(np.median(low[:, 1] / low[:, 2]) * camera.fy + camera.cy)
    inside = np.asarray(ndimage.binary_erosion(matte > 250, iterations=_RIM), bool)
    inside[max(chin, 0) :] = False
    return float((alpha[inside] < SOLID).mean()) if inside.any() else 0.0
