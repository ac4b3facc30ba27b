"""Linear algebra of a clip: frames coupled in time, with unknowns that all of them share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, solveh_banded

from ..errors import TrackingError


@dataclass(frozen=True)
class SecondDifferences:
    """x[first] - 2 x[first+1] + x[first+2], only within runs of evenly spaced frames."""

    first: np.ndarray
    weight: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """[T, n] -> [len(first), n]."""
        i = self.first
        return x[i] - 2 * x[i + 1] + x[i + 2]

    def transpose_apply(self, y: np.ndarray, count: int) -> np.ndarray:
        """The adjoint of `apply`: [len(first), n] -> [count, n]."""
        out, i = np.zeros((count, y.shape[1])), self.first
        np.add.at(out, i, y)
        np.add.at(out, i + 1, -2 * y)
        np.add.at(out, i + 2, y)
        return out


def second_differences(times: np.ndarray) -> SecondDifferences:
    """Weights stay those of 25 frames/s whatever the rate; gaps and uneven spacing uncouple frames."""
    if len(times) < 3:
        return SecondDifferences(np.zeros(0, int), np.zeros(0))
    step = np.diff(times)
    usual = np.median(step)
    even = (step[:-1] < 1.6 * usual) & (step[1:] < 1.6 * usual)
    first = np.flatnonzero(even)
    return SecondDifferences(first, np.full(len(first), min((0.04 / max(usual, 1e-3)) ** 3, 30.0)))


def bordered_solve(
    hessian: np.ndarray,
    gradient: np.ndarray,
    border: np.ndarray,
    corner: np.ndarray,
    corner_gradient: np.ndarray,
    stiff: np.ndarray,
    second: SecondDifferences,
    free: np.ndarray,
    free_shared: np.ndarray,
    damping: float,
) -> tuple[np.ndarray, np.ndarray]:
    """-(H^-1) g for per-frame blocks, coupled in time, with a dense border; fixed unknowns get zero.

    Expression is eliminated frame by frame (its temporal coupling enters by its diagonal, exact in the limit of the
    iteration); what remains is a band of six pose unknowns per frame, solved exactly, and the shared border.
    """
    count, n = gradient.shape
    own = np.zeros((count, n))
    for k, factor in enumerate((1.0, 4.0, 1.0)):
        np.add.at(own, second.first + k, factor * stiff)
    hessian = hessian * (free[:, :, None] & free[:, None, :])
    border = border * free[:, :, None] * free_shared
    d = np.arange(n)
    hessian[:, d[6:], d[6:]] += own[:, 6:] * free[:, 6:]
    hessian[:, d, d] = np.where(free, hessian[:, d, d] * (1 + damping) + 1e-9, 1.0)
    right = np.concatenate([(gradient * free)[..., None], border], -1)
    try:
        inner = np.linalg.solve(hessian[:, 6:, 6:], np.concatenate([hessian[:, 6:, :6], right[:, 6:]], -1))
        across = hessian[:, :6, 6:] @ inner
        pose = _pose_band(hessian[:, :6, :6] - across[..., :6], right[:, :6] - across[..., 6:], stiff[:, :6], second)
    except (LinAlgError, np.linalg.LinAlgError, ValueError) as error:
        raise TrackingError(
            "The landmarks do not determine a head", fix="Film the face in good light, turning slowly left and right"
        ) from error
    solved = np.concatenate([pose, inner[..., 6:] - inner[..., :6] @ pose], 1)
    schur = corner - np.einsum("tnk,tnj->kj", border, solved[..., 1:], optimize=True)
    schur = schur * np.outer(free_shared, free_shared)
    schur[np.diag_indices_from(schur)] += np.where(free_shared, 1e-9, 1.0)
    reduced = (corner_gradient - np.einsum("tnk,tn->k", border, solved[..., 0])) * free_shared
    step_shared = -np.linalg.solve(schur, reduced)
    return -(solved[..., 0] + solved[..., 1:] @ step_shared), step_shared


def _pose_band(blocks: np.ndarray, right: np.ndarray, stiff: np.ndarray, second: SecondDifferences) -> np.ndarray:
    """Solve [T] blocks of 6 coupled by second differences: right and result are [T, 6, R]."""
    count, n = blocks.shape[:2]
    d, i = np.arange(n), second.first
    band = np.zeros((2 * n + 1, count * n))
    for row in range(n):  # lower form: band[i - j, j] = H[i, j]
        for column in range(row + 1):
            band[row - column, column::n] = blocks[:, row, column]
    for a, b, factor in ((0, 0, 1.0), (1, 1, 4.0), (2, 2, 1.0), (0, 1, -2.0), (1, 2, -2.0), (0, 2, 1.0)):
        np.add.at(band[(b - a) * n], ((i + a)[:, None] * n + d).reshape(-1), (factor * stiff).reshape(-1))
    return solveh_banded(band, right.reshape(count * n, -1), lower=True, check_finite=False).reshape(count, n, -1)
