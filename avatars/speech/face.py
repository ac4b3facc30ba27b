"""The whole face at 50 Hz: mouth from the network, everything else from seeded generators, put together."""

from __future__ import annotations

import math

import numpy as np

from avatars.heads.arkit import NAMES

from .articulation import ARTICULATORS, GAP, lip_gap, to_arkit
from .articulation import INDEX as ARKIT
from .blink import Blinks
from .brows import Brows
from .emotion import offsets
from .gaze import Gaze
from .habits import LOOK_ANGLE, Amounts, Habits
from .head import Head
from .nonverbal import BACK, FACES, LAUGH, SING, Nonverbal
from .prosody import HEARD, Prosody
from .vocal import CLASSES

_LIDS = [ARKIT["eyeBlinkLeft"], ARKIT["eyeBlinkRight"]]
_WIDE = [ARKIT["eyeWideLeft"], ARKIT["eyeWideRight"]]
_LOOK = [ARKIT[f"eyeLook{name}"] for name in (
    "OutLeft", "InRight", "InLeft", "OutRight", "UpLeft", "UpRight", "DownLeft", "DownRight",
)]  # fmt: skip
_BROWS = [ARKIT["browInnerUp"], ARKIT["browOuterUpLeft"], ARKIT["browOuterUpRight"]]
_BROW_SHARE = (0.8, 1.0, 1.0)
_CLOSE = ARKIT["mouthClose"]
_QUIET = CLASSES.index("quiet")
POSE = 6
"""Rotation vector and translation."""
WIDTH = len(NAMES) + POSE
_FILLED = np.array([*_LOOK, *_LIDS, *_WIDE, *_BROWS, *range(len(NAMES), WIDTH)])
"""Columns that the generators fill."""
_GUARDED = 0.3
"""Lip gap below which emotion may not part the lips of a speaker."""


class Face:
    """Turns network output into whole faces; all of its randomness comes from one seed."""

    def __init__(self, habits: Habits, amounts: Amounts, seed: int) -> None:
        self.habits, self.amounts, self.seed = habits, amounts, seed
        self.reset()

    def reset(self) -> None:
        """Start over: the same seed gives the same face again."""
        generators = [np.random.default_rng([self.seed, k]) for k in range(4)]
        self._blinks = Blinks(self.habits, generators[0], self.amounts.blinks)
        self._gaze = Gaze(self.habits, generators[1], self.amounts.gaze)
        self._head = Head(self.habits, generators[2], self.amounts.head)
        self._brows = Brows(self.habits, generators[3], self.amounts.brows)
        self._prosody, self._nonverbal = Prosody(), Nonverbal()
        self._turn = (0.0, 0.0)

    def __call__(self, curves: np.ndarray, classes: np.ndarray, inputs: np.ndarray, emotion: np.ndarray) -> np.ndarray:
        """[T, 58] ARKit-52, rotation and translation of the next frames.

        Args:
            curves: [T, 11] articulators. classes: [T, 6] logits. inputs: [T, 86] what was heard in these frames.
            emotion: [T, 8].
        """
        count = len(curves)
        out = np.zeros((count, WIDTH), np.float32)
        if count == 0:
            return out
        faces = out[:, : len(NAMES)]
        faces += to_arkit(curves)  # the generators' columns stay zero
        heard = inputs[:, HEARD].tolist()
        ticks = [self._tick(out[i], heard[i], row) for i, row in enumerate(classes.tolist())]
        speaking = np.array([tick[0] for tick in ticks], np.float32)
        if np.count_nonzero(emotion):
            faces += offsets(emotion, speaking, np.array([tick[1] for tick in ticks], np.float32))
        if self.amounts.nonverbal and any(any(tick[2]) for tick in ticks):
            faces += self.amounts.nonverbal * (np.array([tick[2] for tick in ticks], np.float32) @ FACES)
        lips = curves[:, GAP]
        if np.minimum.reduce(lips) < _GUARDED:
            closed = speaking * np.maximum(1 - lips / _GUARDED, 0)
            faces[:, _CLOSE] += closed * 0.6 * np.maximum(lip_gap(faces) - lips, 0)
        np.minimum(np.maximum(faces, 0, out=faces), 1, out=faces)
        return out

    def _tick(self, row: np.ndarray, frame: list[float], logits: list[float]) -> tuple[float, float, list[float]]:
        """Fill one [58] row with everything but mouth and emotion; returns (speaking, arousal, class certainties)."""
        most = max(logits)
        shares = [math.exp(x - most) for x in logits]
        whole = sum(shares)
        shares = [x / whole for x in shares]
        heard = self._prosody.tick(frame, 1.0 - shares[_QUIET])
        classes = self._nonverbal.tick(shares)
        beats = heard.accent * (1 - classes[SING])  # singers sway, they do not nod on every word
        back = BACK * classes[LAUGH] * self.amounts.nonverbal
        rotation, translation = self._head.tick(heard.speaking, beats, back)
        yaw, pitch = self._gaze.tick(rotation[1], -rotation[0], heard.starting)
        turned = abs(rotation[1] - self._turn[0]) + abs(rotation[0] - self._turn[1])
        self._turn = (rotation[1], rotation[0])
        invited = 0.5 * heard.ending + (0.6 if self._gaze.jump > 0.12 else 0.0) + (0.2 if turned > 0.02 else 0.0)
        lid = self._blinks.tick(min(invited, 1.0))
        brow = self._brows.tick(heard.accent)
        x, y = yaw / LOOK_ANGLE, pitch / LOOK_ANGLE
        left, right, up, down = max(x, 0.0), max(-x, 0.0), max(y, 0.0), max(-y, 0.0)
        shut = max(lid, 0.0) + (1 - lid) * 0.35 * down  # the lid follows the eye down
        wide = (1 - lid) * 0.25 * up
        look = [left, left, right, right, up, up, down, down]
        row[_FILLED] = (
            look + [shut, shut, wide, wide] + [brow * share for share in _BROW_SHARE] + rotation + translation
        )
        return heard.speaking, heard.arousal, classes


assert len(ARTICULATORS) == 11
