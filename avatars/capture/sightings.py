"""The first look at a clip: a few pictures a second, and every face in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .faces import EYE_L, EYE_R, MOUTH_L, MOUTH_R, FaceMesh
from .probe import VideoInfo
from .video import glances

LOOKS_PER_SECOND = 6.0
MAX_FACES = 4
_SIDE = 1280
"""px: longer sides are scaled down to this for the first look."""
_PATCH = 48
_ANCHORS = np.array([[0.28, 0.3], [0.72, 0.3], [0.33, 0.78], [0.67, 0.78]], np.float32) * _PATCH
"""Where the eyes (subject's right, left) and the corners of the mouth (right, left) lie in a patch."""
_PATIENCE = 20
"""Looks without any face after which the search among tiles becomes rare."""


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one picture."""

    points: np.ndarray
    """[478, 3] float32 px of the upright source picture."""
    patch: np.ndarray
    """[48, 48, 3] float32 CIE Lab, eyes and mouth brought to the same places."""

    @property
    def center(self) -> np.ndarray:
        """[2] px: middle of the landmarks' bounding box."""
        return (self.points[:, :2].min(0) + self.points[:, :2].max(0)) / 2

    @property
    def size(self) -> float:
        """px: larger side of the landmarks' bounding box."""
        return float(np.ptp(self.points[:, :2], axis=0).max())


@dataclass(frozen=True, eq=False)
class Look:
    """One picture looked at."""

    frame: int
    """Index within the clip."""
    time: float
    """s."""
    faces: tuple[Face, ...]


@dataclass(frozen=True)
class FirstLook:
    """What the first pass over a clip found."""

    looks: list[Look]
    times: np.ndarray
    """[T] s, of every picture."""


def look_through(
    info: VideoInfo, max_frames: int | None, warnings: list[str], progress: Callable[[float], None]
) -> FirstLook:
    """Decode a clip small and find the faces in about six pictures a second."""
    scale = min(1.0, _SIDE / max(info.width, info.height))
    size = (max(1, round(info.width * scale)), max(1, round(info.height * scale)))
    unscale = np.array([info.width / size[0], info.height / size[1], info.width / size[0]], np.float32)
    times: list[float] = []
    looks: list[Look] = []
    with FaceMesh(static=True, max_faces=MAX_FACES) as mesh:
        search = _Search(mesh)
        for time, picture in glances(info, size=size, warnings=warnings):
            times.append(time)
            if not looks or time - looks[-1].time >= 1 / LOOKS_PER_SECOND - 1e-6:
                image = picture()
                found = search(image)
                faces = tuple(Face(points * unscale, appearance(image, points)) for points in found)
                looks.append(Look(len(times) - 1, time, faces))
                progress(min(1.0, time / info.duration) if info.duration else 0.0)
            if max_frames is not None and len(times) >= max_frames:
                break
    return FirstLook(looks, np.array(times))


class _Search:
    """Faces in a whole picture, or else in overlapping parts of it, where small ones look larger to the detector."""

    def __init__(self, mesh: FaceMesh) -> None:
        self._mesh = mesh
        self._window: tuple[int, int, int, int] | None = None
        self._misses = 0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """[faces, 478, 3] px."""
        found = self._mesh.detect(image)
        if not len(found) and self._window is not None:
            found = self._within(image, self._window)
        if not len(found) and (self._misses < _PATIENCE or self._misses % 10 == 0):
            found = self._among_tiles(image)
        self._misses = 0 if len(found) else self._misses + 1
        if len(found):
            low, high = found[0, :, :2].min(0), found[0, :, :2].max(0)
            side = int(3 * (high - low).max())
            x, y = ((low + high) / 2 - side / 2).astype(int)
            self._window = (max(0, x), max(0, y), side, side)
        return found

    def _within(self, image: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
        x, y, w, h = window
        part = image[y : y + h, x : x + w]
        if min(part.shape[:2], default=0) < 16:
            return np.zeros((0, 478, 3), np.float32)
        return self._mesh.detect(part) + np.array([x, y, 0], np.float32)

    def _among_tiles(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        for divide in (2, 3):
            side = round(1.35 * max(height, width) / divide)
            if side < 96:
                break
            columns = max(1, int(np.ceil((width - side) / (side * 0.65))) + 1) if width > side else 1
            rows = max(1, int(np.ceil((height - side) / (side * 0.65))) + 1) if height > side else 1
            for y in np.linspace(0, max(0, height - side), rows).astype(int):
                for x in np.linspace(0, max(0, width - side), columns).astype(int):
                    found = self._within(image, (int(x), int(y), side, side))
                    if len(found):
                        return found
        return np.zeros((0, 478, 3), np.float32)


def appearance(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Patch [48, 48, 3] float32 Lab of the face at `points` [478, 3] px in an RGB image."""
    anchors = np.stack(
        [points[list(EYE_R), :2].mean(0), points[list(EYE_L), :2].mean(0), points[MOUTH_R, :2], points[MOUTH_L, :2]]
    )
    design = np.concatenate([anchors, np.ones((4, 1), np.float32)], 1)
    affine = np.linalg.lstsq(design, _ANCHORS, rcond=None)[0].T
    patch = cv2.warpAffine(image, affine, (_PATCH, _PATCH), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    patch = cv2.GaussianBlur(patch, (0, 0), 1.5).astype(np.float32) / 255
    return cv2.cvtColor(patch, cv2.COLOR_RGB2LAB)
