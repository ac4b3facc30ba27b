"""What lies under grown hair does not stand out above it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatars.data import Splats
from avatars.heads.anny import default_head
from avatars.heads.head import Head, HeadModel
from avatars.splats.binding import Binding, bind_reference
from avatars.splats.lookalikes import SCALP, kinds
from avatars.training.lining import lowered

_THICK, _HAIR = 0.003, 0.004
"""m: standard deviation of the lining along the normal, and how high the hair stands."""


@pytest.fixture(scope="module")
def head() -> Head:
    return default_head()


def _splats(triangle: np.ndarray, height: float, sizes: tuple[float, float, float]) -> Splats:
    """One splat at a height, m, over the middle of each triangle [N]; standard deviations in m, the last one up."""
    count, extent = len(triangle), 0.01
    mean = np.zeros((count, 3), np.float32)
    mean[:, 2] = height / extent
    return Splats(
        triangle.astype(np.int32), np.full((count, 3), 1 / 3, np.float32), np.full(count, extent, np.float32), mean,
        np.tile(np.eye(1, 4, dtype=np.float32), (count, 1)),
        np.tile(np.log(np.float32(sizes) / extent), (count, 1)).astype(np.float32),
        np.full(count, 4.0, np.float32), np.full((count, 3), 0.5, np.float32), np.zeros((count, 9, 0), np.float32),
    )  # fmt: skip


def _tops(head: Head, splats: Splats, reach: float) -> np.ndarray:
    """[N] m above the middle of its triangle that each splat reaches, so many standard deviations off its centre."""
    model = HeadModel(head)
    binding = Binding.build(head.template, head.faces, splats.triangle, splats.barycentric, splats.extent)
    values = (splats.mean, splats.quaternion, splats.log_scale, splats.logit_opacity, splats.color)
    means, shapes, *_ = bind_reference(model.template[None], binding, *map(torch.from_numpy, values), None)
    a, b, c = head.template[head.faces[splats.triangle]].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    away = np.einsum("nd,nd->n", means[0].numpy() - (a + b + c) / 3, normal)
    return away + reach * np.linalg.norm(np.einsum("nd,ndk->nk", normal, shapes[0].numpy()), axis=1)


def test_hidden_splats_end_below_the_hair(head: Head) -> None:
    scalp = np.flatnonzero(kinds(head) == SCALP)
    back = scalp[np.argsort(head.template[head.faces[scalp]].mean(1)[:, 2])[:120]]
    hair = _splats(back, _HAIR, (0.004, 0.0015, 0.0003))
    lining = _splats(back[20:80], 0.0, (0.004, 0.004, _THICK))
    assert _tops(head, lining, 2.5).min() > _HAIR + 0.002
    hidden = np.arange(60) % 3 > 0
    under = lowered(head, lining, hidden, hair)
    tops = _tops(head, under, 2.5)
    assert tops[hidden].max() < _HAIR + 1e-6
    assert np.median(tops[hidden]) > _HAIR - 0.001  # around a skull neighbours stand lower than what is right above
    np.testing.assert_array_equal(under.mean[~hidden], lining.mean[~hidden])
    np.testing.assert_array_equal(under.mean[:, :2], lining.mean[:, :2])


def test_what_no_hair_covers_or_what_is_thin_stays(head: Head) -> None:
    scalp = np.flatnonzero(kinds(head) == SCALP)
    order = scalp[np.argsort(head.template[head.faces[scalp]].mean(1)[:, 0])]
    hair, far = _splats(order[:60], _HAIR, (0.004, 0.0015, 0.0003)), order[-40:]
    bare = _splats(far, 0.0, (0.004, 0.004, _THICK))
    every = np.ones(40, bool)
    np.testing.assert_array_equal(lowered(head, bare, every, hair).mean, bare.mean)
    thin = _splats(order[:40], -0.001, (0.004, 0.004, 0.0003))
    np.testing.assert_array_equal(lowered(head, thin, every, hair).mean, thin.mean)
    nothing = replace(hair, **{name: value[:0] for name, value in vars(hair).items()})
    assert lowered(head, thin, every, nothing) is thin
