"""Calmer landmarks: the mesh of several views of one picture, brought together.

MediaPipe's mesh moves by a pixel and more when its input is mirrored or turned a little: noise that has nothing to do
with the face. It is largely independent between such views, so their mean holds less of it (measured on two clips
at 512 px: one view strays by 1.2 to 1.6 px over time, a mirrored pair by 0.8 to 1.1, these four by 0.7 to 1.0).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from .faces import FaceMesh

_RUNS = (
    (3, 248, 1), (7, 249, 1), (20, 250, 74), (95, 324, 56), (153, 380, 11), (165, 391, 3), (169, 394, 6),
    (176, 400, 19), (196, 419, 1), (198, 420, 1), (201, 421, 47), (468, 473, 1), (469, 476, 1), (470, 475, 1),
    (471, 474, 1), (472, 477, 1),
)  # fmt: skip
"""Landmarks of the right half, of the left half, how many in a row; all others lie on the midline."""
_VIEWS = ((False, 0.0), (True, 0.0), (False, 15.0), (True, 15.0))
"""Mirrored, turned by degrees. The first one decides whether there is a face."""
_AGREE = 0.06
"""Face sizes by which a view may differ from the first, on average over the landmarks."""
_THREADS = 2


def _mirror_map() -> np.ndarray:
    result = np.arange(478)
    for right, left, count in _RUNS:
        span = np.arange(count)
        result[right + span], result[left + span] = left + span, right + span
    return result


MIRROR = _mirror_map()
"""[478] index of each landmark's counterpart on the other side of the face."""


class FaceViews:
    """Follows one face through a video like `FaceMesh(static=False)`, several times more calmly and more slowly."""

    def __init__(self) -> None:
        self._views = [_View(mirrored, degrees) for mirrored, degrees in _VIEWS]
        self._pool = ThreadPoolExecutor(_THREADS)

    def detect(self, image: np.ndarray) -> np.ndarray | None:
        """Landmarks [478, 3] float32 px of an [H, W, 3] uint8 image, or None."""
        first, *others = self._pool.map(lambda view: view.detect(image), self._views)
        if first is None:
            return None
        size = np.ptp(first[:, :2], axis=0).max()
        agreeing = [first]
        for points in others:
            if points is not None and np.linalg.norm((points - first)[:, :2], axis=1).mean() < _AGREE * size:
                agreeing.append(points)
        return np.mean(agreeing, 0, dtype=np.float32)

    def forget(self, shape: tuple[int, ...]) -> None:
        """Search anew in the next image; `shape` is that of the images."""
        self.detect(np.zeros(shape, np.uint8))

    def close(self) -> None:
        """Free the models."""
        self._pool.shutdown()
        for view in self._views:
            view.mesh.close()


class _View:
    """The mesh of the mirrored and turned picture, in px of the picture as it is."""

    def __init__(self, mirrored: bool, degrees: float) -> None:
        self.mesh = FaceMesh(static=False)
        self._mirrored, self._degrees = mirrored, degrees

    def detect(self, image: np.ndarray) -> np.ndarray | None:
        height, width = image.shape[:2]
        shown = image[:, ::-1] if self._mirrored else image
        back = None
        if self._degrees:
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), self._degrees, 1.0)
            cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
            size = (round(width * cos + height * sin), round(width * sin + height * cos))  # nothing falls off
            turn[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
            shown = cv2.warpAffine(np.ascontiguousarray(shown), turn, size, borderMode=cv2.BORDER_REPLICATE)
            # Pixel centres: landmarks count from the corner of the picture, the warp from the middle of its pixels.
            back = cv2.invertAffineTransform(turn).astype(np.float32)
        found = self.mesh.detect(shown)
        if not len(found):
            return None
        points = found[0]
        if back is not None:
            points[:, :2] = (points[:, :2] - 0.5) @ back[:, :2].T + back[:, 2] + 0.5
        if self._mirrored:
            points = points[MIRROR]
            points[:, 0] = width - points[:, 0]
        return points
