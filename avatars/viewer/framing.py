"""Cameras: from a page's to the renderer's, and the places to look from.

The world of an avatar is the capture's camera: x right, y down, z forward, m. The page works in centimetres, because
it keeps the covariances of splats in half precision, where square metres of a head would vanish.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from ..data import Camera
from .person import Face

UNITS = 100.0
"""Page units per metre."""
UP = (0.0, -1.0, 0.0)
MIN_FOV, MAX_FOV = math.radians(8), math.radians(90)
_CROWN, _CHEST = 0.165, 0.2
"""m above and below the head's origin that the default view shows at most."""
_NARROW, _LOWERED = 0.75, 0.22
"""Width over height of a page below which it is narrow, and the share of its height by which it then looks lower."""
_LEAST = 0.26
"""m that it shows at least."""


class PageCamera(Protocol):
    """What is read of viser's camera."""

    @property
    def wxyz(self) -> np.ndarray: ...
    @property
    def position(self) -> np.ndarray: ...
    @property
    def fov(self) -> float: ...
    @property
    def image_width(self) -> int: ...
    @property
    def image_height(self) -> int: ...


@dataclass(frozen=True)
class Viewpoint:
    """Where a visitor stands."""

    wxyz: tuple[float, float, float, float]
    position: tuple[float, float, float]
    """m, world."""
    fov: float
    """rad, vertical."""
    width: int
    height: int
    """px of the page's canvas."""

    @staticmethod
    def of(camera: PageCamera) -> Viewpoint | None:
        """The page's camera, None if it cannot be drawn (not yet known, or nonsense)."""
        wxyz, position = np.asarray(camera.wxyz, float), np.asarray(camera.position, float) / UNITS
        length = np.linalg.norm(wxyz)
        sound = np.isfinite(wxyz).all() and np.isfinite(position).all() and 1e-3 < length < 1e3
        if not sound or np.abs(position).max() > 1e3 or not math.isfinite(camera.fov):
            return None
        width, height = int(camera.image_width), int(camera.image_height)
        if not (0 < width <= 16384 and 0 < height <= 16384):
            return None
        fov = min(max(float(camera.fov), MIN_FOV / 2), math.radians(150))
        w, x, y, z = (wxyz / length).round(9).tolist()
        px, py, pz = position.round(9).tolist()
        return Viewpoint((w, x, y, z), (px, py, pz), fov, width, height)

    def camera(self, rows: int) -> Camera:
        """This view in a picture of so many rows."""
        columns = max(1, round(rows * self.width / self.height))
        focal = rows / 2 / math.tan(self.fov / 2)
        w, x, y, z = self.wxyz
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
        pose[:3, 3] = self.position
        return Camera(focal, focal, columns / 2, rows / 2, columns, rows, pose)


@dataclass(frozen=True)
class Place:
    """A camera to jump to."""

    position: np.ndarray
    """[3] page units."""
    look_at: np.ndarray
    """[3] page units."""
    fov: float

    def fitted(self, width: int, height: int) -> Place:
        """The same for a page so large: a narrow one, as a phone's, shows as much to the sides, above its panel."""
        wider = _NARROW * height / max(width, 1)
        if wider <= 1:
            return self
        fov = min(2 * math.atan(math.tan(self.fov / 2) * wider), MAX_FOV)
        seen = 2 * math.tan(fov / 2) * float(np.linalg.norm(self.position - self.look_at))
        down = np.array([0.0, _LOWERED * seen, 0.0])
        return Place(self.position + down, self.look_at + down, fov)

    def turned(self, degrees: float) -> Place:
        """Seen from further to the subject's left (positive) or right, from the same distance."""
        turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.0, -1.0, 0.0]))
        return Place(self.look_at + turn.apply(self.position - self.look_at), self.look_at, self.fov)


def front(rest: Face, capture: Camera) -> Place:
    """The default view: before the resting head, as far away as the capture's camera was, down to where it saw.

    Args:
        rest: the face at rest.
        capture: the capture's camera, which stands in the world's origin.
    """
    x, y, z = rest.translation
    seen = (capture.height - capture.cy) / capture.fy * z - 0.01
    bottom = min(max(seen, y - _CROWN + _LEAST), y + _CHEST)
    target = np.array([x, (y - _CROWN + bottom) / 2, z])
    forward = rest.rotation.apply([0.0, 0.0, 1.0])
    level = np.array([forward[0], 0.0, forward[2]])
    distance = float(np.clip(np.linalg.norm(target), 0.3, 3.0))
    away = level / max(np.linalg.norm(level), 1e-6)
    fov = float(np.clip(2 * math.atan((bottom - y + _CROWN) / 2 / distance), MIN_FOV, MAX_FOV))
    return Place((target + distance * away) * UNITS, target * UNITS, fov)
