"""A head that only makes faces: landmarks of many expressions, in the head's own coordinates."""

from __future__ import annotations

import numpy as np
import torch

from .head import Head, HeadModel

_CHUNK = 64
"""Faces posed at a time."""


@torch.no_grad()
def still_landmarks(head: Head, expression: np.ndarray) -> np.ndarray:
    """Landmarks [T, 478, 3] m of faces [T, E] on a head that neither turns nor moves; NaN those that it lacks.

    Args:
        head: made this person's.
    """
    model = HeadModel(head)

    def some(state: torch.Tensor) -> torch.Tensor:
        still, place = torch.eye(3).expand(len(state), 3, 3), torch.zeros(len(state), 3)
        return model.landmarks(model.pose(state, still, place, still, place))

    state = torch.from_numpy(np.asarray(expression, np.float32))
    return torch.cat([some(part) for part in state.split(_CHUNK)]).numpy()
