"""An avatar at rest in the space that files use, and its splats in any pose.

Files and the player speak canonical space: metres, y up, z out of the face, x to the head's own left (glTF's axes).
Its origin is the head's origin at its usual place in the footage, so a head that looks into the capture's camera
stands upright, facing +z.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from .. import geometry
from ..data import Camera, Motion
from ..errors import InputError
from ..motion.retarget import Retarget
from ..splats.avatar import Avatar
from ..splats.binding import bind_reference, ellipsoids
from ..splats.model import AvatarModel, Pose

FACING = np.diag([1.0, -1.0, -1.0])
"""[3, 3] camera_from_head of a head that looks into the camera; its own inverse."""


@dataclass(frozen=True)
class PosedSplats:
    """N Gaussians of one pose, in the world."""

    means: np.ndarray
    """[N, 3] float32 m."""
    wxyz: np.ndarray
    """[N, 4] float32, unit."""
    scales: np.ndarray
    """[N, 3] float32 m, standard deviations."""
    opacities: np.ndarray
    """[N] float32 in [0, 1]."""
    colors: np.ndarray
    """[N, 3] float32 sRGB, degree 0."""

    def __len__(self) -> int:
        return len(self.means)

    def moved(self, transform: np.ndarray) -> PosedSplats:
        """The same splats after a rigid transform [4, 4]."""
        turn = torch.from_numpy(np.asarray(transform[:3, :3], np.float64))
        wxyz = geometry.quaternion_multiply(
            geometry.quaternion_from_matrix(turn), torch.from_numpy(self.wxyz.astype(np.float64))
        )
        means = self.means @ np.asarray(transform[:3, :3]).T + transform[:3, 3]
        return replace(self, means=means.astype(np.float32), wxyz=wxyz.numpy().astype(np.float32))


@dataclass(frozen=True)
class Rest:
    """Where canonical space lies in capture coordinates (world = the track's world)."""

    rotation: np.ndarray
    """[3, 3] world_from_canonical."""
    translation: np.ndarray
    """[3] m, the usual place of the head's origin."""

    @staticmethod
    def of(avatar: Avatar) -> Rest:
        """Of a subject, over the track."""
        track = avatar.track
        rotation = np.asarray(track.camera.world_from_camera, float)[:3, :3] @ FACING
        return Rest(rotation, np.median(track.translation.astype(float), axis=0))

    @property
    def canonical_from_world(self) -> np.ndarray:
        """[4, 4] takes capture coordinates to canonical ones."""
        out = np.eye(4)
        out[:3, :3] = self.rotation.T
        out[:3, 3] = -self.rotation.T @ self.translation
        return out


def canonical_camera(avatar: Avatar) -> Camera:
    """The capture's camera in canonical space."""
    camera = avatar.camera
    return replace(
        camera, world_from_camera=Rest.of(avatar).canonical_from_world @ np.asarray(camera.world_from_camera, float)
    )


def pose_of_arkit(
    avatar: Avatar, coefficients: np.ndarray, rotation: np.ndarray | None = None, translation: np.ndarray | None = None
) -> Pose:
    """Poses of ARKit coefficients [T, 52], put on the subject's own resting face and softly kept to what it can do.

    Args:
        rotation: [T, 3] axis-angle, rad, relative to the subject's usual pose, in canonical axes.
        translation: [T, 3] m from the usual place, in canonical axes.

    Raises:
        InputError: wrong shape, or not finite.
    """
    coefficients = np.atleast_2d(np.asarray(coefficients, float))
    count = len(coefficients)
    turn = np.zeros((count, 3)) if rotation is None else np.asarray(rotation, float)
    shift = np.zeros((count, 3)) if translation is None else np.asarray(translation, float)
    if coefficients.shape != (count, 52) or turn.shape != (count, 3) or shift.shape != (count, 3):
        raise InputError("A pose needs 52 coefficients, and 3 numbers each for rotation and translation")
    if not all(np.isfinite(x).all() for x in (coefficients, turn, shift)):
        raise InputError("A pose holds NaN or infinity")
    return Retarget(avatar)(Motion(np.arange(count, dtype=float), coefficients.clip(0, 1), turn, shift))


def neutral_pose(avatar: Avatar) -> Pose:
    """One pose: face at rest, looking straight ahead."""
    return pose_of_arkit(avatar, np.zeros((1, 52)))


def pose_of_row(avatar: Avatar, row: int) -> Pose:
    """One row of the avatar's own track.

    Raises:
        InputError: there is no such row.
    """
    count = len(avatar.track.frame)
    if not 0 <= row < count:
        raise InputError(f"The track has {count} frames, numbered from 0; there is no frame {row}")
    return Pose.of_track(avatar.track, [row])


@torch.no_grad()
def posed(avatar: Avatar, pose: Pose, model: AvatarModel | None = None) -> PosedSplats:
    """Splats of one pose (the first of the batch), in canonical space; `model` is the avatar's, for many poses."""
    model = model or avatar.model()
    p = model.parameters
    pose = pose[0]
    mean, quaternion, log_scale, logit_opacity, color = (
        p[name].double() for name in ("mean", "quaternion", "log_scale", "logit_opacity", "color")
    )
    delta = model.delta(model.weights(pose))
    means, shapes, _, opacities, colors = bind_reference(
        model.vertices(pose).double(),
        model.binding,
        mean,
        quaternion,
        log_scale,
        logit_opacity,
        color,
        None if delta is None else delta.double(),
    )
    rotations, scales = ellipsoids(shapes[0])
    wxyz = geometry.quaternion_from_matrix(rotations)
    arrays = (x.numpy().astype(np.float32) for x in (means[0], wxyz, scales, opacities[0], colors[0]))
    return PosedSplats(*arrays).moved(Rest.of(avatar).canonical_from_world)
