"""Where MediaPipe's 478 landmarks lie on any head: photograph it, run the detector, cast the landmarks back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..capture import faces as mesh
from ..data import LANDMARKS
from ..errors import AssetError
from .head import Head
from .portrait import FOCAL, IRIS_RADIUS, SIZE, Portrait, Shot, express, iris_axis, paint, photograph
from .regions import inner, outline_regions
from .surface import closest_on_mesh

_OPEN = {"jawOpen": 0.35, "mouthUpperUpLeft": 0.35, "mouthUpperUpRight": 0.35}
_TURNS = ((0.0, 0.0), (0.12, 0.0), (-0.12, 0.0), (0.0, 0.1), (0.0, -0.1))
_LIGHTS = ((0.0, 0.4, 0.9), (0.5, 0.4, 0.7), (-0.5, 0.4, 0.7))
_PEOPLE = 3
_SEED = 5
_MAX_SNAP = 0.006
"""m: how far a landmark may be moved to reach the kind of surface it belongs to."""
_WINDOW = 24
"""Half pixels around a landmark that are searched for such a surface."""
_CLOSED_SHARE = 0.75
_LOWER_LIP = list(mesh.LIPS_OUTER[1:10] + mesh.LIPS_INNER[1:10])
_UPPER_LIP = list(mesh.LIPS_OUTER[11:] + mesh.LIPS_INNER[11:])
_LOWER_DROP = 0.37
"""Skin that falls by more than this share of the most, as the mouth opens, belongs to the lower lip."""
_IS_LIP = np.isin(np.arange(LANDMARKS), mesh.LIPS)
_IS_IRIS = np.isin(np.arange(LANDMARKS), mesh.IRIS_L + mesh.IRIS_R)


@dataclass(frozen=True)
class _Sight:
    """One shot's landmarks on the ground [478, 3] (NaN where missed) and in px [478, 2]."""

    points: np.ndarray
    pixels: np.ndarray


@dataclass(frozen=True)
class _Ground:
    """The template that landmarks of all shots are gathered on.

    Closed lips touch, so that a place on one is as near to the other: lips are gathered on an open mouth.
    """

    faces: np.ndarray
    stages: tuple[np.ndarray, ...]
    """[V, 3] m each: the template at rest, and with its mouth open."""
    surfaces: list[tuple[np.ndarray, np.ndarray, int]]
    """(landmarks, [F] bool triangles they may lie on, stage they are gathered on)."""

    @staticmethod
    def of(head: Head, *, lips_apart: bool) -> _Ground:
        """Either lip, irises on the eyeballs, everything else on the skin."""
        rest, ajar = head.template.astype(float), express(head, _open_mouth(head))
        fall = (rest - ajar)[:, 1]
        low = (fall > _LOWER_DROP * fall.max())[head.faces].all(1)
        skin, ball = ~inner(head)[head.faces].all(1), head.faces_of("eyeball_l", "eyeball_r")
        corners = [mesh.LIPS_OUTER[0], mesh.LIPS_OUTER[10], mesh.LIPS_INNER[0], mesh.LIPS_INNER[10]]
        surfaces = [
            (np.flatnonzero(~_IS_LIP & ~_IS_IRIS), skin, 0),
            (np.flatnonzero(_IS_IRIS), ball, 0),
            (np.array(corners), skin, int(lips_apart)),
            (np.array(_LOWER_LIP), skin & low, int(lips_apart)),
            (np.array(_UPPER_LIP), skin & ~low, int(lips_apart)),
        ]
        return _Ground(head.faces, (rest, ajar), surfaces)


def embed_landmarks(head: Head, progress: Callable[[float], None] | None = None) -> Head:
    """The head with `landmark_faces` and `landmark_barycentric` found.

    Two rounds: the first, on plain skin, says where lips and brows are to be painted for the second. Positions are
    medians over turns, lights and, where the head has identity axes, people; inner lips come from open mouths;
    irises are placed on the eyeball about its axis. A symmetric head gets symmetric landmarks.

    Raises:
        AssetError: the detector finds no face on the head.
    """
    say = progress or (lambda share: None)
    with mesh.FaceMesh(static=True) as detector:
        shots = [Shot({}, *turn) for turn in _TURNS[:3]]
        first = _see(head, shots, detector, _Ground.of(head, lips_apart=False))
        say(0.15)
        painted = replace(head, regions={**head.regions, **outline_regions(head, _merge(first))})
        ground = _Ground.of(head, lips_apart=True)
        calm, open_mouth = [], []
        for i, person in enumerate(_people(painted)):
            shots = [Shot({}, *turn, _LIGHTS[(i + j) % 3]) for j, turn in enumerate(_TURNS)]
            calm += _see(person, shots, detector, ground)
            wide = [replace(shot, expression=_open_mouth(head)) for shot in shots[:3]]
            open_mouth += _see(person, wide, detector, ground)
            say(0.15 + 0.8 * (i + 1) / (_PEOPLE + 1))
    if not calm or not open_mouth:
        raise AssetError("The face detector finds no face on this head", where=head.name)
    points, opened = _merge(calm), _merge(open_mouth)
    # The inner contour is the line of contact on closed lips and their visible edge on open ones: a place between.
    points[_IS_LIP] = _CLOSED_SHARE * points[_IS_LIP] + (1 - _CLOSED_SHARE) * opened[_IS_LIP]
    mirror = mirror_landmarks(open_mouth[0].pixels)
    points = _place_irises(painted, calm[0].pixels, points)
    return _cast_down(painted, ground, _symmetrize(painted, points, mirror))


def mirror_landmarks(pixels: np.ndarray) -> np.ndarray:
    """[478] index of each landmark's mirror image, from a frontal, open-mouthed detection [478, 2] px."""
    lids = pixels[[mesh.EYE_L_INNER, mesh.EYE_R_INNER]].mean(0)
    axis = pixels[mesh.EYE_L_OUTER] - pixels[mesh.EYE_R_OUTER]
    axis = axis / np.linalg.norm(axis)
    offset = (pixels - lids) @ axis
    reflected = pixels - 2 * offset[:, None] * axis
    cost = np.linalg.norm(reflected[:, None] - pixels[None], axis=-1)
    cost = cost + cost.T + 1e3 * (_IS_IRIS[:, None] != _IS_IRIS[None])
    partner = linear_sum_assignment(cost)[1]
    agreed = partner[partner] == np.arange(len(partner))
    return np.where(agreed, partner, np.arange(len(partner)))


def _open_mouth(head: Head) -> dict[str, float]:
    return {name: value for name, value in _OPEN.items() if name in head.expression_names}


def _people(head: Head) -> list[Head]:
    axes = len(head.identity_basis)
    draws = np.random.default_rng(_SEED).normal(0, 0.7, (_PEOPLE if axes else 0, axes))
    return [head, *(head.shape(draw) for draw in draws)]


def _see(person: Head, shots: list[Shot], detector: mesh.FaceMesh, ground: _Ground) -> list[_Sight]:
    """What the detector finds on this person, as points of the ground; shots without a face are left out."""
    color, found = paint(person), []
    for shot in shots:
        picture = photograph(person, color, shot)
        detected = detector.detect(picture.image)
        if len(detected) == 1:
            pixels = detected[0, :, :2].astype(float)
            found.append(_Sight(_cast_back(ground, picture, pixels), pixels))
    return found


def _cast_back(ground: _Ground, picture: Portrait, pixels: np.ndarray) -> np.ndarray:
    """Points of the ground [478, 3] under image points [478, 2], each on the kind of surface it belongs to."""
    out = np.full((len(pixels), 3), np.nan)
    for members, allowed, stage in ground.surfaces:
        for i in members:
            hit = _nearest_pixel(picture, allowed, pixels[i])
            if hit is None:
                continue
            face, at = hit
            corners = ground.faces[face]
            weights = _ray_barycentric(picture.points[corners], at)
            depth = float(picture.points[corners, 2] @ weights)
            if np.linalg.norm(at - pixels[i]) * depth / (FOCAL * SIZE) <= _MAX_SNAP:
                out[i] = weights @ ground.stages[stage][corners]
    return out


def _nearest_pixel(picture: Portrait, allowed: np.ndarray, at: np.ndarray) -> tuple[int, np.ndarray] | None:
    """(triangle, place in px) of the allowed half pixel that is nearest to an image point."""
    x, y = np.clip(np.floor(at * 2).astype(int), 0, 2 * SIZE - 1)
    face = picture.face[y, x]
    if face >= 0 and allowed[face]:
        return int(face), at
    left, top = max(x - _WINDOW, 0), max(y - _WINDOW, 0)
    window = picture.face[top : y + _WINDOW + 1, left : x + _WINDOW + 1]
    rows, columns = np.nonzero((window >= 0) & allowed[window])
    if not len(rows):
        return None
    best = ((rows + top - y) ** 2 + (columns + left - x) ** 2).argmin()
    place = np.array([columns[best] + left + 0.5, rows[best] + top + 0.5]) / 2
    return int(window[rows[best], columns[best]]), place


def _ray_barycentric(corners: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Perspective-correct barycentrics [3] of an image point [2] in a projected triangle [3, (x, y, depth)]."""
    (ax, ay), (bx, by), (cx, cy) = corners[:, :2]
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    area = area if abs(area) > 1e-9 else 1e-9
    w0 = ((bx - at[0]) * (cy - at[1]) - (by - at[1]) * (cx - at[0])) / area
    w1 = ((cx - at[0]) * (ay - at[1]) - (cy - at[1]) * (ax - at[0])) / area
    weights = np.array([w0, w1, 1 - w0 - w1]).clip(-0.5, 1.5) / corners[:, 2]
    return weights / weights.sum()


def _merge(sights: list[_Sight]) -> np.ndarray:
    """Median position [478, 3] over the shots, NaN where most shots missed."""
    if not sights:
        raise AssetError("The face detector finds no face on this head")
    stack = np.stack([sight.points for sight in sights])
    missed = np.isnan(stack[..., 0]).mean(0) > 0.5
    filled = np.where(missed[:, None], 0.0, stack)
    return np.where(missed[:, None], np.nan, np.nanmedian(filled, 0))


def _place_irises(head: Head, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Iris centres at the front of each eyeball, rim points at the iris' radius in the directions that were seen."""
    points = points.copy()
    for side, (middle, *rim) in (("l", mesh.IRIS_L), ("r", mesh.IRIS_R)):
        center, radius = iris_axis(head, side)
        points[middle] = center + np.array([0, 0, radius])
        for i in rim:
            across = (pixels[i] - pixels[middle]) * (1, -1)
            # The four rim points lie right, up, left and down: snap to the axes.
            across = np.where(np.abs(across) == np.abs(across).max(), np.sign(across), 0.0)
            depth = np.sqrt(radius**2 - IRIS_RADIUS**2)
            points[i] = center + np.append(across * IRIS_RADIUS, depth)
    return points


def _symmetrize(head: Head, points: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Average each landmark with its mirror image, if the head is symmetric to within a millimetre."""
    flip = np.array([-1.0, 1.0, 1.0])
    face = head.template[head.skinning[:, 0] < 0.05][::7]
    if closest_on_mesh(face * flip, head.template, head.faces)[2].mean() > 1e-3:
        return points
    twin = points[mirror] * flip
    both = (points + twin) / 2
    return np.where(np.isnan(both), np.where(np.isnan(points), twin, points), both)


def _cast_down(head: Head, ground: _Ground, points: np.ndarray) -> Head:
    """Closest surface points, each on its kind of surface."""
    face, weights = np.full(len(points), -1, np.int32), np.zeros((len(points), 3), np.float32)
    for members, allowed, stage in ground.surfaces:
        rows = members[np.isfinite(points[members, 0])]
        if len(rows):
            face[rows], weights[rows], _ = closest_on_mesh(points[rows], ground.stages[stage], head.faces, allowed)
    return replace(head, landmark_faces=face, landmark_barycentric=weights)
