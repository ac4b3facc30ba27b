"""Triangle meshes drawn into a z-buffer: landmark casting, synthetic captures, wireframes. No gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from . import native
from .threads import thread_count

NEAR = 0.01
"""m; a triangle with a corner nearer than this is not drawn."""


@dataclass(frozen=True)
class MeshBuffers:
    """What each pixel sees."""

    face: np.ndarray
    """[H, W] int32 index of the nearest face, -1 where there is none."""
    barycentric: np.ndarray
    """[H, W, 3] float32, perspective-correct weights of the face's corners; 0 where there is no face."""
    depth: np.ndarray
    """[H, W] float32 m; 0 where there is no face."""


def rasterize_mesh(points: np.ndarray, faces: np.ndarray, width: int, height: int) -> MeshBuffers:
    """Draw a mesh, both sides of every triangle.

    Args:
        points: [V, 3] x and y in pixels (centres at half-integers) and depth z in metres.
        faces: [F, 3] vertex indices. At equal depth the first face wins.
        width, height: of the picture.

    Raises:
        InputError: empty picture, wrong shapes, or an index out of range.
    """
    points, faces = np.ascontiguousarray(points, np.float32), np.ascontiguousarray(faces, np.int32)
    if width <= 0 or height <= 0:
        raise InputError(f"The picture is empty: {width} x {height}")
    if points.ndim != 2 or points.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise InputError(f"points and faces must be [V, 3] and [F, 3], not {points.shape} and {faces.shape}")
    if faces.size and (faces.min() < 0 or faces.max() >= len(points)):
        raise InputError("A face refers to a vertex that does not exist")
    face = np.empty((height, width), np.int32)
    barycentric = np.empty((height, width, 3), np.float32)
    depth = np.empty((height, width), np.float32)
    native.check(
        native.library().av_mesh(
            thread_count(), len(points), len(faces), width, height, points.ctypes.data, faces.ctypes.data,
            NEAR, face.ctypes.data, barycentric.ctypes.data, depth.ctypes.data,
        )
    )  # fmt: skip
    return MeshBuffers(face, barycentric, depth)
