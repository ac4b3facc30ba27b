"""What lies under grown hair.

Splats of the scalp that nobody saw are few, large and thick. Under hair they keep a skull from shining through;
level with it they would stand out as a soft rim around the head's outline.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import KDTree

from ..data import Splats
from ..heads.head import Head
from ..splats.binding import local_frames
from .bounds import along_normal

_NEAR, _STRANDS = 0.012, 8
"""m to the nearest strand of hair that covers a splat, and strands that tell how high it stands there."""
_REACH = 2.5
"""Standard deviations by which an opaque splat is seen to reach."""


def lowered(head: Head, splats: Splats, hidden: np.ndarray, hair: Splats) -> Splats:
    """The splats, those hidden ones that hair covers so low that they do not reach above it.

    Args:
        hidden: [N] bool, splats that no frame shows.
        hair: splats as it was grown.
    """
    if len(hair) < _STRANDS or not hidden.any():
        return splats
    place, normal = _placed(head, splats, hidden)
    strands = _placed(head, hair, np.ones(len(hair), bool))[0]
    away, near = KDTree(strands).query(place, _STRANDS)
    above = np.median(np.einsum("nkd,nd->nk", strands[near] - place[:, None], normal), 1)
    axes = np.exp(splats.log_scale[hidden]) * along_normal(torch.from_numpy(splats.quaternion[hidden])).numpy()
    extent = splats.extent[hidden]
    reach = _REACH * np.linalg.norm(axes, axis=1) * extent
    mean = splats.mean.copy()
    mean[hidden, 2] -= (reach - above).clip(0) * (away[:, 0] < _NEAR) / extent
    return replace(splats, mean=mean)


def _placed(head: Head, splats: Splats, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where some splats [N] bool are at rest, [n, 3] m, and normals [n, 3] of the skin below."""
    rest = head.template
    seat, frame, _ = local_frames(rest, head.faces, rest, splats.triangle[which], splats.barycentric[which])
    mean = splats.mean[which] * splats.extent[which, None]
    return seat + np.einsum("nij,nj->ni", frame, mean), frame[:, :, 2]
