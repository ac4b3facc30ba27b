"""The person before a camera: landmarks in, the avatar's face out, one frame after another.

The avatar's own head is fitted to the actor's landmarks by the solver that tracks clips, with one frame in it instead
of all; where the actor's features sit on that head is learned once, from a second of a calm face. From then on the
actor's motion is carried over as that of anybody else (see `motion.retarget`), and how their face rests and how far it
reaches becomes known better the longer they are seen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from ...capture.lids import opening
from ...data import Motion
from ...errors import TrackingError
from ...motion.coefficients import to_arkit
from ...motion.retarget import Manner, Retarget
from ...tracking.residuals import LandmarkModel, contour_directions
from ...tracking.solve import Solver, State
from ...training.views import FACING
from ..person import Face, Person
from .lids import BLINKS, closing
from .steady import OneEuro

CALM = 24
"""Frames from which it is learned where the actor's features sit."""
_KNOWN = (120, 400, 1000)
"""Frames after which the actor's manner is learned anew."""
_FADE = 1.0
"""s from one manner to the next."""
_STEPS, _FIRST_STEPS = 2, 7
"""Gauss-Newton steps per frame, and where no frame came just before."""
_GAP = 0.4
"""s without a face after which the next one has nothing to do with the last."""


class Actor:
    """Whoever is before the camera.

    Args:
        person: whom they drive.
        size: (width, height) px of the pictures that landmarks are found in.
    """

    def __init__(self, person: Person, size: tuple[int, int]) -> None:
        self._person, self._size = person, size
        self._head = person.avatar.head
        # Of the detector's habits only those of expressions: the resting face teaches the others, and this actor's own.
        seen = LandmarkModel.detected(self._head)
        self._model = replace(LandmarkModel.of(self._head), expression=seen.expression)
        self.begin()

    def begin(self) -> None:
        """Learn the resting face, from now on."""
        self._calm: list[tuple[float, np.ndarray]] = []
        self._solver: Solver | None = None
        self._offsets: np.ndarray | None = None
        self._origin, self._open = np.zeros(3), np.zeros(2)
        self._last = -np.inf
        self._steady = OneEuro()
        self._history: list[np.ndarray] = []
        self._driver: Retarget | None = None
        self._before: Retarget | None = None
        self._since = 0.0

    @property
    def learned(self) -> float:
        """Share of the calm frames that were seen."""
        return min(len(self._calm) / CALM, 1.0)

    def see(self, points: np.ndarray, time: float) -> Face | None:
        """The avatar's face for the actor's landmarks; None while the resting face is being learned.

        Args:
            points: [478, 3] px.
            time: s.

        Raises:
            TrackingError: the landmarks are no head.
        """
        if self._offsets is None:
            self._calm.append((time, points))
            if len(self._calm) < CALM:
                return None
            self._learn_seats()
        state = self._solve(points, time)
        row = self._row(state, points)
        row = self._steady(row, time)
        self._history.append(np.r_[time, row])
        if len(self._history) in _KNOWN:
            self._learn_manner(time)
        return self._carry_over(_motion(np.r_[time, row][None]), time)

    def _learn_seats(self) -> None:
        times, points = np.array([t for t, _ in self._calm]), np.stack([p for _, p in self._calm])
        solver = Solver(self._model, points, times, self._size, self._head.expression_names)
        with threadpool_limits(1):
            for _ in range(3):
                solver.step(expression=False, identity=False, focal=False)
            for _ in range(3):
                solver.fit_offsets()
                solver.step(identity=False, focal=False)
        state = solver.state
        self._offsets = state.offsets
        self._origin = np.median(state.translation, 0)
        self._open = np.median(opening(points), 0)
        rows = np.stack([self._row(_one(state, i), points[i]) for i in range(CALM)])
        calm = Manner.of(_motion(np.concatenate([times[:, None], rows], 1)))
        # A second of rest says nothing about how far the actor's face goes: as far as the avatar's, for now.
        plain = Retarget(self._person.avatar, calm)
        self._driver = Retarget(self._person.avatar, replace(calm, reach=plain.subject.reach, top=plain.subject.top))

    def _solve(self, points: np.ndarray, time: float) -> State:
        steps = _STEPS
        if self._solver is None or time - self._last > _GAP:
            names = self._head.expression_names
            self._solver = Solver(self._model, points[None], np.array([time]), self._size, names)
            assert self._offsets is not None
            self._solver.state.offsets = self._offsets
            steps = _FIRST_STEPS
        solver = self._solver
        solver.landmarks = points[None].astype(float)
        solver.tangent = contour_directions(solver.landmarks)
        try:
            with threadpool_limits(1):
                for _ in range(steps):
                    solver.step(identity=False, focal=False)
        except TrackingError:
            self._solver = None
            raise
        self._last = time
        return solver.state

    def _row(self, state: State, points: np.ndarray) -> np.ndarray:
        """[58] coefficients, rotation, translation, as `Motion` has them."""
        turn = Rotation.from_matrix(FACING.T @ state.rotation[0]).as_rotvec()
        arkit = to_arkit(self._head, state.expression[:1].astype(np.float32))[0]
        arkit[list(BLINKS)] = closing(opening(points), self._open)
        return np.concatenate([arkit, turn, (state.translation[0] - self._origin) @ FACING])

    def _learn_manner(self, time: float) -> None:
        motion = _motion(np.stack(self._history))
        self._before, self._since = self._driver, time
        self._driver = Retarget(self._person.avatar, Manner.of(motion))

    def _carry_over(self, motion: Motion, time: float) -> Face:
        face = self._person.act(motion, self._driver)
        share = (time - self._since) / _FADE
        if self._before is not None and share < 1:
            return self._person.act(motion, self._before).toward(face, share)
        self._before = None
        return face


def _one(state: State, row: int) -> State:
    """One frame of a solution."""
    part = slice(row, row + 1)
    return replace(
        state, rotation=state.rotation[part], translation=state.translation[part], expression=state.expression[part]
    )


def _motion(rows: np.ndarray) -> Motion:
    """Rows [T, 59] of time, coefficients, rotation and translation."""
    return Motion(rows[:, 0], rows[:, 1:53], rows[:, 53:56], rows[:, 56:59])
