"""Splats of one rest shape, bound to another of the same mesh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from .. import geometry
from ..data import Splats
from ..heads.head import Head
from .binding import Binding, drawn_out, ellipsoids, frames


def rebound(splats: Splats, was: Head, now: Head) -> Splats:
    """Splats bound to `was` that look on `now` as they do when the mesh of `was` is deformed into it.

    A binding's frames and growth are relative to the shape it was built on. What lies in between is baked into place,
    shape, unit of length and bases, so that on the new shape at rest nothing moves.
    """
    if np.array_equal(was.template, now.template):
        return splats

    def seats(built_on: Head) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bound = Binding.build(built_on.template, built_on.faces, splats.triangle, splats.barycentric, splats.extent)
        _, t, s = bound.surface(torch.from_numpy(now.template.astype(np.float64))[None])
        frame, stretch = frames(t[0], s[0])
        return frame.numpy(), stretch.numpy(), drawn_out(t[0], s[0]).numpy()

    (old, grown, out), (new, size, back) = seats(was), seats(now)
    turn, extent = np.einsum("nji,njk->nik", new, old), splats.extent * grown / size
    own = geometry.matrix_from_quaternion(torch.from_numpy(splats.quaternion.astype(np.float64))).numpy()
    shape = np.linalg.inv(back) @ turn @ out @ (own * np.exp(splats.log_scale.astype(float))[:, None])
    axes, scale = (x.numpy() for x in ellipsoids(torch.from_numpy(shape * (splats.extent / extent)[:, None, None])))
    bases = splats.bases.copy()
    bases[:, :3] = turn @ splats.bases[:, :3]
    bases[:, 3:6] = np.swapaxes(axes, 1, 2) @ turn @ own @ splats.bases[:, 3:6]  # a splat turns about its own axes
    return replace(
        splats,
        extent=extent.astype(np.float32),
        mean=np.einsum("nij,nj->ni", turn, splats.mean).astype(np.float32),
        quaternion=geometry.quaternion_from_matrix(torch.from_numpy(axes)).numpy().astype(np.float32),
        log_scale=np.log(scale).astype(np.float32),
        bases=bases,
    )
