"""Keeps closed lips closed on every head: shape changes that would part them are shared between the two.

The artist's local changes of one lip leave the other where it is, so that a random mouth stands ajar. Where the lips
touch at rest, half of the difference between their displacements is taken from each, fading out around the mouth.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, eye
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree

from .surface import neighbour_mean

_TOUCH, _APART = 0.002, 0.004
"""m between the lips at rest: full effect up to the one, none from the other on."""
_PRESS = 0.0018
"""m by which the artist's lips are brought together: they do not quite meet."""
_REACH = 0.02
"""m around the seam within which the change fades out."""
_BAND = 0.015
"""m around the mouth's border in which lips are looked for."""


class LipSeal:
    """A linear correction of displacement fields [..., V, 3] of one mesh.

    Args:
        rest: [V, 3] m, with closed lips.
        faces: [F, 3].
        jaw: [V] rise of each vertex as the jaw opens, m (negative on the lower lip).
        inside: [V] bool, the mouth's inside; its border lies on the lips.
    """

    def __init__(self, rest: np.ndarray, faces: np.ndarray, jaw: np.ndarray, inside: np.ndarray) -> None:
        count = len(rest)
        rim = np.zeros(count, bool)
        rim[np.unique(faces[inside[faces].any(1) & ~inside[faces].all(1)])] = True
        border = rim & inside
        skin = ~inside | border
        near = skin & (KDTree(rest[border]).query(rest)[0] < _BAND)
        drop = -jaw / -jaw.min()
        upper, lower = np.flatnonzero(near & (drop < 0.25)), np.flatnonzero(near & (drop > 0.45))
        found = KDTree(rest[lower]).query(rest[upper])
        gap, partner = np.asarray(found[0]), np.asarray(found[1])
        weight = np.clip((_APART - gap) / (_APART - _TOUCH), 0, 1)
        pairs = np.flatnonzero(weight)
        self._sides = np.zeros((count, 3))
        self._sides[upper[pairs], 1], self._sides[lower[partner[pairs]], 1] = -weight[pairs], weight[pairs]
        self._difference = _difference(upper[pairs], lower[partner[pairs]], weight[pairs], count)
        pinned = np.unique(np.concatenate([upper[pairs], lower[partner[pairs]]]))
        reach = KDTree(rest[pinned]).query(rest)[0] < _REACH
        self._free = np.setdiff1d(np.flatnonzero(reach), pinned)
        mean = neighbour_mean(faces, count)
        self._solver = splu((eye(len(self._free)) - mean[self._free][:, self._free]).tocsc())
        self._from_pinned = mean[self._free]

    def __call__(self, field: np.ndarray) -> np.ndarray:
        """The field [V, 3] with closed lips kept together."""
        return field + self._spread(self._difference @ field)

    def pressed(self, rest: np.ndarray) -> np.ndarray:
        """The rest shape [V, 3] with the lips moved together until no slit is left."""
        return rest + self._spread(_PRESS / 2 * self._sides)

    def _spread(self, change: np.ndarray) -> np.ndarray:
        change[self._free] = self._solver.solve(self._from_pinned @ change)
        return change


def _difference(upper: np.ndarray, lower: np.ndarray, weight: np.ndarray, count: int) -> csr_matrix:
    """[count, count]: what touching vertices must move by to share their difference, averaged over their pairs."""
    rows = np.concatenate([upper, upper, lower, lower])
    columns = np.concatenate([upper, lower, lower, upper])
    half = weight / 2
    total = csr_matrix((np.concatenate([-half, half, -half, half]), (rows, columns)), shape=(count, count))
    uses = np.maximum(np.bincount(np.concatenate([upper, lower]), minlength=count), 1)
    return csr_matrix(total.multiply(1 / uses[:, None]))
