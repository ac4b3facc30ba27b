"""Poses and cameras to look at an avatar by: at rest, from the side, with one expression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..data import Camera
from ..errors import InputError
from ..heads.arkit import INDEX, NAMES, admissible
from ..heads.head import Head
from ..splats.avatar import Avatar
from ..splats.model import Pose

FACING = np.diag([1.0, -1.0, -1.0])
"""world_from_head of a head that looks into the camera."""
EXPRESSIONS: dict[str, dict[str, float]] = {
    "jaw open": {"jawOpen": 1.0},
    "both eyes shut": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "smile": {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0},
    "pucker": {"mouthPucker": 1.0},
    "inner brows up": {"browInnerUp": 1.0},
    "look left": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "look right": {"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0},
    "look up": {"eyeLookUpLeft": 1.0, "eyeLookUpRight": 1.0},
    "look down": {"eyeLookDownLeft": 1.0, "eyeLookDownRight": 1.0},
}
"""What a report shows at full strength; left and right are the subject's own."""


def rest_pose(avatar: Avatar) -> Pose:
    """One pose: the subject's neutral face, head and torso where they usually are."""
    track = avatar.track

    def usual(rotvec: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(Rotation.from_rotvec(rotvec).mean().as_matrix().astype(np.float32))[None]

    def middle(place: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.median(place, axis=0).astype(np.float32))[None]

    return Pose(
        torch.from_numpy(np.asarray(avatar.subject.neutral, np.float32))[None],
        usual(track.rotation),
        middle(track.translation),
        usual(track.torso_rotation),
        middle(track.torso_translation),
    )


def expressed(head: Head, pose: Pose, coefficients: dict[str, float]) -> Pose:
    """The pose with ARKit coefficients, those that a face can make, added to its face, within the head's bounds.

    Raises:
        InputError: no such coefficient.
    """
    row = np.zeros(len(NAMES), np.float32)
    for name, value in coefficients.items():
        if name not in INDEX:
            raise InputError(f"There is no expression '{name}'", fix=f"Choose among {', '.join(NAMES)}")
        row[INDEX[name]] = value
    moved = pose.expression.numpy() + admissible(row) @ head.arkit
    bounded = np.clip(moved, head.expression_low, head.expression_high).astype(np.float32)
    return replace(pose, expression=torch.from_numpy(bounded))


def facing(pose: Pose, camera: Camera) -> float:
    """Yaw, rad, of the place from which the face is seen straight on (see `orbit`)."""
    looks = camera.camera_from_world[:3, :3] @ pose.rotation[0].numpy() @ np.array([0.0, 0.0, 1.0])
    return float(np.arctan2(looks[0], -looks[2]))


def orbit(camera: Camera, center: np.ndarray, yaw: float, pitch: float = 0.0) -> Camera:
    """The camera carried around a point at its distance.

    Args:
        center: [3] m, world.
        yaw: rad; positive carries it to the picture's right, which shows a facing subject's own left side.
        pitch: rad; positive carries it upwards.
    """
    turn = Rotation.from_euler("YX", [-yaw, -pitch]).as_matrix()
    start = np.asarray(camera.world_from_camera, float)
    world = start[:3, :3] @ turn @ start[:3, :3].T  # the turn is about the camera's own axes
    moved = start.copy()
    moved[:3, :3] = world @ start[:3, :3]
    moved[:3, 3] = center + world @ (start[:3, 3] - center)
    return replace(camera, world_from_camera=moved)


def around(avatar: Avatar, yaw: float, pitch: float = 0.0) -> Camera:
    """The capture's camera carried around the resting head; yaw 0 sees the face straight on."""
    pose = rest_pose(avatar)
    center = pose.translation[0].numpy().astype(float)
    return orbit(avatar.camera, center, facing(pose, avatar.camera) + yaw, pitch)
