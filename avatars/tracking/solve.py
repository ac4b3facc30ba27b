"""Gauss-Newton over a whole clip at once: shared identity and focal length, per-frame pose and expression.

Frames are coupled by temporal terms (block-banded) and by the shared unknowns (a dense border), so one step is a
banded Cholesky solve with a Schur complement for the border. Bounds on the expression are an active set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from ..errors import TrackingError
from .camera import FOCAL_PRIOR, project, projection_jacobian, similarity
from .coupling import bordered_solve, second_differences
from .eyes import IRISES, apart, gaze_axes, held, shut
from .habit import aspects
from .residuals import LandmarkModel, contour_directions, landmark_weights

_CHUNK = 64  # frames whose Jacobians are in memory at once
_BLIND = 0.9  # how much of the contour's error along itself is ignored


@dataclass(frozen=True)
class Priors:
    """Weights of everything but the landmarks; one landmark off by one pixel (at 512) costs 1."""

    identity: float = 3.0
    """Per frame and squared standard deviation: a detector's constant habits must not bend the skull."""
    expression: float = 15.0
    quick: float = 0.5
    """For jaw, lids and gaze, which move most."""
    focal: float = 20.0
    """Per frame and squared log ratio to the expected focal length."""
    translation: float = 1.0e6
    """Per squared second difference at 25 frames/s, m."""
    depth: float = 0.1
    """Share of `translation` along the viewing axis."""
    rotation: float = 1.0e4
    """Per squared second difference, rad."""
    smooth: float = 4.0
    """Per squared second difference of expression; falls off for fast motion, so blinks and plosives stay sharp."""
    fast: float = 0.12
    """Second difference of expression that counts as fast."""
    apart: tuple[float, float] = (3.0e4, 1.0e3)
    """Per squared difference between the two eyes' pitch and yaw, rad: they look at one thing."""
    crossed: float = 0.1
    """rad of difference from which they may as well."""
    outlier: float = 4.0
    """Pixels (at 512) beyond which a landmark loses its say."""


@dataclass
class State:
    """Unknowns of a clip; rotations are matrices."""

    identity: np.ndarray
    focal: float
    offsets: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    expression: np.ndarray


class Solver:
    """One clip's landmarks, and the steps that fit a head to them.

    Args:
        model: the head's landmarks.
        landmarks: [T, 478, 3] px.
        times: [T] s.
        size: (width, height) px.
    """

    def __init__(
        self,
        model: LandmarkModel,
        landmarks: np.ndarray,
        times: np.ndarray,
        size: tuple[int, int],
        names: tuple[str, ...],
        priors: Priors | None = None,
    ) -> None:
        self.model, self.priors = model, priors or Priors()
        if not np.isfinite(landmarks).all():
            raise TrackingError("Landmarks are missing in a frame that is used", fix="Capture the video again")
        self.landmarks = landmarks.astype(float)
        self.scale = max(size) / 512.0
        self.center = np.array(size, float) / 2
        self.expected_focal = FOCAL_PRIOR * max(size)
        self.weights = landmark_weights(model.valid)
        self.tangent = contour_directions(self.landmarks)
        quick = np.array(
            [any(k in n for k in ("eyeLook", "eyeBlink", "gaze", "lid")) or n in ("jawOpen", "jaw") for n in names]
        )
        self.expression_prior = np.where(quick, self.priors.quick, self.priors.expression)
        self.times, self.second = times, second_differences(times)
        self.shut = shut(self.landmarks)
        self.closed = np.flatnonzero(self.shut >= 1)
        self.gaze, self.apart = gaze_axes(model.joint_axis), apart(model.joint_axis)
        self._slope = model.expression.transpose(1, 2, 0).astype(np.float32)
        self._identity_slope = model.identity.transpose(1, 2, 0).astype(np.float32)
        self.count, self.size_e, self.size_s = len(times), model.expression.shape[0], model.identity.shape[0]
        self.state = self._start()

    def _start(self) -> State:
        """Scaled-orthographic alignment by the detector's own depth, good at any yaw."""
        model, z = self.model, self.landmarks * np.array([1.0, -1.0, -1.0])
        rigid = self.weights * (np.linalg.norm(model.expression, axis=-1).max(0) < 0.004) + 1e-6
        scale, rotation, _ = similarity(model.mean, z, rigid)
        flip = np.diag([1.0, -1.0, -1.0])
        rotation = flip @ rotation
        depth = self.expected_focal / scale
        w = rigid / rigid.sum()
        middle = np.einsum("l,tlk->tk", w, self.landmarks[..., :2]) - self.center
        at = np.concatenate([middle / self.expected_focal * depth[:, None], depth[:, None]], 1)
        translation = at - rotation @ (w @ model.mean)
        start = np.clip(np.full(self.size_e, 0.02), model.low, model.high)
        start[model.low < 0] = 0.0
        return State(
            np.zeros(self.size_s), self.expected_focal, np.zeros_like(model.mean), rotation, translation,
            np.tile(start, (self.count, 1)),
        )  # fmt: skip

    # -- what the model predicts --------------------------------------------------------------------------------

    def predict(self, state: State | None = None, rows: slice = slice(None)) -> tuple[np.ndarray, ...]:
        """(head points, rotated points, camera points, pixels), each [T, L, ·]."""
        s = state or self.state
        moved = np.tensordot(aspects(s.rotation[rows], s.translation[rows]), self.model.aspect, 1)
        head = self.model.points(s.identity, s.expression[rows], s.offsets) + moved
        rotated = head @ s.rotation[rows].transpose(0, 2, 1)
        camera = rotated + s.translation[rows][:, None]
        if (camera[..., 2] <= 1e-3).any():
            raise TrackingError(
                "The face solution ran behind the camera",
                fix="The footage does not look like one head; try another clip",
            )
        return head, rotated, camera, project(camera, s.focal, self.center)

    def errors(self) -> np.ndarray:
        """[T, 478] landmark distance, px."""
        return np.linalg.norm(self.predict()[3] - self.landmarks[..., :2], axis=-1)

    def _root_weight(self, pixels: np.ndarray, rows: slice) -> np.ndarray:
        """Square-root weights [T, L, 2, 2]: robust, and nearly blind along the contour."""
        residual = (pixels - self.landmarks[rows, :, :2]) / self.scale
        tangent = self.tangent[rows]
        normal = residual - _BLIND * np.einsum("tlk,tlk->tl", residual, tangent)[..., None] * tangent
        robust = 1.0 / (1.0 + (normal**2).sum(-1) / self.priors.outlier**2)
        weights = np.tile(self.weights, (len(residual), 1))
        weights[:, IRISES] *= 1 - self.shut[rows, None]
        root = np.sqrt(weights * robust)[..., None, None] / self.scale
        return root * (np.eye(2) - _BLIND * tangent[..., :, None] * tangent[..., None, :])

    # -- one Gauss-Newton step ----------------------------------------------------------------------------------

    def step(
        self, *, expression: bool = True, identity: bool = True, focal: bool = True, damping: float = 1e-3
    ) -> None:
        """Solve the linearised problem once; switched-off unknowns stay."""
        s, n = self.state, 6 + self.size_e
        shared = self.size_s + 1
        hessian = np.zeros((self.count, n, n))
        border = np.zeros((self.count, n, shared))
        gradient = np.zeros((self.count, n))
        corner, corner_gradient = np.zeros((shared, shared)), np.zeros(shared)
        for first in range(0, self.count, _CHUNK):
            rows = slice(first, min(first + _CHUNK, self.count))
            a, c, r = self._linearise(rows)
            at = a.transpose(0, 2, 1)
            hessian[rows], border[rows], gradient[rows] = at @ a, at @ c, (at @ r[..., None])[..., 0]
            flat = c.reshape(-1, shared)
            corner += flat.T @ flat
            corner_gradient += flat.T @ r.reshape(-1)
        stiff = self._add_priors(hessian, gradient, corner, corner_gradient)
        free = np.ones((self.count, n), bool)
        at_low = (s.expression <= self.model.low + 1e-6) & (gradient[:, 6:] > 0)
        at_high = (s.expression >= self.model.high - 1e-6) & (gradient[:, 6:] < 0)
        free[:, 6:] = expression & ~(at_low | at_high)
        free[np.ix_(self.closed, 6 + self.gaze)] = False
        free_shared = np.r_[np.full(self.size_s, identity), focal]
        step, step_shared, placed = np.zeros_like(gradient), np.zeros(shared), np.zeros_like(gradient)
        for _ in range(2 if expression else 1):
            step, step_shared = bordered_solve(
                hessian, gradient, border, corner, corner_gradient, stiff, self.second, free, free_shared, damping
            )
            # What would cross a bound is put on it, and the rest is solved again knowing that; else steps oscillate.
            wanted = s.expression + step[:, 6:]
            stuck = free[:, 6:] & ((wanted < self.model.low) | (wanted > self.model.high))
            if not expression or not stuck.any():
                break
            move = np.zeros_like(gradient)
            move[:, 6:] = np.where(stuck, np.clip(wanted, self.model.low, self.model.high) - s.expression, 0.0)
            gradient = gradient + np.einsum("tij,tj->ti", hessian, move)
            corner_gradient = corner_gradient + np.einsum("tnk,tn->k", border, move)
            free[:, 6:] &= ~stuck
            placed = move
        else:
            step = step + placed
        self.state = self._moved(step, step_shared)

    def _linearise(self, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weighted Jacobians [T, 2L, 6+E] and [T, 2L, S+1], weighted residual [T, 2L]; float32 is ample for a step."""
        s = self.state
        head, rotated, camera, pixels = self.predict(rows=rows)
        root = self._root_weight(pixels, rows)
        residual = (root @ (pixels - self.landmarks[rows, :, :2])[..., None])[..., 0]
        j = root @ projection_jacobian(camera, s.focal)
        jr = (j @ s.rotation[rows][:, None]).astype(np.float32)
        t, landmarks = jr.shape[:2]
        a = np.empty((t, landmarks, 2, 6 + self.size_e), np.float32)
        for k in range(3):  # columns of the cross product with the rotated point
            u, v = (k + 1) % 3, (k + 2) % 3
            a[..., k] = j[..., v] * rotated[..., None, u] - j[..., u] * rotated[..., None, v]
        a[..., 3:6] = j
        _chain(jr, self._slope, a[..., 6:])
        rows_turned = self.model.turned
        if len(rows_turned):
            a[:, rows_turned, :, 6:] = jr[:, rows_turned] @ self.model.turned_derivative(s.identity, head)
        c = np.empty((t, landmarks, 2, self.size_s + 1), np.float32)
        _chain(jr, self._identity_slope, c[..., :-1])
        c[..., -1] = (root @ (pixels - self.center)[..., None])[..., 0]
        return (
            a.reshape(t, 2 * landmarks, -1),
            c.reshape(t, 2 * landmarks, -1),
            residual.reshape(t, -1).astype(np.float32),
        )

    def _add_priors(
        self, hessian: np.ndarray, gradient: np.ndarray, corner: np.ndarray, corner_gradient: np.ndarray
    ) -> np.ndarray:
        """Add priors in place; return the stiffness of every second difference, [T-2, 6+E]."""
        s, p = self.state, self.priors
        e = np.arange(6, 6 + self.size_e)
        hessian[:, e, e] += self.expression_prior
        gradient[:, 6:] += self.expression_prior * s.expression
        for row, weight in zip(self.apart, p.apart, strict=True):
            differ = s.expression @ row
            stiffness = weight / (1.0 + (differ / p.crossed) ** 2)
            hessian[:, 6:, 6:] += stiffness[:, None, None] * np.outer(row, row)
            gradient[:, 6:] += (stiffness * differ)[:, None] * row
        i = np.arange(self.size_s)
        corner[i, i] += p.identity * self.count
        corner_gradient[:-1] += p.identity * self.count * s.identity
        corner[-1, -1] += p.focal * self.count
        corner_gradient[-1] += p.focal * self.count * np.log(s.focal / self.expected_focal)
        if not len(self.second.weight):
            return np.zeros((0, 6 + self.size_e))
        bend_e = self.second.apply(s.expression)
        stiff = np.empty((len(bend_e), 6 + self.size_e))
        stiff[:, :3] = p.rotation
        stiff[:, 3:6] = p.translation * np.array([1.0, 1.0, p.depth])
        stiff[:, 6:] = p.smooth / (1.0 + (bend_e / p.fast) ** 2)
        stiff *= self.second.weight[:, None]
        mean = Rotation.from_matrix(s.rotation).mean()
        turns = (Rotation.from_matrix(s.rotation) * mean.inv()).as_rotvec()
        bend = self.second.apply(np.concatenate([turns, s.translation, s.expression], 1))
        gradient += self.second.transpose_apply(stiff * bend, self.count)
        return stiff

    def _moved(self, step: np.ndarray, step_shared: np.ndarray) -> State:
        s = self.state
        turn = Rotation.from_rotvec(np.clip(step[:, :3], -0.3, 0.3)).as_matrix()
        expression = np.clip(s.expression + step[:, 6:], self.model.low, self.model.high)
        expression[:, self.gaze] = held(expression[:, self.gaze], self.times, self.closed)
        return replace(
            s,
            identity=s.identity + step_shared[:-1],
            focal=float(s.focal * np.exp(np.clip(step_shared[-1], -0.2, 0.2))),
            rotation=turn @ s.rotation,
            translation=s.translation + step[:, 3:6],
            expression=expression,
        )

    def fit_offsets(self, ridge: float = 4e4) -> None:
        """Move each landmark's seat on the head by a small shared 3D offset (closed form, one step)."""
        s = self.state
        hessian = np.tile(ridge * self.count * np.eye(3), (len(s.offsets), 1, 1))
        gradient = ridge * self.count * s.offsets
        for first in range(0, self.count, _CHUNK):
            rows = slice(first, min(first + _CHUNK, self.count))
            _, _, camera, pixels = self.predict(rows=rows)
            j = projection_jacobian(camera, s.focal) @ s.rotation[rows][:, None] / self.scale
            residual = (pixels - self.landmarks[rows, :, :2]) / self.scale
            robust = 1.0 / (1.0 + (residual**2).sum(-1) / self.priors.outlier**2)
            hessian += np.einsum("tl,tlik,tlij->lkj", robust, j, j, optimize=True)
            gradient += np.einsum("tl,tlik,tli->lk", robust, j, residual, optimize=True)
        s.offsets = (s.offsets - np.linalg.solve(hessian, gradient[..., None])[..., 0]) * self.model.valid[:, None]

    def run(self, progress: Callable[[float, str], None] | None = None) -> State:
        """Rigid, then identity, then everything, then landmark offsets in turn with everything."""
        plan: list[Callable[[], None]] = [lambda: self.step(expression=False, identity=False, focal=False)] * 3
        plan += [lambda: self.step(expression=False, focal=False)] * 2
        plan += [self.step] * 3
        plan += ([self.fit_offsets] + [self.step] * 2) * 3
        # Bounds are settled last: a face on the edge of one would tremble between two solutions.
        plan += [self.step, *[lambda: self.step(identity=False, focal=False)] * 4]
        for i, act in enumerate(plan):
            with threadpool_limits(
                1
            ):  # many small matrices: more threads wait for each other, ten times slower when busy
                act()
            if progress is not None:
                progress((i + 1) / len(plan), f"landmark error {np.median(self.errors()[:, self.model.valid]):.2f} px")
        return self.state


def _chain(jacobian: np.ndarray, slope: np.ndarray, out: np.ndarray) -> None:
    """out [T, L, 2, E] = jacobian [T, L, 2, 3] @ slope [L, 3, E], without a matrix product per landmark."""
    np.multiply(jacobian[..., 0, None], slope[:, None, 0], out=out)
    for k in (1, 2):
        out += jacobian[..., k, None] * slope[:, None, k]
