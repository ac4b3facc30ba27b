"""Splats of one rest shape, bound to another of the same mesh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from .. import geometry
from ..data import Splats
from ..heads.head import Head
from .binding import Binding, frames


def rebound(splats: Splats, was: Head, now: Head) -> Splats:
    """Splats bound to `was` that look on `now` as they do when the mesh of `was` is deformed into it.

    A binding's frames and growth are relative to the shape it was built on. What lies in between is baked into place,
    rotation, unit of length and bases, so that on the new shape at rest nothing moves.
    """
    if np.array_equal(was.template, now.template):
        return splats

    def seats(built_on: Head) -> tuple[np.ndarray, np.ndarray]:
        bound = Binding.build(built_on.template, built_on.faces, splats.triangle, splats.barycentric, splats.extent)
        _, t, s = bound.surface(torch.from_numpy(now.template.astype(np.float64))[None])
        frame, stretch = frames(t[0], s[0])
        return frame.numpy(), stretch.numpy()

    (old, grown), (new, size) = seats(was), seats(now)
    turn = np.einsum("nji,njk->nik", new, old)
    turned = geometry.quaternion_multiply(
        geometry.quaternion_from_matrix(torch.from_numpy(turn)), torch.from_numpy(splats.quaternion.astype(np.float64))
    )
    bases = splats.bases.copy()
    bases[:, :3] = np.einsum("nij,njk->nik", turn, splats.bases[:, :3])
    return replace(
        splats,
        extent=(splats.extent * grown / size).astype(np.float32),
        mean=np.einsum("nij,nj->ni", turn, splats.mean).astype(np.float32),
        quaternion=turned.numpy().astype(np.float32),
        bases=bases,
    )
