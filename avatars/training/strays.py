"""Lone splats in the air.

A camera in front does not tell how deep a splat of hair lies, and one that no other is near has nothing to hold it:
from the side it is a blot beside the head. No frame misses it much.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from ..data import Splats
from ..heads.head import Head

_FREE = 0.015
"""m off its seat from which a splat is in the air."""
_FEW, _NEAR = 6, 0.015
"""Splats that one in company has within so many m."""
_FAINT = -1.5
"""Logit of an opacity under which a splat is no company."""


def strays(head: Head, splats: Splats, rest: np.ndarray) -> np.ndarray:
    """[N] bool: splats off the mesh that hardly another is near; none of clothes, which are sparse on the back.

    Args:
        rest: [N, 3] m, where the splats are at rest.
    """
    free = np.linalg.norm(splats.mean, axis=1) * splats.extent > _FREE
    solid = rest[splats.logit_opacity > _FAINT]
    if len(solid) <= _FEW:
        return np.zeros(len(splats), bool)
    away = KDTree(solid).query(rest, _FEW + 1)[0][:, -1]  # the nearest of a solid one is itself
    return free & (away > _NEAR) & ~head.bust_faces()[splats.triangle]
