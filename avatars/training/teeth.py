"""A row of teeth moves as one.

Where the mesh has the teeth is a guess from the face around them. Let every splat find its place alone, and the few
that footage shows come forward to where the real ones are while the rest stay: a smear, once the mouth opens wider.
Each row therefore has one displacement, moved by the gradients of all of its splats, and single ones stray little.
What a face's motion does to their colour is light and shadow.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..splats.binding import frames
from ..splats.interior import TEETH
from ..splats.model import AvatarModel

_RATE = 4e-5
"""m per step."""
_FARTHEST = (0.002, 0.005, 0.004)
"""m that a row may move: sideways, up and down, to front and back."""
_STRAY = 0.4
"""How far single splats may be from their seat in the moved row, in extents."""
_BETA1, _BETA2, _EPS = 0.9, 0.99, 3e-5


class Teeth:
    """The displacements of one model's rows of teeth, in the rest pose, with their own Adam."""

    def __init__(self, model: AvatarModel) -> None:
        head, binding = model.head.head, model.binding
        known = [name for name in TEETH if name in head.regions]
        part = [np.flatnonzero(head.regions[name][binding.corner].all(1)) for name in known]
        index = np.concatenate([np.zeros(0, np.int64), *part])
        _, t, s = binding.surface(torch.from_numpy(head.template)[None])
        device = model.device
        self.splats = torch.from_numpy(index).to(device)
        """Which splats these are."""
        self._row = torch.from_numpy(np.repeat(np.arange(len(known)), [len(p) for p in part])).to(device)
        frame, stretch = frames(t[0, index], s[0, index])
        self._frame = frame.to(device)
        self._size = (torch.from_numpy(binding.extent[index]) * stretch)[:, None].to(device)
        self._far = torch.tensor(_FARTHEST, device=device)
        self.moved = torch.zeros(len(known), 3, device=device)
        """[rows, 3] m."""
        self.first, self.second = torch.zeros_like(self.moved), torch.zeros_like(self.moved)

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float, steps: int) -> None:
        """Move the rows by the gradient [N, 3] of all splats' means (extents, in their own frames)."""
        if not len(self.splats):
            return
        pull = torch.einsum("nij,nj->ni", self._frame, gradient.index_select(0, self.splats) / self._size)
        total = torch.zeros_like(self.moved).index_add_(0, self._row, pull)
        self.first.lerp_(total, 1 - _BETA1)
        self.second.lerp_(total.square(), 1 - _BETA2)
        unit = (self.first / (1 - _BETA1**steps)) / ((self.second / (1 - _BETA2**steps)).sqrt() + _EPS)
        self.moved.sub_(_RATE * rate * unit)
        torch.minimum(torch.maximum(self.moved, -self._far, out=self.moved), self._far, out=self.moved)

    @torch.no_grad()
    def seat(self, mean: Tensor, before: Tensor) -> None:
        """Carry the means [N, 3] along, in place, from where rows were `before`, and keep single splats near."""
        if not len(self.splats):
            return
        was, now = (
            torch.einsum("nji,nj->ni", self._frame, moved.index_select(0, self._row)) / self._size
            for moved in (before, self.moved)
        )
        mean[self.splats] = now + (mean[self.splats] - was).clamp(-_STRAY, _STRAY)

    @torch.no_grad()
    def tint(self, gradient: Tensor) -> None:
        """Leave of the gradient [N, 9] of what bases add what makes teeth lighter or darker, in place.

        Slivers between lips would teach them hues, which turn green where a mouth opens wider than in the film.
        """
        color = gradient.index_select(0, self.splats)[:, 6:]
        gradient[self.splats, 6:] = color.mean(1, keepdim=True).expand(-1, 3)
