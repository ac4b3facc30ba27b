"""Faces further than any film goes: each of the 52 ARKit coefficients at 1, and random combinations of them.

Two things must hold: no splat flies off, and nobody sees through the face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from avatars.data import Motion
from avatars.heads.arkit import NAMES, admissible
from avatars.motion.retarget import Retarget
from avatars.raster.mesh import rasterize_mesh
from avatars.splats.avatar import Avatar
from avatars.splats.binding import bind_reference, ellipsoids
from avatars.splats.model import AvatarModel, Pose
from avatars.training.views import expressed, rest_pose

FAR = 1.5
"""Head radii from its middle that no splat may reach; those of the body may rest further out, where it carries them."""
_STIRRED = 0.05
"""Head radii by which a splat of the body leaves its seat to count."""
SOLID = 0.8
"""Alpha under which a pixel of the face is a hole."""
_RIM = 10
"""px from the edge of the face, at 512, where what lies open to the outside is an outline and no hole."""
_FACE = ("face", "lips", "eyelids", "eyeball_l", "eyeball_r", "mouth_interior", "teeth_upper", "teeth_lower", "tongue")
_SIZE = 512


@dataclass(frozen=True)
class Face:
    """One posed face and what was found of it."""

    name: str
    pose: Pose
    reach: float
    """Largest distance from the middle of the head, in head radii: splats of the head, and of the body that left it."""
    spread: float
    """Largest standard deviation of a splat of the head, in head radii."""
    holes: float
    """Share of the face's pixels that are not solid."""

    @property
    def good(self) -> bool:
        """Nothing flew off and nothing shows through."""
        return self.reach <= FAR and self.holes == 0


def combinations(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random faces [52] by name: three to ten coefficients, each anywhere up to 1."""
    rng = np.random.default_rng(seed)
    out = {}
    for k in range(count):
        face = np.zeros(len(NAMES))
        moving = rng.choice(len(NAMES), rng.integers(3, 11), replace=False)
        face[moving] = rng.uniform(0.2, 1, len(moving))
        out[f"random {k}"] = admissible(face)
    return out


def sweep(avatar: Avatar, count: int = 24, raw: bool = False) -> list[Face]:
    """The 52 coefficients at 1 and `count` random combinations, measured.

    Args:
        raw: pose the head by the coefficients themselves; else as sliders, recordings and speech do, within what the
            subject can do.
    """
    faces = {name: np.eye(len(NAMES))[i] for i, name in enumerate(NAMES)} | combinations(count)
    rest = rest_pose(avatar)
    measure = Measure(avatar.model(), avatar, rest)
    if raw:
        moved = ({n: float(v) for n, v in zip(NAMES, face, strict=True) if v} for face in faces.values())
        poses = [expressed(avatar.head, rest, coefficients) for coefficients in moved]
    else:
        driven = Retarget(avatar)(_held(np.array(list(faces.values()))))
        poses = [driven[i] for i in range(len(faces))]
    return [measure(name, pose) for name, pose in zip(faces, poses, strict=True)]


def _held(faces: np.ndarray) -> Motion:
    """Faces [T, 52] of a head that rests."""
    nothing = np.zeros((len(faces), 3))
    return Motion(np.arange(len(faces)) / 25.0, faces, nothing, nothing)


class Measure:
    """Holds what is true of the face at rest."""

    def __init__(self, model: AvatarModel, avatar: Avatar, rest: Pose) -> None:
        self.model, self.head = model, avatar.head
        scale = _SIZE / max(avatar.camera.width, avatar.camera.height)
        self.camera = avatar.camera.resized(round(avatar.camera.width * scale), round(avatar.camera.height * scale))
        body = self.head.regions["shoulders"] | self.head.regions["neck"]
        vertices = model.vertices(rest)[0].numpy()
        self.skull = ~body
        self.middle = vertices[self.skull].mean(0)
        self.radius = float(np.linalg.norm(vertices[self.skull] - self.middle, axis=1).max())
        self.rest_seat = self._splats(rest)[2]
        self.shown = torch.sigmoid(model.parameters["logit_opacity"].detach()).numpy() > 1 / 255
        self.of_head = self.skull[model.binding.corner].all(1)
        wanted = np.zeros(len(self.skull), bool)
        for name in _FACE:
            wanted |= self.head.regions.get(name, np.zeros(len(self.skull), bool))
        self.face = wanted[self.head.faces].all(1)

    def __call__(self, name: str, pose: Pose) -> Face:
        """Everything about one pose with the head where it rests."""
        distance, scale, seat = self._splats(pose)
        counts = self.shown & (self.of_head | (np.abs(seat - self.rest_seat) > _STIRRED))
        return Face(name, pose, float(distance[counts].max()), float(scale[self.of_head].max()), self._holes(pose))

    @torch.no_grad()
    def _splats(self, pose: Pose) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance from the middle, largest deviation, and distance from its seat of each splat, [N] each, in head
        radii.
        """
        p, model = self.model.parameters, self.model
        vertices = model.vertices(pose)
        means, shapes, *_ = bind_reference(
            vertices, model.binding, p["mean"], p["quaternion"], p["log_scale"], p["logit_opacity"],
            p["color"], model.delta(model.weights(pose)),
        )  # fmt: skip
        away = np.linalg.norm(means[0].numpy() - self.middle, axis=1)
        left = (means - model.binding.surface(vertices)[0])[0].norm(dim=1).numpy()
        return away / self.radius, ellipsoids(shapes[0])[1].amax(1).numpy() / self.radius, left / self.radius

    def _holes(self, pose: Pose) -> float:
        face, alpha = self.face_and_alpha(pose)
        return float(holes(face, alpha).sum() / max(face.sum(), 1))

    @torch.no_grad()
    def face_and_alpha(self, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
        """Where the face is [H, W] bool, and how solid the avatar is [H, W]."""
        camera = self.camera
        vertices = self.model.vertices(pose)[0].numpy().astype(float)
        view = camera.camera_from_world
        p = vertices @ view[:3, :3].T + view[:3, 3]
        screen = np.stack(
            [p[:, 0] / p[:, 2] * camera.fx + camera.cx, p[:, 1] / p[:, 2] * camera.fy + camera.cy, p[:, 2]], 1
        )
        seen = rasterize_mesh(screen.astype(np.float32), self.head.faces, camera.width, camera.height).face
        face = (seen >= 0) & self.face[seen.clip(0)]
        return face, self.model.render(pose, camera).alpha[0, 0].numpy()


def holes(face: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """[H, W] bool: what one sees through within the face.

    The true outline of a person never lies quite where the mesh ends, so what is connected with the outside counts only
    well within the face.

    Args:
        face: [H, W] bool.
        alpha: [H, W].
    """
    clear = alpha < SOLID
    parts, _ = ndimage.label(clear)  # type: ignore[misc]
    border = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    outside = np.isin(parts, border[border > 0])
    deep = np.asarray(ndimage.binary_erosion(face, iterations=_RIM), bool)
    return clear & ((face & ~outside) | deep)
