"""How well an avatar of a synthetic person holds up from beside the camera, where the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..errors import InputError
from ..heads.head import Head
from ..splats.avatar import Avatar
from ..splats.model import AvatarModel, Pose
from ..synthetic.accuracy import Similarity, align
from ..synthetic.truth import GroundTruth, NovelView
from . import metrics

_BACKGROUND = 0.5
"""Grey that both pictures are laid over: white would flatter the figure."""
_MARGIN = 0.08
"""Of the head's size, around its box."""


@torch.no_grad()
def novel_view_psnr(avatar: Avatar, truth: GroundTruth, head: Head | None = None) -> dict[float, float]:
    """PSNR in dB by yaw in degrees, over the true head's box, mean over the frames that have side views.

    The avatar lives in its own coordinates (a video does not tell scale, focal length or where the camera's axis is),
    so each frame's face is first brought onto the true one by a similarity. What counts is looks and shape, not pose.

    Args:
        avatar: built from the synthetic video.
        truth: of that video.
        head: the one that the video was rendered with; the default head if None.

    Raises:
        InputError: no side view is of a frame that the avatar's track has.
        FileFormatError: the truth belongs to another head.
    """
    if head is None:
        from ..heads.anny import default_head

        head = default_head()
    model = avatar.model()
    found: dict[float, list[float]] = {}
    for view in truth.views:
        row = np.flatnonzero(avatar.track.frame == view.frame)
        if not len(row):
            continue
        pose = Pose.of_track(avatar.track, [int(row[0])])
        true = truth.vertices(head, [int(np.flatnonzero(truth.track.frame == view.frame)[0])])[0].astype(float)
        found.setdefault(view.yaw_deg, []).append(_compare(model, pose, view, true, head))
    if not found:
        raise InputError("No side view is of a frame that the avatar was made from", fix="Render a truth with views")
    return {yaw: float(np.mean(values)) for yaw, values in sorted(found.items())}


def _compare(model: AvatarModel, pose: Pose, view: NovelView, true: np.ndarray, head: Head) -> float:
    face = head.regions["face"]
    move = align(model.vertices(pose)[0].numpy().astype(float)[face], true[face])
    drawn = model.render(pose, seen_through(view.camera, move), torch.full((3,), _BACKGROUND)).color
    x0, y0, x1, y1 = _box(true[~head.regions["shoulders"] & ~head.regions["neck"]], view.camera)
    return metrics.psnr(drawn[..., y0:y1, x0:x1].clamp(0, 1), _picture(view)[..., y0:y1, x0:x1])


def seen_through(camera: Camera, move: Similarity) -> Camera:
    """The camera in coordinates x where it stands in coordinates move(x).

    A picture does not change when the world grows about the camera, so the scale goes into the distance.
    """
    view = camera.camera_from_world
    moved = np.eye(4)
    moved[:3, :3] = view[:3, :3] @ move.rotation
    moved[:3, 3] = (view[:3, :3] @ move.translation + view[:3, 3]) / move.scale
    return replace(camera, world_from_camera=np.linalg.inv(moved))


def _picture(view: NovelView) -> Tensor:
    """[1, 3, H, W] in [0, 1]."""
    image = torch.from_numpy(view.image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    return image[:, :3] * image[:, 3:] + _BACKGROUND * (1 - image[:, 3:])


def _box(points: np.ndarray, camera: Camera) -> tuple[int, int, int, int]:
    view = camera.camera_from_world
    seen = points @ view[:3, :3].T + view[:3, 3]
    at = seen[:, :2] / seen[:, 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    low, high = at.min(0), at.max(0)
    margin = _MARGIN * float((high - low).max())
    x0, y0 = np.clip(np.floor(low - margin), 0, (camera.width - 1, camera.height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(high + margin), 1, (camera.width, camera.height)).astype(int)
    return int(x0), int(y0), int(x1), int(y1)
