"""The z-buffer against a brute-force one in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.errors import InputError
from avatars.raster.mesh import NEAR, rasterize_mesh


def brute_force(points: np.ndarray, faces: np.ndarray, width: int, height: int):
    """Every triangle on every pixel, in float64."""
    points = points.astype(np.float64)
    y, x = np.mgrid[:height, :width] + 0.5
    face, depth = np.full((height, width), -1), np.full((height, width), np.inf)
    weights = np.zeros((height, width, 3))
    for f, (a, b, c) in enumerate(points[faces]):
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if area == 0 or min(a[2], b[2], c[2]) <= NEAR:
            continue
        u = ((c[0] - b[0]) * (y - b[1]) - (c[1] - b[1]) * (x - b[0])) / area
        v = ((a[0] - c[0]) * (y - c[1]) - (a[1] - c[1]) * (x - c[0])) / area
        w = 1 - u - v
        screen = np.stack([u / a[2], v / b[2], w / c[2]], -1)
        z = 1 / screen.sum(-1)
        hit = (u >= 0) & (v >= 0) & (w >= 0) & (z.astype(np.float32) < depth)
        face[hit], depth[hit], weights[hit] = f, z[hit].astype(np.float32), (screen * z[..., None])[hit]
    return face, weights, np.where(face >= 0, depth, 0)


@pytest.mark.parametrize("seed", range(6))
def test_matches_brute_force(seed: int):
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(-15, 75, (40, 2)), rng.uniform(-0.2, 3, (40, 1))], 1).astype(np.float32)
    points[5] = points[6]  # zero areas
    faces = rng.integers(0, 40, (60, 3)).astype(np.int32)
    ours, (face, weights, depth) = rasterize_mesh(points, faces, 61, 47), brute_force(points, faces, 61, 47)
    assert np.array_equal(ours.face, face)
    assert (face >= 0).mean() > 0.2
    np.testing.assert_allclose(ours.depth, depth, rtol=1e-6)
    np.testing.assert_allclose(ours.barycentric, weights, atol=1e-6)


def test_a_closed_quad_has_no_cracks_and_perspective_is_right():
    points = np.array([[0, 0, 1], [32, 0, 4], [32, 32, 4], [0, 32, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    drawn = rasterize_mesh(points, faces, 32, 32)
    assert (drawn.face >= 0).all()
    x = (np.arange(32) + 0.5) / 32
    expected = 1 / ((1 - x) / 1 + x / 4)  # 1/z is linear on the screen
    np.testing.assert_allclose(drawn.depth, np.broadcast_to(expected, (32, 32)), rtol=1e-6)
    np.testing.assert_allclose(drawn.barycentric.sum(-1), 1, atol=1e-6)


def test_spoilt_meshes():
    points = np.array([[np.nan, 0, 1], [5, 0, 1], [0, 5, 1], [5, 5, np.inf], [3e38, 1, 1], [1, 1, 0]], np.float32)
    faces = np.array([[0, 1, 2], [1, 2, 3], [1, 2, 5], [1, 1, 2]], np.int32)
    assert (rasterize_mesh(points, faces, 7, 5).face == -1).all()
    assert rasterize_mesh(points[:0], faces[:0], 3, 2).face.shape == (2, 3)
    huge = rasterize_mesh(points, np.array([[1, 2, 4]], np.int32), 7, 5)
    assert np.isfinite(huge.depth).all()
    for bad in (np.array([[0, 1, 6]]), np.array([[-1, 1, 2]]), np.zeros((2, 4))):
        with pytest.raises(InputError):
            rasterize_mesh(points, bad, 7, 5)
    with pytest.raises(InputError):
        rasterize_mesh(points, faces, 0, 5)
