"""The subject's landmarks in every frame, and why a frame is not used."""

from __future__ import annotations

import numpy as np

from .faces import OVAL
from .orientation import Box
from .sightings import LOOKS_PER_SECOND
from .subject import Person
from .views import FaceViews

NO_FACE = "no face"
OTHER = "another face"
CUT = "face cut by the border"
SMALL = "face too small"
YAW = "extreme yaw"
JUMP = "landmarks jump"
_NEAR = 1.5 / LOOKS_PER_SECOND
"""s: a frame this far from the nearest sighting of the first pass has no subject."""
_ASTRAY = 0.35
"""Face sizes between where the first pass saw the subject and where the mesh found a face."""
_LEAST = 56.0
"""px of the source picture: smaller faces do not show a mouth."""
_OUT = 0.04
"""Face sizes by which the outline may leave the picture."""
_TURNED = np.radians(65)
"""Beyond this half of the landmarks are guesses."""


class Follower:
    """Finds the subject in one frame after another of the working clip.

    Args:
        subject: from the first pass, px of the source picture.
        others: everyone else; their faces are painted out so that the mesh cannot take to one of them.
        box: part of the source picture that the working frames show.
        scale: working px per source px.
    """

    def __init__(self, subject: Person, others: list[Person], box: Box, scale: float) -> None:
        self._mesh = FaceViews()
        self._subject = _Path(subject, box, scale)
        self._others = [_Path(other, box, scale) for other in others]
        self._scale = scale

    def __call__(self, image: np.ndarray, time: float) -> tuple[np.ndarray | None, str]:
        """(landmarks [478, 3] px or None, reason for rejecting the frame or '') of the frame at `time` s."""
        place = self._subject.at(time)
        strangers = [found for other in self._others if (found := other.at(time)) is not None]
        if place is None:
            self._mesh.forget(image.shape)
            return None, OTHER if strangers else NO_FACE
        center, size = place
        if strangers:
            image = image.copy()
        for other_center, other_size in strangers:
            if np.linalg.norm(other_center - center) < (size + other_size) / 2:
                self._mesh.forget(image.shape)
                return None, OTHER
            low = np.maximum(other_center - 0.7 * other_size, 0).astype(int)
            high = np.maximum(other_center + 0.7 * other_size, 0).astype(int)
            image[low[1] : high[1], low[0] : high[0]] = 128
        points = self._mesh.detect(image)
        if points is None:
            return None, NO_FACE
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        extent = float((high - low).max())
        if np.linalg.norm((low + high) / 2 - center) > _ASTRAY * size or not 0.6 < extent / size < 1.67:
            self._mesh.forget(image.shape)
            return None, OTHER
        return points, self._reason(points, extent, image.shape[1], image.shape[0])

    def _reason(self, points: np.ndarray, extent: float, width: int, height: int) -> str:
        if extent / self._scale < _LEAST:
            return SMALL
        outline = points[list(OVAL), :2]
        over = max(float((-outline).max()), float((outline - [width, height]).max()))
        if over > _OUT * extent:
            return CUT
        return YAW if abs(yaw(points)) > _TURNED else ""

    def close(self) -> None:
        """Free the model."""
        self._mesh.close()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Path:
    """Where a person's face is, between the sightings of the first pass; px of the working frames."""

    def __init__(self, person: Person, box: Box, scale: float) -> None:
        self._times = np.array([look.time for look, _ in person.seen])
        self._centers = (np.array([face.center for _, face in person.seen]) - box[:2]) * scale
        self._sizes = np.array([face.size for _, face in person.seen]) * scale

    def at(self, time: float) -> tuple[np.ndarray, float] | None:
        """(centre [2], size) at `time`, or None where the person was not seen around then."""
        if np.abs(self._times - time).min() > _NEAR:
            return None
        center = np.array([np.interp(time, self._times, self._centers[:, k]) for k in (0, 1)])
        return center, float(np.interp(time, self._times, self._sizes))


def yaw(points: np.ndarray) -> float:
    """How far a face [478, 3] px is turned from the camera, rad, positive towards the subject's left."""
    across = points[454] - points[234]  # from ear to ear, the subject's right first
    return float(np.arctan2(across[2], across[0]))


def jumps(landmarks: np.ndarray) -> np.ndarray:
    """[T] bool: frames whose face [T, 478, 3] (NaN where there is none) stands apart from two neighbours that agree.

    The whole face must jump, as it does in a damaged picture: a blink or a closing mouth moves too few points.
    """
    count = len(landmarks)
    result = np.zeros(count, bool)
    flat = landmarks[..., :2]
    for t in range(1, count - 1):
        before, here, after = flat[t - 1], flat[t], flat[t + 1]
        size = np.ptp(before, axis=0).max()
        apart = [
            np.median(np.linalg.norm(a - b, axis=1)) / size for a, b in ((before, after), (before, here), (here, after))
        ]
        # NaN compares false: next to a gap nothing is known.
        result[t] = apart[0] < 0.02 and min(apart[1:]) > 0.06
    return result
