"""Values of a drawn mesh at its pixels, and of textures at uv coordinates; component first, [k, n]."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..raster.mesh import MeshBuffers

_COLUMNS = 4096
"""cv2.remap takes maps of at most 2^15 a side, so lists are folded into rows."""


class Pixels:
    """The n pixels of a drawn scene that show one of its parts.

    Args:
        drawn: buffers of the whole scene.
        index: [n] flat indices of the pixels.
        start: the part's first face.
    """

    def __init__(self, drawn: MeshBuffers, index: np.ndarray, start: int) -> None:
        self.face = torch.from_numpy(drawn.face.ravel()[index].astype(np.int64) - start)
        self.weights = torch.from_numpy(drawn.barycentric.reshape(-1, 3)[index])

    def interpolate(self, fields: np.ndarray, faces: np.ndarray) -> Tensor:
        """Vertex values [V, k] at the pixels [k, n]."""
        return self.corners(np.ascontiguousarray(fields, np.float32)[faces])

    def corners(self, fields: np.ndarray) -> Tensor:
        """Values of face corners [F, 3, k] at the pixels [k, n]."""
        rows = torch.from_numpy(np.ascontiguousarray(fields, np.float32).reshape(len(fields), -1))
        taken = rows.index_select(0, self.face).unflatten(1, (3, -1))
        mixed = (self.weights[:, None] @ taken)[:, 0]
        return mixed.t().contiguous()


def sample(image: np.ndarray, uv: Tensor) -> Tensor:
    """Bilinear values [k, n] of a texture [R, R, k] at uv [2, n] in [0, 1]."""
    count = uv.shape[1]
    rows = -(-count // _COLUMNS)
    at = np.zeros((rows * _COLUMNS, 2), np.float32)
    at[:count] = uv.t().numpy() * np.float32(image.shape[0]) - np.float32(0.5)
    across, down = (np.ascontiguousarray(at[:, k]).reshape(rows, _COLUMNS) for k in range(2))
    out = cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(out.reshape(rows * _COLUMNS, -1)[:count]).t().contiguous()
