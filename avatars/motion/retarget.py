"""Other people's motion on this avatar, without their face: what counts is how far they move from their own rest.

A driver's neutral is subtracted, each coefficient is scaled by how far driver and subject reach, the avatar's neutral
is added, and what the subject never showed is limited softly. Blinks, the jaw and gaze keep their full range. Head
poses are taken relative to the driver's rest and put on the avatar's; the torso follows as the subject's own did. A
subject who drives their own avatar gets their own faces back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..data import Motion
from ..heads.arkit import INDEX, MIRROR, NAMES
from ..heads.still import still_landmarks
from ..speech.articulation import lip_gap
from ..splats.avatar import Avatar
from ..splats.model import Pose
from ..splats.rest import ranked, uncrossed
from ..training.corrections import predict_torso
from ..training.views import FACING
from .sources import motion_of_track

FULL = tuple(
    i for i, name in enumerate(NAMES) if name in ("jawOpen", "mouthClose") or name.startswith(("eyeBlink", "eyeLook"))
)
"""Coefficients that keep their full range; lips that close over the jaw move in step with it."""
LIDS = {"eyeBlink": 1.0, "eyeLookDown": 0.36, "eyeLookUp": 0.17, "eyeSquint": 0.32, "eyeWide": -0.43, "browDown": 0.08,
        "cheekSquint": 0.11}  # fmt: skip
"""How far a coefficient closes the lids, relative to a blink: measured on the default head. Apertures in these terms
follow detected lids with r = 0.95, blinks alone with 0.9: a tracker that sees lids fall may call it a glance down."""
_CLOSING = np.zeros((52, 2))
for _side, _column in (("Left", 0), ("Right", 1)):
    _CLOSING[[INDEX[name + _side] for name in LIDS], _column] = list(LIDS.values())
_BLINKS = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
_CALM = 0.1
"""Share of the frames that show the neutral."""
_LIPS = 2.0
"""How much closed lips count against all other expression."""
_PRIOR_REACH = 0.25
"""Reach that is added to both sides before they are divided: what hardly moved says little about a range."""
_SCALE = (0.8, 1.25)
_FULL_SCALE = (0.5, 2.0)
_SHUT = 0.88
"""How far lids close until they meet, in terms of `LIDS`; three people's did at 0.8 to 0.9."""
_BLINK = 0.55
"""Least closing that can be a shut eye: trackers see short blinks as less than they are."""
_LEAST_OPEN = 0.3
"""How far an eye at rest is from shut, at least."""
_MARGIN = 0.35
"""How far beyond what the subject showed a coefficient can get."""
PARTED = 0.15
"""Lip gap of nobody in particular at which lips are as far apart as they rest and move; below, they are drawn shut."""
_INNER_LIPS = (13, 14)
"""Landmarks of the upper and the lower lip that meet."""
_MEET = -0.001
"""m from the lower up to the upper of them where nothing shows between lips: by so much they overlap then."""
_PRESS = 0.3
"""Most of mouthClose that draws resting lips shut."""
_TURN = (0.6, 0.35)
"""rad from rest at which a head turn begins to be limited, and by how much it can exceed that."""
_SHIFT = (0.04, 0.05)
"""The same for translation, m."""
_TORSO = (0.1, 0.02)
"""rad and m by which the torso can leave what the subject's did."""


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
    shut: np.ndarray = field(default_factory=lambda: np.ones(2))
    """[2] how far the left and the right eye close when they shut, in terms of `LIDS`; 1 where they never did."""

    @staticmethod
    def of(motion: Motion) -> Manner:
        """Statistics of a motion."""
        rows = calm(motion)
        neutral = uncrossed(np.median(motion.arkit[rows], axis=0), motion.arkit)
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
            shut=_shut(motion.arkit),
        )


PLAIN = Manner(np.zeros(52), np.zeros(52), np.ones(52), np.eye(3), np.zeros(3), 0.0, np.zeros(3))
"""A driver without a face of their own: sliders, speech. Nothing is scaled for it."""


def calm(motion: Motion) -> np.ndarray:
    """Rows of a motion that show the face at rest: lips closed first of all, then little expression and motion.

    People who talk throughout a clip have few of them, and a neutral with parted lips would close the mouth of whoever
    is driven by it. Half of those, the ones most alike, are taken: a median over different grimaces is nobody's face.
    """
    speed = np.zeros(len(motion.times))
    if len(speed) > 1:
        speed = np.abs(np.gradient(motion.arkit, motion.times, axis=0)).sum(1) * 0.04  # per frame at 25 frames/s
    effort = ranked(motion.arkit.sum(1) + 2 * speed) + _LIPS * ranked(lip_gap(motion.arkit))
    rows = np.argsort(effort, kind="stable")[: max(1, int(len(effort) * _CALM))]
    apart = np.linalg.norm(motion.arkit[rows][:, None] - motion.arkit[rows][None], axis=2)
    alike = np.argsort(apart[apart.sum(1).argmin()], kind="stable")
    return rows[alike[: (len(rows) + 1) // 2]]


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
        # Where lids meet a blink ends: further, the upper one would be drawn over the cheek.
        rest, closed = self.subject.neutral, own.arkit @ _CLOSING
        room = np.maximum(_SHUT, closed.max(0)) - (rest @ _CLOSING - rest[_BLINKS])
        self._shut = np.maximum(room, own.arkit[:, _BLINKS].max(0))
        rows = calm(own)
        self._base = np.median(avatar.track.expression[rows].astype(float), axis=0)
        self._base += (self.subject.neutral - np.median(own.arkit[rows], axis=0)) @ avatar.head.arkit
        self._scale = np.ones(52) if driver is PLAIN else _scales(self.subject, driver)
        self.press = _press(avatar, self._base) if driver is PLAIN else 0.0
        """How much of mouthClose shuts lips that rest ajar, as those of people who talk throughout a film do. Somebody
        who drives by a film of their own closes theirs as far as they do."""
        self._origin = np.median(avatar.track.translation.astype(float), axis=0)
        self._body = _Body(avatar)

    def __call__(self, motion: Motion) -> Pose:
        """Poses of all frames of a motion."""
        rotation, translation = self._place(motion)
        still = np.broadcast_to(np.eye(3, dtype=np.float32), rotation.shape)
        pose = Pose(
            _tensor(self.expression(motion.arkit)),
            _tensor(rotation),
            _tensor(translation),
            _tensor(still),
            _tensor(np.zeros_like(translation)),
        )
        return self._body(pose)

    def coefficients(self, arkit: np.ndarray) -> np.ndarray:
        """The subject's [T, 52] for the driver's [T, 52]."""
        moved = self.subject.neutral + self._scale * (arkit - self.driver.neutral)
        # Lips that let go of an open jaw part. A subject whose lips rest without holding has nothing to let go of: the
        # jaw parts them as far.
        moved[:, INDEX["jawOpen"]] += np.maximum(-moved[:, INDEX["mouthClose"]], 0)
        limited = soften(moved, self.subject.top, _MARGIN)
        limited[:, FULL] = moved[:, FULL]
        out = np.clip(limited, 0, 1)
        if self.driver is not PLAIN:
            self._close_lids(out, arkit)
        out[:, _BLINKS] = np.minimum(out[:, _BLINKS], self._shut)
        # Lips close over an open jaw, hardly beyond: what more a tracker saw is then the subject's own.
        close, jaw = INDEX["mouthClose"], INDEX["jawOpen"]
        out[:, close] = np.minimum(out[:, close], np.maximum(out[:, jaw] + self._seal, 0))
        return out

    def _close_lids(self, moved: np.ndarray, arkit: np.ndarray) -> None:
        """Lids that fell by some share of what was open fall by that share, whatever the driver's tracker called it."""
        rest, other = self.subject.neutral @ _CLOSING, self.driver.neutral @ _CLOSING
        share = (arkit @ _CLOSING - other) / np.maximum(self.driver.shut - other, _LEAST_OPEN)
        lacking = rest + share * np.maximum(self.subject.shut - rest, _LEAST_OPEN) - moved @ _CLOSING
        added = np.minimum(np.maximum(lacking, 0), np.maximum(share, 0))  # eyes that open wider need no blink
        moved[:, _BLINKS] = np.clip(moved[:, _BLINKS] + added, 0, 1)

    def expression(self, arkit: np.ndarray) -> np.ndarray:
        """The avatar's [T, E] for the driver's [T, 52]."""
        change = self.coefficients(arkit) - self.subject.neutral
        close, jaw = INDEX["mouthClose"], INDEX["jawOpen"]
        shut = np.clip(1 - lip_gap(arkit) / PARTED, 0, 1)
        change[:, close] += shut * np.clip(self.press - np.maximum(change[:, close] - change[:, jaw], 0), 0, None)
        moved = self._base + change @ self.head.arkit
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


class _Body:
    """Where the subject's torso is for poses of their head, learned from their film; within what it did there."""

    def __init__(self, avatar: Avatar) -> None:
        track, head = avatar.track, avatar.head
        self._learned = track.corrections
        turn = Rotation.from_rotvec(track.torso_rotation)
        self._rotation = turn.mean()
        self._place = np.median(track.torso_translation.astype(float), axis=0)
        self._turned = float((turn * self._rotation.inv()).magnitude().max())
        self._shifted = np.abs(track.torso_translation - self._place).max(0)
        self._neck = head.joints[head.joint_names.index("root")].astype(float)
        stretch = self._stretch(Pose.of_track(track))
        self._low, self._high = stretch.min(0), stretch.max(0)

    def __call__(self, pose: Pose) -> Pose:
        """The same heads with a torso; where a neck would stretch further than it ever did, the torso goes along."""
        if "torso_weight" in self._learned:
            pose = predict_torso(self._learned, pose)
            turn = (Rotation.from_matrix(pose.torso_rotation.numpy()) * self._rotation.inv()).as_rotvec()
            shift = pose.torso_translation.numpy() - self._place
        else:
            turn = shift = np.zeros((len(pose), 3))
        angle = np.linalg.norm(turn, axis=1, keepdims=True)
        turn = turn * soften(angle, self._turned, _TORSO[0]) / np.maximum(angle, 1e-9)
        place = self._place + np.sign(shift) * soften(np.abs(shift), self._shifted, _TORSO[1])
        rotation = (Rotation.from_rotvec(turn) * self._rotation).as_matrix()
        placed = replace(pose, torso_rotation=_tensor(rotation), torso_translation=_tensor(place))
        stretch = self._stretch(placed)
        return replace(placed, torso_translation=_tensor(place + stretch - np.clip(stretch, self._low, self._high)))

    def _stretch(self, pose: Pose) -> np.ndarray:
        """[T, 3] m from the neck's base on the torso to where the head alone would have it."""
        held = pose.rotation.numpy() @ self._neck + pose.translation.numpy()
        return held - (self._neck + pose.torso_translation.numpy())


def _tensor(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(value.astype(np.float32))


def _press(avatar: Avatar, base: np.ndarray) -> float:
    """Least mouthClose with which nothing shows between the lips of a face state [E]; where none suffices, the best."""
    head = avatar.head
    amounts = np.linspace(0, _PRESS, 61)
    tried = base + amounts[:, None] * head.arkit[INDEX["mouthClose"]]
    points = still_landmarks(head, tried.clip(head.expression_low, head.expression_high).astype(np.float32))
    apart = (points[:, _INNER_LIPS[0]] - points[:, _INNER_LIPS[1]])[:, 1]
    if not np.isfinite(apart).all():
        return 0.0  # a head without these landmarks
    return float(amounts[np.argmax(apart <= max(_MEET, apart.min()))])


def _shut(arkit: np.ndarray) -> np.ndarray:
    """`Manner.shut` of coefficients [T, 52]."""
    most = (arkit @ _CLOSING).max(0)
    return np.clip(most, _BLINK, 1) if most.max() >= _BLINK else np.ones(2)


def soften(value: np.ndarray, bound: np.ndarray | float, margin: float) -> np.ndarray:
    """`value` up to `bound`; beyond, it approaches `bound + margin` without a kink."""
    over = np.maximum(value - bound, 0)
    return np.minimum(value, bound) + margin * np.tanh(over / margin)


def _scales(subject: Manner, driver: Manner) -> np.ndarray:
    """[52] how far the subject goes for one unit of the driver; in expression both sides of the face go alike."""
    reach = (subject.reach + _PRIOR_REACH) / (driver.reach + _PRIOR_REACH)
    scale = np.clip(np.sqrt(reach * reach[list(MIRROR)]), *_SCALE)
    room = (1 - subject.neutral).clip(0.2) / (1 - driver.neutral).clip(0.2)
    scale[list(FULL)] = np.clip(room, *_FULL_SCALE)[list(FULL)]  # neutral to neutral, and 1 to 1
    scale[INDEX["mouthClose"]] = scale[INDEX["jawOpen"]]
    return scale
