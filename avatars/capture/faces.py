"""Face landmarks: MediaPipe's 478-point mesh with irises, and what its indices mean.

The model lies inside the mediapipe wheel where `mediapipe.solutions` exists (0.10.21); newer wheels carry none and
take `face_landmarker.task`, which `capture.models` locates. Both give the same points.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from ..data import LANDMARKS
from ..errors import InputError
from .models import FACE, has_legacy, model_path

# Closed loops, in order along the contour. L and R are the subject's own left and right.
LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
"""From the right corner along the lower lip to the left corner, back along the upper lip."""
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
"""The same walk on the inside: pairs (14, 13), (87, 82), (317, 312) face each other."""
LIPS = LIPS_OUTER + LIPS_INNER
EYE_R = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
"""Lid contour from the outer corner along the lower lid to the inner corner, back along the upper lid."""
EYE_L = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Silhouette from the top of the forehead (10) over the subject's left to the chin (152) and back."""

# Open or unordered sets.
BROW_R = (46, 53, 52, 65, 55, 107, 66, 105, 63, 70)
"""Lower edge from the temple inwards, then the upper edge back."""
BROW_L = (276, 283, 282, 295, 285, 336, 296, 334, 293, 300)
BROWS = BROW_R + BROW_L
IRIS_R = (468, 469, 470, 471, 472)
"""Centre first, then four points on the rim."""
IRIS_L = (473, 474, 475, 476, 477)
NOSE_BRIDGE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2)
NOSE = (*NOSE_BRIDGE, 98, 97, 326, 327, 294, 278, 344, 440, 275, 45, 220, 115, 48, 64)
NOSE_TIP = 1
CHIN = 152
FOREHEAD = 10
EYE_R_OUTER, EYE_R_INNER, EYE_L_INNER, EYE_L_OUTER = 33, 133, 362, 263
MOUTH_R, MOUTH_L = 61, 291


class _Backend(Protocol):
    def detect(self, image: np.ndarray) -> list[Any]: ...
    def close(self) -> None: ...


class FaceMesh:
    """MediaPipe's face mesh on one image after another, on the CPU.

    Args:
        static: every image stands alone; otherwise the face is followed from one image to the next, which is faster
            and gives calmer landmarks.
        max_faces: how many faces are looked for.

    Raises:
        AssetError: the model is missing (see `capture.models.fetch_models`).

    Not thread-safe; close it, or use it as a context manager.
    """

    def __init__(self, *, static: bool, max_faces: int = 1) -> None:
        with silenced():
            backend = _Legacy if has_legacy() else _Tasks
            self._backend: _Backend = backend(static, max_faces)
            # Models are opened, and complain, on the first image: have that done under silence.
            self._backend.detect(np.zeros((64, 64, 3), np.uint8))
        self._quiet = False

    def detect(self, image: np.ndarray) -> np.ndarray:
        """Landmarks [faces, 478, 3] float32 of an [H, W, 3] uint8 RGB image; faces may be 0.

        x and y are in pixels with (0, 0) at the corner of the image; z has the scale of x, smaller is nearer.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise InputError(f"Expected an [H, W, 3] uint8 image, found {image.dtype} {image.shape}", where="FaceMesh")
        image = np.ascontiguousarray(image)
        if self._quiet:
            faces = self._backend.detect(image)
        else:  # some calculators complain once, when they first see a face
            with silenced():
                faces = self._backend.detect(image)
            self._quiet = bool(faces)
        height, width = image.shape[:2]
        points = np.array([[(p.x, p.y, p.z) for p in face] for face in faces], np.float32)
        return points.reshape(len(faces), LANDMARKS, 3) * np.array([width, height, width], np.float32)

    def close(self) -> None:
        """Free the model."""
        self._backend.close()

    def __enter__(self) -> FaceMesh:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Legacy:
    """The models inside the wheel."""

    def __init__(self, static: bool, max_faces: int) -> None:
        from mediapipe.python.solutions.face_mesh import FaceMesh as Mesh

        self._mesh = Mesh(static_image_mode=static, max_num_faces=max_faces, refine_landmarks=True)

    def detect(self, image: np.ndarray) -> list[Any]:
        found: Any = self._mesh.process(image)
        return [face.landmark for face in found.multi_face_landmarks or ()]

    def close(self) -> None:
        self._mesh.close()


class _Tasks:
    """The Tasks API with `face_landmarker.task`."""

    def __init__(self, static: bool, max_faces: int) -> None:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        mode = vision.RunningMode.IMAGE if static else vision.RunningMode.VIDEO
        model = model_path(FACE).read_bytes()
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model), running_mode=mode, num_faces=max_faces
        )
        self._mesh = vision.FaceLandmarker.create_from_options(options)
        self._image, self._format = mediapipe.Image, mediapipe.ImageFormat.SRGB
        self._static, self._clock = static, 0

    def detect(self, image: np.ndarray) -> list[Any]:
        wrapped = self._image(image_format=self._format, data=image)
        if self._static:
            return self._mesh.detect(wrapped).face_landmarks
        self._clock += 33  # ms; only the order matters to the follower
        return self._mesh.detect_for_video(wrapped, self._clock).face_landmarks

    def close(self) -> None:
        self._mesh.close()


class _Stderr:
    """Descriptor 2, put aside while anyone wants silence."""

    lock = threading.Lock()
    wishes = 0
    saved: int | None = None


@contextmanager
def silenced() -> Iterator[None]:
    """Hide what native code writes to stderr (TFLite and absl have no switch for it from Python).

    Works on the descriptor, hence for the whole process: keep it short. Threads may overlap.
    """
    with _Stderr.lock:
        _Stderr.wishes += 1
        if _Stderr.wishes == 1:
            try:
                sys.stderr.flush()
                _Stderr.saved = os.dup(2)
                with open(os.devnull, "wb") as null:
                    os.dup2(null.fileno(), 2)
            except (OSError, ValueError, AttributeError):  # there is no stderr to hide
                _Stderr.saved = None
    try:
        yield
    finally:
        with _Stderr.lock:
            _Stderr.wishes -= 1
            if _Stderr.wishes == 0 and _Stderr.saved is not None:
                os.dup2(_Stderr.saved, 2)
                os.close(_Stderr.saved)
                _Stderr.saved = None
