"""How surely a film tells depth: what turns shows it, what stands still does not."""

from __future__ import annotations

import numpy as np

from ..data import Camera
from ..splats.model import Pose

_TELLING_HEAD, _TELLING_TORSO = np.radians(4.0), np.radians(3.0)
"""Root mean square of the turns, as the camera sees them, from which a film tells depth. A face that smiles may be
taken for one that nods by a degree, which cloth is not."""


def told(seen: Pose, pose: Pose, camera: Camera, *, torso: bool = False) -> float:
    """How far to believe pictures about the depth of what the head, or else the torso, carries, in [0, 1].

    By how far lines of sight turn against it: what a wrong depth displaces by the angle shows in the squared error of
    the pictures, and in what gradients tell against their noise, by the angle's square.

    Args:
        seen: poses of all frames to learn from, in the host's memory.
        pose: of the frame that depths are counted from.
        camera: of the pictures; it stands still, turns are the person's.
    """

    def sights(of: Pose) -> np.ndarray:
        turn, place = (of.torso_rotation, of.torso_translation) if torso else (of.rotation, of.translation)
        sight = np.einsum("tji,tj->ti", turn.numpy(), camera.world_from_camera[:3, 3] - place.numpy())
        return sight / np.linalg.norm(sight, axis=1, keepdims=True)

    apart = np.linalg.norm(sights(seen) - sights(pose), axis=1)  # for small angles the angle itself
    return float(min(1.0, np.square(apart).mean() / (_TELLING_TORSO if torso else _TELLING_HEAD) ** 2))
