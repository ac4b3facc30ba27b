"""Puts head, hair and clothes before the camera and draws them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..data import Camera
from ..heads.head import Head, HeadModel
from ..heads.surface import vertex_normals
from ..raster.mesh import rasterize_mesh
from . import shading
from .clothes import TILE, TILE_SIZE, sew
from .hair import grow_hair
from .hollows import Hollows
from .look import Look
from .pixels import Pixels, sample
from .shading import unit
from .shadow import ShadowMap, bake_occlusion
from .skin import paint_head
from .texels import Texels

_SAMPLES = 2
"""Per pixel and axis."""
_SHADOW_SIZE = 288
_LEAST_SKY = 0.35
"""Hems turn in, where little light is baked; they are thin, so it reaches them nevertheless."""


@dataclass(frozen=True)
class Body:
    """Everything posed: world coordinates (y down), m."""

    head: np.ndarray
    """[V, 3] vertices: the ground truth."""
    clothes: np.ndarray
    skull: np.ndarray
    """[3, 4] head bone, from rest: it carries the hair."""
    torso: np.ndarray
    """[3, 4] torso bone, from rest."""


class Studio:
    """One person, dressed and lit.

    Args:
        head: personalised.
        look: colours, hair, clothes and lights.
        rng: what chance decides.
        texture: side of the skin's texture, px.
    """

    def __init__(self, head: Head, look: Look, rng: np.random.Generator, texture: int) -> None:
        self.look, self.head, self.model = look, head, HeadModel(head)
        self.lights = shading.Lights.of(look)
        self.paint = paint_head(Texels(head, texture), look, rng)
        self.hair, self.clothes = grow_hair(head, look, rng), sew(head, look, rng)
        self.hollows = Hollows(head)
        first = len(head.template)
        second = first + len(self.clothes.vertices)
        solid = np.concatenate([head.faces, self.clothes.faces + first])
        self.faces = np.concatenate([solid, self.hair.faces + second]).astype(np.int32)
        self._shadow_faces = np.concatenate([solid, self.hair.coarse_faces + second]).astype(np.int32)
        self._kinds = np.cumsum([len(head.faces), len(self.clothes.faces), len(self.hair.faces)])
        rest = np.concatenate([head.template, self.clothes.vertices, self.hair.coarse_vertices])
        self._cloth_normals = vertex_normals(self.clothes.vertices, self.clothes.faces).astype(np.float32)
        normals = np.concatenate([vertex_normals(head.template, head.faces), self._cloth_normals])
        sky = bake_occlusion(rest, self._shadow_faces, rest[:second], normals)
        # Mouth and eyes are baked shut; what reaches them is for `hollows` to say.
        self._skin_sky = np.where(self.hollows.inside, 1.0, sky[:first]).astype(np.float32)
        self._cloth_sky = np.maximum(sky[first:], _LEAST_SKY)

    def pose(
        self,
        expression: np.ndarray,
        rotation: np.ndarray,
        translation: np.ndarray,
        torso_rotation: np.ndarray,
        torso_translation: np.ndarray,
    ) -> Body:
        """Body of one face state: expression [E], rotations [3] axis-angle, translations [3] m."""
        values = (expression, rotation, translation, torso_rotation, torso_translation)
        e, r, t, tr, tt = (torch.from_numpy(np.asarray(v, np.float32))[None] for v in values)
        turn, torso = geometry.matrix_from_rotvec(r), geometry.matrix_from_rotvec(tr)
        bones = self.model.transforms(e, turn, t, torso, tt)
        head = self.model.skin(self.model.rest(e), bones)[0].numpy()
        bone = bones[0].numpy()
        blended = np.einsum("nj,jab->nab", self.clothes.skinning, bone[:, :3])
        clothes = (blended[..., :3] @ self.clothes.vertices[..., None])[..., 0] + blended[..., 3]
        return Body(head, clothes, bone[1, :3], bone[0, :3])

    def draw(self, body: Body, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """(linear colour times coverage [H, W, 3], coverage [H, W]) float32."""
        width, height = camera.width * _SAMPLES, camera.height * _SAMPLES
        view = camera.resized(width, height)
        drawn = rasterize_mesh(_project(self._scene(body, self.hair.vertices), view), self.faces, width, height)
        shadow = ShadowMap(
            self._scene(body, self.hair.coarse_vertices), self._shadow_faces, self.lights.toward.numpy(), _SHADOW_SIZE
        )
        eye = np.asarray(view.world_from_camera)[:3, 3].astype(np.float32)
        face = drawn.face.ravel()
        kind = np.where(face < 0, -1, np.searchsorted(self._kinds, face, side="right"))
        color = np.zeros((height * width, 3), np.float32)
        for number, paint in enumerate((self._draw_skin, self._draw_cloth, self._draw_hair)):
            index = np.flatnonzero(kind == number)
            if len(index):
                start = int(self._kinds[number - 1]) if number else 0
                color[index] = paint(body, Pixels(drawn, index, start), eye, shadow).t().numpy()
        cover = (kind >= 0).astype(np.float32).reshape(height, width)
        size = (camera.width, camera.height)
        small = cv2.resize(color.reshape(height, width, 3), size, interpolation=cv2.INTER_AREA)
        return small, cv2.resize(cover, size, interpolation=cv2.INTER_AREA)

    def _scene(self, body: Body, hair: np.ndarray) -> np.ndarray:
        """All vertices, in the order that faces count them."""
        return np.concatenate([body.head, body.clothes, hair @ body.skull[:, :3].T + body.skull[:, 3]])

    def _draw_skin(self, body: Body, pixels: Pixels, eye: np.ndarray, shadow: ShadowMap) -> Tensor:
        toward = self.lights.toward.numpy()
        normals = vertex_normals(body.head, self.head.faces).astype(np.float32)
        half = _rows_unit(_rows_unit(eye - body.head) + toward)
        lit = shadow.lit(body.head + 0.003 * normals, 0.004) * np.clip(normals @ toward * 4 + 1, 0, 1)
        dark = self.hollows.light(body.head)
        values = pixels.interpolate(
            np.column_stack([normals, half, self._skin_sky * dark, lit * dark]), self.head.faces
        )
        uv = pixels.corners(self.head.uv)
        smooth = unit(values[:3])
        normal = unit(smooth - torch.from_numpy(body.skull[:, :3]) @ sample(self.paint.slope, uv))
        return shading.skin(
            self.lights, normal, smooth, unit(values[3:6]), values[6:7], values[7:8],
            sample(self.paint.albedo, uv), sample(self.paint.gloss, uv),
        )  # fmt: skip

    def _draw_cloth(self, body: Body, pixels: Pixels, eye: np.ndarray, shadow: ShadowMap) -> Tensor:
        del eye  # matt
        c = self.clothes
        normals = self._cloth_normals @ body.torso[:, :3].T
        lit = shadow.lit(body.clothes + 0.004 * normals, 0.004)
        values = pixels.interpolate(np.column_stack([normals, self._cloth_sky, lit, c.uv, c.collar]), c.faces)
        at = torch.remainder(values[5:7] / TILE_SIZE, 1) * ((TILE - 1) / TILE)
        rib = 0.85 + 0.15 * torch.sin(values[5:6] * (2 * np.pi / 0.0035))
        share = values[7:8]
        albedo = sample(c.tile, at) * (1 - share) + torch.from_numpy(c.trim)[:, None] * rib * share
        return shading.cloth(self.lights, unit(values[:3]), values[3:4], values[4:5], albedo)

    def _draw_hair(self, body: Body, pixels: Pixels, eye: np.ndarray, shadow: ShadowMap) -> Tensor:
        h, turn = self.hair, body.skull[:, :3].T
        points = h.points @ turn + body.skull[:, 3]
        normal, tangent = h.normal @ turn, h.tangent @ turn
        lit = torch.from_numpy(shadow.lit(points + 0.006 * normal, 0.006, soft=False))
        inner = torch.from_numpy(0.25 + 0.75 * h.depth)[None]
        n, t, v, albedo = (
            torch.from_numpy(np.ascontiguousarray(x.T)) for x in (normal, tangent, eye - points, h.albedo)
        )
        color = shading.hair(self.lights, n, t, unit(v), inner, (0.3 + 0.7 * lit) * inner, albedo)
        return pixels.interpolate(np.repeat(color.t().numpy(), 2, 0), h.faces)


def _project(points: np.ndarray, camera: Camera) -> np.ndarray:
    """[n, 3]: x, y in pixels, depth in m."""
    matrix = camera.camera_from_world.astype(np.float32)
    seen = points @ matrix[:3, :3].T + matrix[:3, 3]
    seen[:, :2] *= np.array([camera.fx, camera.fy], np.float32) / np.maximum(seen[:, 2:], 1e-3)
    seen[:, :2] += np.array([camera.cx, camera.cy], np.float32)
    return seen


def _rows_unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9)
