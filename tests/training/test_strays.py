"""Lone splats in the air are not kept; strands, skin and clothes are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatars.data import Splats
from avatars.heads.anny import default_head
from avatars.heads.head import Head
from avatars.splats.binding import local_frames
from avatars.splats.lookalikes import SCALP, kinds
from avatars.training.strays import strays


@pytest.fixture(scope="module")
def head() -> Head:
    return default_head()


def _off(head: Head, triangle: np.ndarray, height: np.ndarray) -> tuple[Splats, np.ndarray]:
    """Splats at heights [N] m over triangles [N], and where they are."""
    count = len(triangle)
    mean = np.zeros((count, 3), np.float32)
    mean[:, 2] = height / 0.004
    splats = Splats(
        triangle.astype(np.int32), np.full((count, 3), 1 / 3, np.float32), np.full(count, 0.004, np.float32), mean,
        np.tile(np.eye(1, 4, dtype=np.float32), (count, 1)), np.zeros((count, 3), np.float32),
        np.full(count, 3.0, np.float32), np.full((count, 3), 0.5, np.float32), np.zeros((count, 9, 0), np.float32),
    )  # fmt: skip
    place, frame, _ = local_frames(head.template, head.faces, head.template, splats.triangle, splats.barycentric)
    return splats, place + height[:, None] * frame[:, :, 2]


@pytest.mark.parametrize(
    ("height", "company", "faint", "stray"),
    [
        (0.05, 0, False, True),
        (0.05, 8, False, False),
        (0.05, 8, True, True),
        (0.05, 3, False, True),
        (0.01, 0, False, False),
    ],
)
def test_what_is_alone_in_the_air_is_a_stray(head: Head, height: float, company: int, faint: bool, stray: bool) -> None:
    seat = int(np.flatnonzero(kinds(head) == SCALP)[40])
    middle = head.template[head.faces].mean(1)[:, 0]
    far = np.flatnonzero((kinds(head) == SCALP) & (middle * middle[seat] < 0))[:30]
    triangle = np.r_[seat, np.full(company, seat), far]
    heights = np.r_[height, height + 0.001 * np.arange(1, company + 1), np.zeros(len(far))]
    splats, rest = _off(head, triangle, heights)
    opacity = splats.logit_opacity.copy()
    opacity[1 : company + 1] = -4.0 if faint else 3.0
    found = strays(head, replace(splats, logit_opacity=opacity), rest)
    assert found[0] == stray
    assert not found[1 + company :].any()


def test_clothes_are_never(head: Head) -> None:
    torso = np.flatnonzero(head.bust_faces())[::40]
    splats, rest = _off(head, torso, np.full(len(torso), 0.05))
    assert not strays(head, splats, rest).any()


def test_too_few_to_tell(head: Head) -> None:
    splats, rest = _off(head, np.flatnonzero(kinds(head) == SCALP)[:4], np.full(4, 0.05))
    assert not strays(head, splats, rest).any()
