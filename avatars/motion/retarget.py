"""Other people's motion on this avatar, without their face: what counts is how far they move from their own rest.

A driver's neutral is subtracted, each coefficient is scaled by how far driver and subject reach, the avatar's neutral
is added, and what the subject never showed is limited softly. Blinks, the jaw and gaze keep their full range. Head
poses are taken relative to the driver's rest and put on the avatar's; the torso follows partly. A subject who drives
their own avatar gets their own faces back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..data import Motion
from ..heads.arkit import INDEX, MIRROR, NAMES
from ..speech.articulation import lip_gap
from ..splats.avatar import Avatar
from ..splats.model import Pose
from ..training.views import FACING
from .sources import motion_of_track

FULL = tuple(
    i for i, name in enumerate(NAMES) if name in ("jawOpen", "mouthClose") or name.startswith(("eyeBlink", "eyeLook"))
)
"""Coefficients that keep their full range; lips that close over the jaw move in step with it."""
_CALM = 0.1
"""Share of the frames that show the neutral."""
_LIPS = 2.0
"""How much closed lips count against all other expression."""
_PRIOR_REACH = 0.25
"""Reach that is added to both sides before they are divided: what hardly moved says little about a range."""
_SCALE = (0.7, 1.4)
_FULL_SCALE = (0.5, 2.0)
_MARGIN = 0.35
"""How far beyond what the subject showed a coefficient can get."""
_TURN = (0.6, 0.35)
"""rad from rest at which a head turn begins to be limited, and by how much it can exceed that."""
_SHIFT = (0.04, 0.05)
"""The same for translation, m."""
_TORSO_TURN = np.array([0.15, 0.25, 0.15])
"""Share of the head's nod, turn and tilt that the torso takes part in."""
_TORSO_SHIFT = 0.7
"""Share of the movement of the neck's base that the torso takes part in."""


@dataclass(frozen=True)
class Manner:
    """How somebody's face rests and how far it reaches."""

    neutral: np.ndarray
    """[52]."""
    reach: np.ndarray
    """[52] 98th percentile above the neutral."""
    top: np.ndarray
    """[52] largest value shown."""
    rotation: np.ndarray
    """[3, 3] usual head rotation, relative to looking at the camera."""
    translation: np.ndarray
    """[3] m, usual place."""
    turned: float
    """rad, largest turn away from the usual rotation."""
    shifted: np.ndarray
    """[3] m, largest distance from the usual place along each axis."""

    @staticmethod
    def of(motion: Motion) -> Manner:
        """Statistics of a motion."""
        rows = calm(motion)
        neutral = np.median(motion.arkit[rows], axis=0)
        rotation, place = Rotation.from_rotvec(motion.rotation), np.median(motion.translation, axis=0)
        mean = rotation.mean()
        return Manner(
            neutral=neutral,
            reach=np.maximum(np.percentile(motion.arkit, 98, axis=0) - neutral, 0),
            top=motion.arkit.max(0),
            rotation=mean.as_matrix(),
            translation=place,
            turned=float((mean.inv() * rotation).magnitude().max()),
            shifted=np.abs(motion.translation - place).max(0),
        )


PLAIN = Manner(np.zeros(52), np.zeros(52), np.ones(52), np.eye(3), np.zeros(3), 0.0, np.zeros(3))
"""A driver without a face of their own: sliders, speech. Nothing is scaled for it."""


def calm(motion: Motion) -> np.ndarray:
    """Rows of a motion that show the face at rest: lips closed first of all, then little expression and motion.

    People who talk throughout a clip have few of them, and a neutral with parted lips would close the mouth of whoever
    is driven by it.
    """
    speed = np.zeros(len(motion.times))
    if len(speed) > 1:
        speed = np.abs(np.gradient(motion.arkit, motion.times, axis=0)).sum(1) * 0.04  # per frame at 25 frames/s
    effort = _ranked(motion.arkit.sum(1) + 2 * speed) + _LIPS * _ranked(lip_gap(motion.arkit))
    return np.argsort(effort, kind="stable")[: max(1, int(len(effort) * _CALM))]


def _ranked(values: np.ndarray) -> np.ndarray:
    """Values between their 10th and 90th percentile as 0 to 1."""
    low, high = np.percentile(values, 10), np.percentile(values, 90)
    return (values - low) / max(high - low, 1e-6)


class Retarget:
    """From a driver's motion to an avatar's poses; frame by frame, so that it also runs live.

    Args:
        avatar: whom to move.
        driver: who moves, `PLAIN` where that is nobody in particular.
    """

    def __init__(self, avatar: Avatar, driver: Manner = PLAIN) -> None:
        own = motion_of_track(avatar.track, avatar.head)
        self.subject, self.driver, self.head = Manner.of(own), driver, avatar.head
        self._seal = max(0.0, float((own.arkit[:, INDEX["mouthClose"]] - own.arkit[:, INDEX["jawOpen"]]).max()))
        self._base = np.median(avatar.track.expression[calm(own)].astype(float), axis=0)
        self._scale = np.ones(52) if driver is PLAIN else _scales(self.subject, driver)
        track = avatar.track
        self._origin = np.median(track.translation.astype(float), axis=0)
        self._torso_rotation = Rotation.from_rotvec(track.torso_rotation).mean()
        self._torso_place = np.median(track.torso_translation.astype(float), axis=0)
        self._neck = avatar.head.joints[avatar.head.joint_names.index("root")].astype(float)

    def __call__(self, motion: Motion) -> Pose:
        """Poses of all frames of a motion."""
        rotation, translation = self._place(motion)
        torso_rotation, torso_translation = self._torso(rotation, translation)

        def tensor(value: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(value.astype(np.float32))

        return Pose(
            tensor(self.expression(motion.arkit)),
            tensor(rotation),
            tensor(translation),
            tensor(torso_rotation),
            tensor(torso_translation),
        )

    def coefficients(self, arkit: np.ndarray) -> np.ndarray:
        """The subject's [T, 52] for the driver's [T, 52]."""
        moved = self.subject.neutral + self._scale * (arkit - self.driver.neutral)
        limited = soften(moved, self.subject.top, _MARGIN)
        limited[:, FULL] = moved[:, FULL]
        out = np.clip(limited, 0, 1)
        # Lips close over an open jaw, hardly beyond: what more a tracker saw is then the subject's own.
        close, jaw = INDEX["mouthClose"], INDEX["jawOpen"]
        out[:, close] = np.minimum(out[:, close], np.maximum(out[:, jaw] + self._seal, 0))
        return out

    def expression(self, arkit: np.ndarray) -> np.ndarray:
        """The avatar's [T, E] for the driver's [T, 52]."""
        moved = self._base + (self.coefficients(arkit) - self.subject.neutral) @ self.head.arkit
        return np.clip(moved, self.head.expression_low, self.head.expression_high)

    def _place(self, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
        """world_from_head [T, 3, 3] and [T, 3] m."""
        turn = Rotation.from_matrix(self.driver.rotation).inv() * Rotation.from_rotvec(motion.rotation)
        angle = turn.magnitude()
        limited = soften(angle, max(_TURN[0], self.subject.turned), _TURN[1])
        turn = Rotation.from_rotvec(turn.as_rotvec() * (limited / np.maximum(angle, 1e-9))[:, None])
        rotation = FACING @ self.subject.rotation @ turn.as_matrix()
        shift = motion.translation - self.driver.translation
        bound = np.maximum(_SHIFT[0], self.subject.shifted)
        limited = np.sign(shift) * soften(np.abs(shift), bound, _SHIFT[1])
        return rotation, self._origin + limited @ FACING.T

    def _torso(self, rotation: np.ndarray, translation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The body turns with the head a little and goes along with the neck; world_from_torso [T, 3, 3], [T, 3] m."""
        rest = FACING @ self.subject.rotation
        turn = Rotation.from_matrix(rotation @ rest.T).as_rotvec() * _TORSO_TURN
        neck = rotation @ self._neck + translation - (rest @ self._neck + self._origin)
        return (Rotation.from_rotvec(turn) * self._torso_rotation).as_matrix(), self._torso_place + _TORSO_SHIFT * neck


def soften(value: np.ndarray, bound: np.ndarray | float, margin: float) -> np.ndarray:
    """`value` up to `bound`; beyond, it approaches `bound + margin` without a kink."""
    over = np.maximum(value - bound, 0)
    return np.minimum(value, bound) + margin * np.tanh(over / margin)


def _scales(subject: Manner, driver: Manner) -> np.ndarray:
    """[52] how far the subject goes for one unit of the driver; both sides of the face go alike."""
    reach = (subject.reach + _PRIOR_REACH) / (driver.reach + _PRIOR_REACH)
    scale = np.clip(np.sqrt(reach * reach[list(MIRROR)]), *_SCALE)
    room = (1 - subject.neutral).clip(0.2) / (1 - driver.neutral).clip(0.2)
    full = np.clip(np.sqrt(room * room[list(MIRROR)]), *_FULL_SCALE)
    scale[list(FULL)] = full[list(FULL)]
    scale[INDEX["mouthClose"]] = scale[INDEX["jawOpen"]]
    return scale
