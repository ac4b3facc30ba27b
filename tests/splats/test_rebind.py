"""Splats move from one rest shape to another without a trace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from avatars.heads.head import Head
from avatars.splats.avatar import Avatar
from avatars.splats.binding import bind_reference
from avatars.splats.model import AvatarModel
from avatars.splats.rebind import rebound

from .making import make_avatar


def _deeper(head: Head, by: float = 0.004) -> Head:
    """The head with a wave of some mm in z: the surface tilts by up to 12 degrees."""
    template = head.template.copy()
    template[:, 2] += by * np.sin(template[:, 0] / 0.02) * np.cos(template[:, 1] / 0.03)
    return replace(head, template=template)


def _drawn(model: AvatarModel, vertices: torch.Tensor, delta: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    p = {name: value.double() for name, value in model.parameters.items()}
    given = (p[name] for name in ("mean", "quaternion", "log_scale", "logit_opacity", "color"))
    return bind_reference(vertices.double(), model.binding, *given, delta)


def _both(avatar: Avatar) -> tuple[AvatarModel, AvatarModel, Head]:
    now = _deeper(avatar.head)
    moved = rebound(avatar.splats, avatar.head, now)
    return avatar.model(), AvatarModel(now, moved.validate(len(now.faces)), avatar.network), now


def test_on_the_new_shape_at_rest_nothing_moves() -> None:
    was, now, head = _both(make_avatar())
    vertices = torch.from_numpy(head.template)[None]
    delta = [0.3 * (m.bases.double() @ torch.ones(4, dtype=torch.float64))[None] for m in (was, now)]
    old, new = (_drawn(model, vertices, d) for model, d in zip((was, now), delta, strict=True))
    np.testing.assert_allclose(old[0], new[0], atol=1e-7, rtol=1e-4)  # float32 parameters
    # What bases turn is drawn out a little differently: an angle within a sheared ellipsoid is no angle outside it.
    plain = [_drawn(model, vertices, None)[1] for model in (was, now)]
    for (a, b), share in ((plain, 1e-5), ((old[1], new[1]), 0.02)):
        a, b = a @ a.mT, b @ b.mT
        np.testing.assert_allclose(a / a.abs().amax((2, 3), True), b / a.abs().amax((2, 3), True), atol=share)
    for a, b in zip(old[3:], new[3:], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7, rtol=1e-4)


def test_in_other_poses_it_follows_the_mesh_as_before() -> None:
    """An open jaw and a smile: splats differ by a few hundredths of their size, unbound ones by a tenth and more."""
    avatar = make_avatar()
    was, now, head = _both(avatar)
    expression = torch.from_numpy((0.6 * head.expression_high).astype(np.float32))[None]
    vertices = now.head.pose(
        expression, *(x[None] for x in (torch.eye(3), torch.zeros(3), torch.eye(3), torch.zeros(3)))
    )
    careless = AvatarModel(head, avatar.splats, avatar.network)
    want, got, bad = (_drawn(model, vertices, None)[0][0] for model in (was, now, careless))
    extent = torch.from_numpy(avatar.splats.extent)
    off, worse = ((x - want).norm(dim=1) / extent for x in (got, bad))
    assert off.quantile(0.9) < 0.05
    assert worse.quantile(0.9) > 2 * off.quantile(0.9)


def test_the_same_shape_changes_nothing() -> None:
    avatar = make_avatar()
    assert rebound(avatar.splats, avatar.head, replace(avatar.head)) is avatar.splats
