"""Which pixels are a person: MediaPipe's selfie segmentation, one picture after another."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..errors import InputError
from .faces import silenced
from .models import PERSON, has_legacy, model_path


class _Backend(Protocol):
    def detect(self, image: np.ndarray) -> np.ndarray: ...
    def close(self) -> None: ...


class PersonMask:
    """The general model (256 x 256 inside), on the CPU. Close it, or use it as a context manager.

    Raises:
        AssetError: the model is missing (see `capture.models.fetch_models`).
    """

    def __init__(self) -> None:
        with silenced():
            self._backend: _Backend = (_Legacy if has_legacy() else _Tasks)()
            self._backend.detect(np.zeros((64, 64, 3), np.uint8))

    def detect(self, image: np.ndarray) -> np.ndarray:
        """[H, W] uint8 of an [H, W, 3] uint8 RGB image: how sure the model is of a person, 255 = certain."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise InputError(
                f"Expected an [H, W, 3] uint8 image, found {image.dtype} {image.shape}", where="PersonMask"
            )
        mask = self._backend.detect(np.ascontiguousarray(image))
        return (mask * 255 + 0.5).astype(np.uint8)

    def close(self) -> None:
        """Free the model."""
        self._backend.close()

    def __enter__(self) -> PersonMask:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Legacy:
    """The model inside the wheel."""

    def __init__(self) -> None:
        from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

        self._model = SelfieSegmentation(model_selection=0)

    def detect(self, image: np.ndarray) -> np.ndarray:
        found: Any = self._model.process(image)
        return found.segmentation_mask

    def close(self) -> None:
        self._model.close()


class _Tasks:
    """The Tasks API with the same model as a file."""

    def __init__(self) -> None:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        base = BaseOptions(model_asset_buffer=model_path(PERSON).read_bytes())
        options = vision.ImageSegmenterOptions(base_options=base, output_confidence_masks=True)
        self._model = vision.ImageSegmenter.create_from_options(options)
        self._image, self._format = mediapipe.Image, mediapipe.ImageFormat.SRGB

    def detect(self, image: np.ndarray) -> np.ndarray:
        masks: Any = self._model.segment(self._image(image_format=self._format, data=image)).confidence_masks
        return masks[-1].numpy_view().reshape(image.shape[:2])

    def close(self) -> None:
        self._model.close()
