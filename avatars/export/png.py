"""PNG pictures, lossless and quick."""

from __future__ import annotations

import cv2
import numpy as np


def png_bytes(image: np.ndarray) -> bytes:
    """A whole file of [H, W] grey, [H, W, 3] RGB or [H, W, 4] RGBA uint8 with straight alpha."""
    orders = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    picture = cv2.cvtColor(image, orders[image.shape[2]]) if image.ndim == 3 else image
    good, data = cv2.imencode(".png", picture)
    assert good  # PNG takes any uint8 picture
    return data.tobytes()
