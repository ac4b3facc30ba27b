"""What comparisons look at: held-out frames whole, mouths and eyes enlarged, and views from the side."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch

from avatars.data import Camera
from avatars.splats.model import AvatarModel, Pose
from avatars.training.frames import region_box
from avatars.training.loop import Trainer
from avatars.training.views import facing, orbit

from .measure import Measured

SHOWN = 3
"""Held-out frames."""
CLOSE = {"mouth": (0, 17, 61, 291), "eyes": (33, 263, 105, 334)}
"""Landmarks around what is enlarged."""
SIDES = (-45, -30, 30, 45)


def shown(rows: np.ndarray) -> np.ndarray:
    """Which of some held-out rows are shown: indices, away from both ends."""
    return np.linspace(0, len(rows) - 1, SHOWN + 2).astype(int)[1:-1]


def of_film(shop: Trainer, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Pictures [H, W, 3] uint8 by name, `0 whole`, `0 mouth`, `0 eyes`, `1 whole` ..."""
    out = {}
    for k, i in enumerate(shown(rows)):
        row = int(rows[i])
        out |= _frame(k, picture(shop.store.get(row, 0).image), shop.store.landmarks[row])
    return out


def of_method(shop: Trainer, method: Measured) -> dict[str, np.ndarray]:
    """The same of one method, and `side -45` ... over white."""
    model, result = method.trained.model, method.result
    out = {}
    for k, i in enumerate(shown(result.rows)):
        row = int(result.rows[i])
        drawn = draw(model, result.fitted[int(i)], shop.camera, shop.store.get(row, 0).background)
        out |= _frame(k, drawn, shop.store.landmarks[row])
    pose = result.fitted[0]
    center, ahead = pose.translation[0].numpy().astype(float), facing(pose, shop.camera)
    for angle in SIDES:
        camera = orbit(shop.camera, center, ahead + math.radians(angle))
        out[f"side {angle:+d}"] = draw(model, pose, camera)
    return out


def _frame(k: int, image: np.ndarray, landmarks: np.ndarray) -> dict[str, np.ndarray]:
    close = {f"{k} {name}": crop(image, landmarks, group) for name, group in CLOSE.items()}
    return {f"{k} whole": image, **close}


@torch.no_grad()
def draw(model: AvatarModel, pose: Pose, camera: Camera, background: torch.Tensor | None = None) -> np.ndarray:
    """[H, W, 3] uint8, over white unless a background is given."""
    behind = torch.ones(3) if background is None else background
    return picture(model.render(pose, camera, behind).color)


def picture(image: torch.Tensor) -> np.ndarray:
    """[1, 3, H, W] in [0, 1] -> [H, W, 3] uint8."""
    return (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def crop(image: np.ndarray, landmarks: np.ndarray, group: tuple[int, ...]) -> np.ndarray:
    """What some landmarks enclose, enlarged to 320 px."""
    x0, y0, x1, y1 = region_box(landmarks, group, image.shape[1], image.shape[0])
    part = image[y0:y1, x0:x1]
    return cv2.resize(part, (320, max(1, round(320 * part.shape[0] / part.shape[1]))), interpolation=cv2.INTER_CUBIC)
