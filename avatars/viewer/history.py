"""What was shown lately: for the curves, for videos and for saving motion that was made by hand."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
from scipy.spatial.transform import Rotation

from ..data import Motion
from ..heads.head import Head
from ..motion.coefficients import to_arkit
from ..training.views import FACING
from .person import Face

_SECONDS = 300.0


class History:
    """The faces of the last five minutes with their monotonic times; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[tuple[float, Face]] = deque()

    def __call__(self, face: Face, now: float) -> None:
        """Take a face (a watcher of the renderer)."""
        with self._lock:
            if not self._kept or now > self._kept[-1][0]:
                self._kept.append((now, face))
            while self._kept and self._kept[0][0] < now - _SECONDS:
                self._kept.popleft()

    def clear(self) -> None:
        """Forget: somebody else is shown."""
        with self._lock:
            self._kept.clear()

    def since(self, start: float) -> list[tuple[float, Face]]:
        """Times and faces from `start` on, with the one that was on show when it began."""
        with self._lock:
            kept = list(self._kept)
        first = next((i for i, (time, _) in enumerate(kept) if time >= start), len(kept))
        return kept[max(first - 1, 0) :]


def motion_of_faces(times: np.ndarray, faces: list[Face], head: Head) -> Motion:
    """Faces at times [T] as motion, from time 0 on."""
    turns = Rotation.concatenate([face.rotation for face in faces]).as_matrix()
    places = np.stack([face.translation for face in faces])
    return Motion(
        times=np.asarray(times, float) - times[0],
        arkit=to_arkit(head, np.stack([face.expression for face in faces])),
        rotation=Rotation.from_matrix(FACING.T @ turns).as_rotvec(),
        translation=(places - np.median(places, 0)) @ FACING,
    ).validate()
