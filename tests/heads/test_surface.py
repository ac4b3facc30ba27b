"""Closest points, borders, seams and the flattening, on meshes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.heads.surface import closest_on_mesh, neighbour_mean, vertex_normals
from avatars.heads.unwrap import border_loops, charts, cut_open, flatten


def grid(n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A bumpy n by n sheet with a hole in it, seen from +z."""
    x, y = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="xy")
    points = np.stack([x, y, 0.2 * np.sin(5 * x) * np.cos(4 * y)], -1).reshape(-1, 3)
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    middle = points[faces].mean(1)[:, :2]
    return points, faces[np.abs(middle - 0.5).max(1) > 0.12]


def cylinder(n: int = 24, rings: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """A head-like tube, closed at the top, open below."""
    turn = np.arange(n) * 2 * np.pi / n
    rows = [np.stack([0.1 * np.sin(turn), np.full(n, 0.03 * k), 0.1 * np.cos(turn)], 1) for k in range(rings)]
    points = np.concatenate([*rows, [[0, 0.03 * rings, 0.0]]])
    at = np.arange(n * rings).reshape(rings, n)
    a, b, c, d = at[:-1], np.roll(at[:-1], -1, 1), np.roll(at[1:], -1, 1), at[1:]
    quads = [np.stack([a.ravel(), b.ravel(), c.ravel()], 1), np.stack([a.ravel(), c.ravel(), d.ravel()], 1)]
    cap = np.stack([at[-1], np.roll(at[-1], -1), np.full(n, n * rings)], 1)
    return points, np.concatenate([*quads, cap])


def _brute(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Distances [n] to the nearest triangle by dense sampling of every triangle."""
    t = np.linspace(0, 1, 41)
    u, v = np.meshgrid(t, t)
    inside = (u + v) <= 1 + 1e-9
    w = np.stack([1 - u[inside] - v[inside], u[inside], v[inside]], 1)
    samples = np.einsum("sk,fkd->fsd", w, corners).reshape(-1, 3)
    return np.array([np.linalg.norm(samples - p, axis=1).min() for p in points])


def test_closest_points_are_closest() -> None:
    points, faces = grid(7)
    queries = np.random.default_rng(0).uniform(-0.2, 1.2, (60, 3))
    triangle, weights, distance = closest_on_mesh(queries, points, faces)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)
    assert weights.min() >= -1e-12
    hit = np.einsum("nkd,nk->nd", points[faces[triangle]], weights)
    np.testing.assert_allclose(np.linalg.norm(hit - queries, axis=1), distance, atol=1e-12)
    brute = _brute(queries, points[faces])
    assert (distance <= brute + 1e-12).all()
    np.testing.assert_allclose(distance, brute, atol=2e-3)  # the sampling's spacing


def test_only_allowed_triangles_are_hit() -> None:
    points, faces = grid(7)
    allowed = points[faces].mean(1)[:, 0] > 0.6
    triangle, _, _ = closest_on_mesh(np.zeros((1, 3)), points, faces, allowed)
    assert allowed[triangle].all()


def test_normals_and_neighbours_of_a_flat_sheet() -> None:
    points, faces = grid()
    flat = points * (1, 1, 0)
    np.testing.assert_allclose(
        vertex_normals(flat, faces)[np.unique(faces)], [[0, 0, 1]] * len(np.unique(faces)), atol=1e-12
    )
    mean = neighbour_mean(faces, len(points))
    np.testing.assert_allclose(np.asarray(mean.sum(1)).ravel()[np.unique(faces)], 1, atol=1e-12)


def test_borders_are_found_in_order() -> None:
    points, faces = grid()
    loops = border_loops(faces)
    assert [len(loop) for loop in loops] == [44, 12]
    outer = points[loops[0]]
    area = (outer[:, 0] * np.roll(outer[:, 1], -1) - np.roll(outer[:, 0], -1) * outer[:, 1]).sum() / 2
    assert area == pytest.approx(1.0)  # counter-clockwise around the sheet


def test_flattening_folds_nothing_and_gives_room_where_wanted() -> None:
    points, faces = grid()
    used = np.unique(faces)
    index = np.full(len(points), -1)
    index[used] = np.arange(len(used))
    points, faces = points[used], index[faces]
    left = points[:, 0] < 0.5
    shares = []
    for importance in (np.ones(len(points)), np.where(left, 6.0, 1.0)):
        flat = flatten(points, faces, importance, points[:, :2])
        a, b = flat[faces[:, 1]] - flat[faces[:, 0]], flat[faces[:, 2]] - flat[faces[:, 0]]
        area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
        assert area.min() > 0
        assert flat.min() > -0.05
        assert flat.max() < 1.05
        shares.append(area[left[faces].all(1)].sum() / area.sum())
        corner = flat[np.linalg.norm(points[:, :2], axis=1).argmin()]
        np.testing.assert_allclose(corner, [0, 0], atol=1e-9)
    assert shares[1] > shares[0] + 0.1


def test_cut_opens_a_tube_into_one_disk() -> None:
    points, faces = cylinder()
    corners = cut_open(points, faces, np.zeros((*faces.shape, 2)))
    owner = np.zeros(corners.max() + 1, int)
    owner[corners.ravel()] = faces.ravel()
    np.testing.assert_array_equal(owner[corners], faces)
    assert len(np.unique(charts(corners))) == 1
    extra = corners.max() + 1 - len(points)
    assert extra == 9  # the seam's vertices are doubled, but for the tip
    assert len(border_loops(corners)) == 1
    doubled = np.bincount(owner) == 2
    assert points[doubled, 2].max() < -0.05  # at the back
