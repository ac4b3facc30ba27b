"""Where MediaPipe's 478 landmarks lie on any head: photograph it, run the detector, cast the landmarks back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.optimize import linear_sum_assignment

from ..capture import faces as mesh
from ..errors import AssetError
from .head import Head
from .portrait import IRIS_RADIUS, SIZE, Portrait, Shot, iris_axis, paint, photograph
from .regions import outline_regions
from .surface import closest_on_mesh

_OPEN = {"jawOpen": 0.35, "mouthUpperUpLeft": 0.35, "mouthUpperUpRight": 0.35}
_TURNS = ((0.0, 0.0), (0.12, 0.0), (-0.12, 0.0), (0.0, 0.1), (0.0, -0.1))
_LIGHTS = ((0.0, 0.4, 0.9), (0.5, 0.4, 0.7), (-0.5, 0.4, 0.7))
_PEOPLE = 4
_SEED = 5
_MAX_SNAP = 0.006
"""m: how far a landmark may be moved to reach the kind of surface it belongs to."""
_LIDS, _IRISES = mesh.EYE_L + mesh.EYE_R, mesh.IRIS_L + mesh.IRIS_R


@dataclass(frozen=True)
class _Sight:
    """One shot's landmarks in template coordinates [478, 3] (NaN where missed) and in px [478, 2]."""

    points: np.ndarray
    pixels: np.ndarray


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
        first = _see(head, [Shot({}, *turn) for turn in _TURNS[:3]], detector)
        say(0.15)
        painted = replace(head, regions={**head.regions, **outline_regions(head, _merge(first))})
        calm, open_mouth = [], []
        for i, person in enumerate(_people(painted)):
            shots = [Shot({}, *turn, _LIGHTS[(i + j) % 3]) for j, turn in enumerate(_TURNS)]
            calm += _see(person, shots, detector, painted)
            wide = [replace(shot, expression=_open_mouth(head)) for shot in shots[:3]]
            open_mouth += _see(person, wide, detector, painted)
            say(0.15 + 0.8 * (i + 1) / (_PEOPLE + 1))
    if not calm or not open_mouth:
        raise AssetError("The face detector finds no face on this head", where=head.name)
    points = _merge(calm)
    inner, outer = list(mesh.LIPS_INNER), list(mesh.LIPS_OUTER)
    opened = _merge(open_mouth)
    points[inner] = opened[inner]
    points[outer] = (points[outer] + opened[outer]) / 2
    mirror = mirror_landmarks(open_mouth[0].pixels)
    points = _place_irises(painted, calm[0].pixels, points)
    return _cast_down(painted, _symmetrize(painted, points, mirror))


def mirror_landmarks(pixels: np.ndarray) -> np.ndarray:
    """[478] index of each landmark's mirror image, from a frontal, open-mouthed detection [478, 2] px."""
    lids = pixels[[mesh.EYE_L_INNER, mesh.EYE_R_INNER]].mean(0)
    axis = pixels[mesh.EYE_L_OUTER] - pixels[mesh.EYE_R_OUTER]
    axis = axis / np.linalg.norm(axis)
    offset = (pixels - lids) @ axis
    reflected = pixels - 2 * offset[:, None] * axis
    cost = np.linalg.norm(reflected[:, None] - pixels[None], axis=-1)
    kind = np.isin(np.arange(len(pixels)), _IRISES)
    cost = cost + cost.T + 1e3 * (kind[:, None] != kind[None])
    partner = linear_sum_assignment(cost)[1]
    agreed = partner[partner] == np.arange(len(partner))
    return np.where(agreed, partner, np.arange(len(partner)))


def _open_mouth(head: Head) -> dict[str, float]:
    return {name: value for name, value in _OPEN.items() if name in head.expression_names}


def _people(head: Head) -> list[Head]:
    axes = len(head.identity_basis)
    draws = np.random.default_rng(_SEED).normal(0, 0.7, (_PEOPLE if axes else 0, axes))
    return [head, *(head.shape(draw) for draw in draws)]


def _see(person: Head, shots: list[Shot], detector: mesh.FaceMesh, template: Head | None = None) -> list[_Sight]:
    """What the detector finds on this person, as points of the template; shots without a face are left out."""
    template = template or person
    color, found = paint(person), []
    for shot in shots:
        picture = photograph(person, color, shot)
        detected = detector.detect(picture.image)
        if len(detected) == 1:
            pixels = detected[0, :, :2].astype(float)
            found.append(_Sight(_cast_back(template, picture, pixels), pixels))
    return found


def _cast_back(template: Head, picture: Portrait, pixels: np.ndarray) -> np.ndarray:
    """Template points [478, 3] under image points [478, 2], each on the kind of surface it belongs to."""
    ball = template.faces_of("eyeball_l", "eyeball_r")
    skin = ~ball & ~template.faces_of("mouth_interior", "tongue", "teeth_upper", "teeth_lower")
    out = np.full((len(pixels), 3), np.nan)
    for allowed, members in ((skin, np.setdiff1d(np.arange(len(pixels)), _IRISES)), (ball, np.array(_IRISES))):
        good = (picture.face >= 0) & allowed[picture.face]
        rows, columns = distance_transform_edt(~good, return_distances=False, return_indices=True)
        at = np.clip(np.floor(pixels[members] * 2).astype(int), 0, 2 * SIZE - 1)
        y, x = rows[at[:, 1], at[:, 0]], columns[at[:, 1], at[:, 0]]
        face = picture.face[y, x]
        moved = np.stack([x + 0.5, y + 0.5], 1) / 2
        snap = np.linalg.norm(moved - pixels[members], axis=1)
        exact = np.where(snap[:, None] < 0.75, pixels[members], moved)
        weights = _ray_barycentric(picture.points[template.faces[face]], exact)
        depth = (picture.points[template.faces[face], 2] * weights).sum(1)
        points = (template.template[template.faces[face]] * weights[..., None]).sum(1)
        too_far = snap * depth / (2.4 * SIZE) > _MAX_SNAP
        out[members] = np.where(too_far[:, None], np.nan, points)
    return out


def _ray_barycentric(corners: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Perspective-correct barycentrics [n, 3] of image points in projected triangles [n, 3, (x, y, depth)]."""
    (ax, ay), (bx, by), (cx, cy) = (corners[:, k, :2].T for k in range(3))
    px, py = pixels.T
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    w0 = ((bx - px) * (cy - py) - (by - py) * (cx - px)) / area
    w1 = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) / area
    weights = np.stack([w0, w1, 1 - w0 - w1], 1).clip(-0.5, 1.5) / corners[..., 2]
    return weights / weights.sum(1, keepdims=True)


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


def _cast_down(head: Head, points: np.ndarray) -> Head:
    """Closest surface points, irises on the eyeballs and everything else on the skin."""
    face, weights = np.full(len(points), -1, np.int32), np.zeros((len(points), 3), np.float32)
    ball = head.faces_of("eyeball_l", "eyeball_r")
    skin = ~ball & ~head.faces_of("mouth_interior", "tongue", "teeth_upper", "teeth_lower")
    iris = np.isin(np.arange(len(points)), _IRISES)
    for allowed, members in ((skin, ~iris), (ball, iris)):
        rows = np.flatnonzero(members & np.isfinite(points[:, 0]))
        if len(rows):
            face[rows], weights[rows], _ = closest_on_mesh(points[rows], head.template, head.faces, allowed)
    return replace(head, landmark_faces=face, landmark_barycentric=weights)
