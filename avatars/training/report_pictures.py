"""The pictures of a report: film and avatar side by side, views from around, faces close up."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import torch

from ..data import Camera, Clip, Track
from ..splats.avatar import Avatar
from ..splats.model import Pose
from . import corrections
from .evaluate import Evaluation
from .frames import cut_out
from .page import picture
from .views import EXPRESSIONS, around, expressed, rest_pose

_LARGE, _SMALL, _FACE = 512, 256, 280
"""px: frames that can be enlarged, differences, close-ups."""
_VIEW = 384
_CLOSE = 1.35
"""Height of a close-up in heights of the face."""
_GAIN = 4.0


class Painter:
    """Draws what the report shows.

    Args:
        avatar: with the refined poses of all rows.
        clip: footage.
        track: the same rows as landmarks left them.
    """

    def __init__(self, avatar: Avatar, clip: Clip, track: Track) -> None:
        self.avatar, self.clip, self.track = avatar, clip, track
        self.model, self.rest = avatar.model(), rest_pose(avatar)
        self.refined = Pose.of_track(avatar.track)
        self.corrected = corrections.apply(
            avatar.track.corrections, Pose.of_track(track), avatar.head.expression_low, avatar.head.expression_high
        )
        self._camera = _sized(avatar.camera, _LARGE)

    def usual(self, result: Evaluation | None, count: int) -> list[int]:
        """Rows spread evenly over the held-out ones, or over all."""
        rows = np.arange(len(self.track.frame)) if result is None else result.rows
        return [int(rows[i]) for i in np.linspace(0, len(rows) - 1, count + 2).astype(int)[1:-1]]

    def pair(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """(film, avatar) [H, W, 3] uint8 of one row, posed as refined."""
        return self._captured(row), self._over_plate(self.refined[row], row)

    def training_row(self, row: int) -> list[str]:
        """Film, avatar and difference as HTML."""
        captured, drawn = self.pair(row)
        return [
            picture(captured, f"film, {self.track.times[row]:.2f} s"),
            picture(drawn, "avatar"),
            picture(_difference(captured, drawn), "difference", 75),
        ]

    def held_out_row(self, row: int, photometric: dict[str, float], landmark: dict[str, float]) -> list[str]:
        """Film, both protocols and their differences as HTML."""
        captured, fitted = self.pair(row)
        free = self._over_plate(self.corrected[row], row)
        return [
            picture(captured, f"film, {self.track.times[row]:.2f} s"),
            picture(fitted, f"fitted, {photometric['psnr']:.1f} dB"),
            picture(_difference(captured, fitted), "difference", 75),
            picture(free, f"landmarks, {landmark['psnr']:.1f} dB"),
            picture(_difference(captured, free), "difference", 75),
        ]

    def around(self, degrees: float) -> np.ndarray:
        """The resting head seen from the side, [H, W, 3] uint8 over white."""
        return self._over_white(self.rest, _sized(around(self.avatar, math.radians(degrees)), _VIEW))

    def expressions(self) -> dict[str, np.ndarray]:
        """Close-ups of the neutral face and of single actions at full strength."""
        camera = self._close_up()
        poses = {"neutral": self.rest}
        poses |= {name: expressed(self.avatar.head, self.rest, face) for name, face in EXPRESSIONS.items()}
        return {name: self._over_white(pose, camera) for name, pose in poses.items()}

    def _close_up(self) -> Camera:
        """A square view of the resting face, straight on."""
        camera = around(self.avatar, 0.0)
        vertices = self.model.vertices(self.rest)[0].detach().numpy().astype(float)
        face = vertices[self.avatar.head.regions["face"]] if "face" in self.avatar.head.regions else vertices
        seen = face @ camera.camera_from_world[:3, :3].T + camera.camera_from_world[:3, 3]
        x = seen[:, 0] / seen[:, 2] * camera.fx + camera.cx
        y = seen[:, 1] / seen[:, 2] * camera.fy + camera.cy
        side = _CLOSE * max(np.ptp(y), np.ptp(x))
        scale = _FACE / side
        corner = ((x.min() + x.max() - side) / 2, (y.min() + y.max() - side) / 2)
        return replace(
            camera, fx=camera.fx * scale, fy=camera.fy * scale, cx=(camera.cx - corner[0]) * scale,
            cy=(camera.cy - corner[1]) * scale, width=_FACE, height=_FACE,
        )  # fmt: skip

    def _captured(self, row: int) -> np.ndarray:
        frame = np.asarray(self.clip.frames[self.track.frame[row]])
        image = _resized(frame, self._camera)
        if self.clip.plate is None:  # trained without its background: shown as it was supervised, over white
            matte = _resized(np.asarray(self.clip.matte[self.track.frame[row]]), self._camera)
            image = np.round(255 * cut_out(image, matte) + (255.0 - matte[..., None])).astype(np.uint8)
        return image

    def _over_plate(self, pose: Pose, row: int) -> np.ndarray:
        if self.clip.plate is None:
            return self._over_white(pose, self._camera)
        plate = _resized(self.clip.plate, self._camera).transpose(2, 0, 1).astype(np.float32) / 255
        return self._draw(pose, self._camera, torch.from_numpy(plate)[None])

    def _over_white(self, pose: Pose, camera: Camera) -> np.ndarray:
        return self._draw(pose, camera, torch.ones(3))

    @torch.no_grad()
    def _draw(self, pose: Pose, camera: Camera, background: torch.Tensor) -> np.ndarray:
        color = self.model.render(pose, camera, background).color[0].clamp(0, 1)
        return (color * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def _sized(camera: Camera, longest: int) -> Camera:
    scale = min(1.0, longest / max(camera.width, camera.height))
    return camera.resized(max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))


def _resized(image: np.ndarray, camera: Camera) -> np.ndarray:
    if (image.shape[1], image.shape[0]) == (camera.width, camera.height):
        return np.array(image)
    return cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA)


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Four times the absolute difference, small."""
    apart = np.clip(_GAIN * np.abs(a.astype(np.float32) - b), 0, 255).astype(np.uint8)
    scale = min(1.0, _SMALL / max(apart.shape[:2]))
    size = (max(1, round(apart.shape[1] * scale)), max(1, round(apart.shape[0] * scale)))
    return cv2.resize(apart, size, interpolation=cv2.INTER_AREA)
