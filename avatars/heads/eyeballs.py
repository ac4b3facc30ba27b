"""Eyeballs: spheres with rings at the pupil and at the iris, so that colours end where they should."""

from __future__ import annotations

import numpy as np

RINGS_DEG = (8.0, 15.5, 23.0, 26.0, 34.0, 44.0, 56.0, 70.0, 86.0, 105.0)
"""Angles from the optical axis; the ball is open behind the last ring, which is never seen."""
PUPIL_RING, IRIS_RING = 0, 2
SEGMENTS = 20
VERTICES = 1 + len(RINGS_DEG) * SEGMENTS


def eyeball_directions() -> np.ndarray:
    """Unit vectors [VERTICES, 3]: the front pole, then ring after ring, optical axis along +z."""
    turn = np.arange(SEGMENTS) * (2 * np.pi / SEGMENTS)
    rows = [np.array([[0.0, 0.0, 1.0]])]
    for degrees in RINGS_DEG:
        polar = np.radians(degrees)
        ring = [np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.full(SEGMENTS, np.cos(polar))]
        rows.append(np.stack(ring, 1))
    return np.concatenate(rows)


def eyeball_faces() -> np.ndarray:
    """Triangles [F, 3], counter-clockwise from outside."""
    around = np.arange(SEGMENTS)
    ahead = (around + 1) % SEGMENTS
    faces = [np.stack([np.zeros(SEGMENTS, int), 1 + around, 1 + ahead], 1)]
    for ring in range(len(RINGS_DEG) - 1):
        a, b = 1 + ring * SEGMENTS + around, 1 + ring * SEGMENTS + ahead
        c, d = b + SEGMENTS, a + SEGMENTS
        faces += [np.stack([a, d, c], 1), np.stack([a, c, b], 1)]
    return np.concatenate(faces)


def eyeball_uv() -> np.ndarray:
    """[VERTICES, 2] in [0, 1]: angle from the axis becomes distance from the middle."""
    turn = np.arange(SEGMENTS) * (2 * np.pi / SEGMENTS)
    rows = [np.array([[0.5, 0.5]])]
    for degrees in RINGS_DEG:
        radius = 0.5 * degrees / RINGS_DEG[-1]
        rows.append(0.5 + radius * np.stack([np.cos(turn), np.sin(turn)], 1))
    return np.concatenate(rows)


def mirror() -> np.ndarray:
    """[VERTICES] index of each vertex's reflection in the middle plane, within the other eye."""
    around = (SEGMENTS // 2 - np.arange(SEGMENTS)) % SEGMENTS
    return np.concatenate([[0], *(1 + ring * SEGMENTS + around for ring in range(len(RINGS_DEG)))])


def iris_vertices() -> np.ndarray:
    """[VERTICES] bool: pole to iris rim."""
    return np.arange(VERTICES) < 1 + (IRIS_RING + 1) * SEGMENTS


def pupil_vertices() -> np.ndarray:
    """[VERTICES] bool: pole to pupil rim."""
    return np.arange(VERTICES) < 1 + (PUPIL_RING + 1) * SEGMENTS


def fit_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Least-squares centre [3] and radius of points [n, 3] (algebraic fit)."""
    lhs = np.concatenate([2 * points, np.ones((len(points), 1))], 1)
    solution = np.linalg.lstsq(lhs, (points**2).sum(1), rcond=None)[0]
    center = solution[:3]
    return center, float(np.sqrt(solution[3] + center @ center))
