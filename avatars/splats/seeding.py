"""A fixed number of splats on the head's surface, more where people look, and on what the mesh does not cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from ..data import Camera, Splats
from ..heads.head import Head
from ..raster.mesh import rasterize_mesh
from .binding import local_frames
from .interior import interior_colors
from .lookalikes import lookalikes

DENSITY = {
    "face": 3.5,
    "nose": 4.0,
    "brows": 5.0,
    "lips": 9.0,
    "eyelids": 9.0,
    "teeth_upper": 4.0,
    "teeth_lower": 4.0,
    "tongue": 1.5,
    "mouth_interior": 1.0,
    "eyeball_l": 5.0,
    "eyeball_r": 5.0,
}
"""Splats per area relative to neck and hair, by region; the last that applies wins."""
_UNSEEN_HEAD, _UNSEEN_BUST, _OUTSIDE = 0.3, 0.02, 0.03
_EXTENT = (0.0004, 0.02)
_RIM = 0.006
"""Share of the picture's width next to the outline where skin has taken some of the background's colour."""


@dataclass
class View:
    """One frame to seed from: posed vertices [V, 3] m (world), image [H, W, 3] uint8, matte [H, W] uint8."""

    vertices: np.ndarray
    image: np.ndarray
    matte: np.ndarray


def seed(
    head: Head, views: list[View], camera: Camera, count: int, fill: float, bases: int, seed: int, white: np.ndarray
) -> Splats:
    """Place `count` splats; a share `fill` goes to foreground outside the mesh (hair, clothes).

    Args:
        head: personalised head.
        views: frames spread over the clip; the middle one decides what is uncovered.
        bases: K, started at zero.
        seed: of the random sampling.
        white: [3] sRGB of the subject's eyes (see `interior.eye_white`), after which unseen teeth take.
    """
    rng = np.random.default_rng(seed)
    middle = views[len(views) // 2]
    screens = [screen(view.vertices, camera) for view in views]
    buffers = [rasterize_mesh(s, head.faces, camera.width, camera.height) for s in screens]
    outside = _uncovered(buffers[len(views) // 2].face, middle.matte)
    filled = round(count * fill) if len(outside) > 200 else 0
    density = _density(head, screens, camera)
    area = areas(head.template, head.faces)
    share = density * area
    share /= share.sum()
    on_surface = count - filled
    triangle = np.sort(systematic(share, on_surface, rng))
    barycentric = random_barycentric(on_surface, rng)
    extent = np.sqrt(area[triangle] / np.maximum(share[triangle] * on_surface, 1e-9)).clip(*_EXTENT)
    mean = np.zeros((on_surface, 3))
    log_scale = np.tile(np.log([0.7, 0.7, 0.25]), (on_surface, 1))
    if filled:
        t, b, m, e = _fill(head, middle, screens[len(views) // 2], camera, outside, filled, rng)
        triangle, barycentric = np.r_[triangle, t], np.r_[barycentric, b]
        mean, extent = np.r_[mean, m], np.r_[extent, e]
        log_scale = np.r_[log_scale, np.tile(np.log([0.7, 0.7, 0.7]), (filled, 1))]
    color = _colors(head, triangle, barycentric, views, screens, [b.face for b in buffers], on_surface, camera, white)
    n = len(triangle)
    quaternion = np.zeros((n, 4), np.float32)
    quaternion[:, 0] = 1
    return Splats(
        triangle.astype(np.int32), barycentric.astype(np.float32), extent.astype(np.float32), mean.astype(np.float32),
        quaternion, log_scale.astype(np.float32), np.full(n, 1.0, np.float32), color.astype(np.float32),
        np.zeros((n, 9, bases), np.float32),
    ).validate(len(head.faces))  # fmt: skip


def screen(vertices: np.ndarray, camera: Camera) -> np.ndarray:
    """World vertices [V, 3] -> (x px, y px, depth m)."""
    pose = camera.camera_from_world
    p = vertices @ pose[:3, :3].T + pose[:3, 3]
    z = np.maximum(p[:, 2], 1e-4)
    return np.stack([p[:, 0] / z * camera.fx + camera.cx, p[:, 1] / z * camera.fy + camera.cy, p[:, 2]], 1).astype(
        np.float32
    )


def areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def _density(head: Head, screens: list[np.ndarray], camera: Camera) -> np.ndarray:
    """Relative splats per area of each triangle."""
    density = np.ones(len(head.faces))
    for region, value in DENSITY.items():
        if region in head.regions:
            density[head.regions[region][head.faces].all(1)] = value
    facing = np.zeros(len(head.faces), bool)
    inside = np.zeros(len(head.faces), bool)
    limit = np.array([camera.width, camera.height]) + 30
    for screen in screens:
        corners = screen[head.faces]
        facing |= _signed_area(corners) < 0  # pixel rows grow downwards, so outward triangles turn clockwise
        middle = corners[..., :2].mean(1)
        inside |= ((middle > -30) & (middle < limit)).all(1)
    bust = head.bust_faces()
    density[~facing & ~bust] *= _UNSEEN_HEAD
    density[~facing & bust] *= _UNSEEN_BUST
    eyes = (head.regions["eyeball_l"] | head.regions["eyeball_r"])[head.faces].any(1)
    density[eyes & ~facing] = 0.02
    density[~inside] *= _OUTSIDE
    return density


def _signed_area(corners: np.ndarray) -> np.ndarray:
    a, b = corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def systematic(share: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` draws with given shares and least variance: one offset, even steps along the cumulative sum."""
    edges = np.cumsum(share)
    points = (np.arange(count) + rng.uniform()) / count * edges[-1]
    return np.searchsorted(edges, points).clip(0, len(share) - 1)


def random_barycentric(count: int, rng: np.random.Generator) -> np.ndarray:
    u = rng.uniform(size=(count, 2))
    root = np.sqrt(u[:, 0])
    return np.stack([1 - root, root * (1 - u[:, 1]), root * u[:, 1]], 1)


def _uncovered(face: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """[M, 2] pixels (x, y) of the person that the mesh does not cover, its rim included."""
    covered = np.asarray(ndimage.binary_erosion(face >= 0, iterations=4, border_value=1), bool)
    ys, xs = np.nonzero((matte > 127) & ~covered)
    return np.stack([xs, ys], 1)


def _fill(
    head: Head,
    view: View,
    screen: np.ndarray,
    camera: Camera,
    pixels: np.ndarray,
    count: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Splats over uncovered pixels, at the depth of the nearest outward triangle and bound to it."""
    order = systematic(np.full(len(pixels), 1.0 / len(pixels)), count, rng)
    at = pixels[order] + rng.uniform(size=(count, 2))
    corners = screen[head.faces]
    eyes = (head.regions["eyeball_l"] | head.regions["eyeball_r"] | head.regions["mouth_interior"])[head.faces].any(1)
    middle = corners.mean(1)
    limit = np.array([camera.width, camera.height]) + 60
    usable = np.flatnonzero(
        (_signed_area(corners) < 0) & ~eyes & (middle[:, :2] > -60).all(1) & (middle[:, :2] < limit).all(1)
    )
    triangle = usable[KDTree(middle[usable, :2]).query(at)[1]]
    depth = middle[triangle, 2]
    point = np.stack([(at[:, 0] - camera.cx) / camera.fx * depth, (at[:, 1] - camera.cy) / camera.fy * depth, depth], 1)
    world = point @ camera.world_from_camera[:3, :3].T + camera.world_from_camera[:3, 3]
    extent = np.full(count, np.sqrt(len(pixels) / count) * np.median(depth) / camera.fx).clip(0.0004, 0.03)
    barycentric = np.full((count, 3), 1 / 3)
    origin, frame, stretch = local_frames(head.template, head.faces, view.vertices, triangle, barycentric)
    local = np.einsum("nji,nj->ni", frame, world - origin) / (extent * stretch)[:, None]
    return triangle, barycentric, local, extent


def _colors(
    head: Head,
    triangle: np.ndarray,
    barycentric: np.ndarray,
    views: list[View],
    screens: list[np.ndarray],
    visible: list[np.ndarray],
    on_surface: int,
    camera: Camera,
    white: np.ndarray,
) -> np.ndarray:
    """[N, 3] mean colour of the pixels where each splat is in front; the unseen take a seen neighbour's or mirror's."""
    total, weight = np.zeros((len(triangle), 3)), np.zeros(len(triangle))
    for view, screen, face in zip(views, screens, visible, strict=True):
        point = np.einsum("nc,nck->nk", barycentric, screen[head.faces[triangle]])
        x, y = np.floor(point[:, 0]).astype(int), np.floor(point[:, 1]).astype(int)
        inside = (x >= 0) & (y >= 0) & (x < camera.width) & (y < camera.height)
        x, y = x.clip(0, camera.width - 1), y.clip(0, camera.height - 1)
        # Near the silhouette the z-buffer shows a neighbour: accept any triangle that shares a corner.
        front = (head.faces[face[y, x]][:, :, None] == head.faces[triangle][:, None, :]).any((1, 2)) & (face[y, x] >= 0)
        front[on_surface:] = True
        solid = ndimage.binary_erosion(view.matte > 127, iterations=round(_RIM * camera.width) + 1, border_value=1)
        use = inside & front & np.where(np.arange(len(x)) < on_surface, solid[y, x], view.matte[y, x] > 127)
        total[use] += view.image[y[use], x[use]] / 255.0
        weight[use] += 1
    color = np.where(weight[:, None] > 0, total / np.maximum(weight, 1)[:, None], np.nan)
    rest = np.einsum("nc,nck->nk", barycentric, head.template[head.faces[triangle]])
    seen = weight > 0
    if not seen.any():
        return np.full((len(triangle), 3), 0.5)
    color[~seen] = color[lookalikes(head, triangle, rest, color, seen)[:, 0]]
    paint = interior_colors(head, triangle, barycentric, white)
    inside = ~seen & np.isfinite(paint[:, 0])
    color[inside] = paint[inside]
    return color
