"""Lone splats in the air, and haze before the face, are not kept; strands, skin and clothes are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatars.data import Clip, Splats, Track
from avatars.heads.anny import default_head
from avatars.heads.head import Head
from avatars.splats.binding import local_frames
from avatars.splats.lookalikes import SCALP, kinds
from avatars.training.bounds import part
from avatars.training.loop import Trainer
from avatars.training.presets import Preset
from avatars.training.strays import hovering, strays


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


def test_haze_before_the_face_is_found(scene: tuple[Head, Clip, Track]) -> None:
    """Of the colour of the skin behind it; not what covers skin of another colour, nor what stands beside a head."""
    head, clip, track = scene
    preset = Preset(size=96, splats=3000, bases=4, iterations=10)
    trainer = Trainer(head.shape(track.identity), clip, track, np.arange(19), preset)
    model = trainer.model
    p, rest = model.parameters, model.rest_means().numpy()
    skin = part(model, "face") & ~part(model, "lips", "brows", "eyelids", "scalp", "ears", "teeth_upper", "teeth_lower")
    p["mean"] = torch.zeros_like(p["mean"])
    p["color"] = torch.where(torch.from_numpy(part(model, "scalp"))[:, None], 0.3, 0.6).expand(-1, 3).contiguous()
    p["log_scale"] = torch.zeros_like(p["log_scale"])
    p["logit_opacity"] = torch.full_like(p["logit_opacity"], 3.0)
    # Well inside the outline, also of a head that is turned by 14 degrees.
    front = np.flatnonzero(skin & (rest[:, 2] > np.quantile(rest[skin, 2], 0.75)))
    haze, cover = np.random.default_rng(0).permutation(front)[:12].reshape(2, 6)
    apart = np.linalg.norm(rest[haze][:, None] - rest[cover][None], axis=2)
    haze = haze[apart.min(1) > 0.012]
    assert len(haze) >= 2
    top = np.flatnonzero(part(model, "scalp"))[:6]  # hair that stands up
    lifted = np.concatenate([haze, cover, top])
    p["mean"][lifted, 2] = torch.from_numpy(0.02 / model.binding.extent[lifted])
    p["color"][cover] = 0.05
    found = hovering(model, trainer.poses, trainer.camera, trainer.rows)
    assert set(np.flatnonzero(found)) == set(haze.tolist())
