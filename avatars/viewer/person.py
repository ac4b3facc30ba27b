"""A face at one moment, and the person whose face it is: rest, driven by others, and with sliders on top."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..data import Motion
from ..motion.retarget import PLAIN, Retarget
from ..splats.avatar import Avatar
from ..splats.model import Pose

STILL = Motion(np.zeros(1), np.zeros((1, 52)), np.zeros((1, 3)), np.zeros((1, 3)))
"""Nobody doing anything."""


@dataclass(frozen=True)
class Face:
    """A head and torso at one moment, in the world (the capture's camera)."""

    expression: np.ndarray
    """[E]."""
    rotation: Rotation
    """world_from_head."""
    translation: np.ndarray
    """[3] m."""
    torso_rotation: Rotation
    torso_translation: np.ndarray

    @staticmethod
    def of(pose: Pose, row: int = 0) -> Face:
        """One row of poses."""
        e, r, t, tr, tt = (getattr(pose, name)[row].numpy().astype(float) for name in pose.__dataclass_fields__)
        return Face(e, Rotation.from_matrix(r), t, Rotation.from_matrix(tr), tt)

    def pose(self) -> Pose:
        """As the model takes it, B = 1."""

        def tensor(x: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.asarray(x, np.float32))[None]

        return Pose(
            tensor(self.expression), tensor(self.rotation.as_matrix()), tensor(self.translation),
            tensor(self.torso_rotation.as_matrix()), tensor(self.torso_translation),
        )  # fmt: skip

    def same(self, other: Face | None) -> bool:
        """Whether a picture of the other would be the same."""
        return other is not None and all(
            np.array_equal(a, b) for a, b in zip(self._arrays(), other._arrays(), strict=True)
        )

    def _arrays(self) -> tuple[np.ndarray, ...]:
        turns = self.rotation.as_quat(), self.torso_rotation.as_quat()
        return (self.expression, self.translation, self.torso_translation, *turns)

    def toward(self, goal: Face, share: float) -> Face:
        """Part of the way to another face: 0 is this one, 1 the other."""
        return Face(
            _mix(self.expression, goal.expression, share),
            _turn(self.rotation, goal.rotation, share),
            _mix(self.translation, goal.translation, share),
            _turn(self.torso_rotation, goal.torso_rotation, share),
            _mix(self.torso_translation, goal.torso_translation, share),
        )


def _mix(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return (1 - share) * a + share * b


def _turn(a: Rotation, b: Rotation, share: float) -> Rotation:
    return a * Rotation.from_rotvec(share * (a.inv() * b).as_rotvec())


class Person:
    """What the viewer knows of a subject.

    Args:
        avatar: whom to show.
    """

    def __init__(self, avatar: Avatar) -> None:
        self.avatar, self._head = avatar, avatar.head
        self._plain = Retarget(avatar, PLAIN)
        self.rest = self.act(STILL)
        """The person doing nothing."""

    def act(self, motion: Motion, driver: Retarget | None = None) -> Face:
        """The person in the first frame of a motion.

        Args:
            driver: of somebody with a face of their own (see `Retarget`); None for speech and sliders.
        """
        return Face.of((driver or self._plain)(motion))

    def add(self, face: Face, coefficients: np.ndarray, turn: np.ndarray, shift: np.ndarray) -> Face:
        """A face with something on top.

        Args:
            coefficients: [52] ARKit.
            turn: [3] axis-angle rad in the head's own frame.
            shift: [3] m in the head's own frame.
        """
        moved = face.expression + coefficients @ self._head.arkit
        return replace(
            face,
            expression=np.clip(moved, self._head.expression_low, self._head.expression_high),
            rotation=face.rotation * Rotation.from_rotvec(turn),
            translation=face.translation + face.rotation.apply(shift),
        )
