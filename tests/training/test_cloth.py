"""Clothes seen from behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from avatars import geometry
from avatars.data import Splats
from avatars.heads.anny import default_head
from avatars.heads.head import Head
from avatars.splats.bases import BasisNetwork, StateScale
from avatars.splats.binding import local_frames
from avatars.splats.lookalikes import NECK, TORSO, behind_neck, kinds
from avatars.splats.model import AvatarModel, Pose
from avatars.splats.seeding import areas, random_barycentric, systematic
from avatars.synthetic.synthesize import orbit
from avatars.training.cloth import _spread, below_neck, cloth_behind
from tests.training.scene import make_scene

_SUIT, _SHIRT = np.array([0.1, 0.1, 0.15]), np.array([0.9, 0.9, 0.9])
_STANDS_OFF = 0.006


@pytest.fixture(scope="module")
def head() -> Head:
    return default_head()


@pytest.fixture(scope="module")
def filmed(head: Head) -> tuple[Splats, np.ndarray, np.ndarray]:
    """(splats, place at rest, share shown) of somebody in a suit, whose shirt shows in the middle of the chest, and who
    was filmed from the front."""
    rng = np.random.default_rng(0)
    area = areas(head.template, head.faces)
    triangle, barycentric = systematic(area / area.sum(), 6000, rng), random_barycentric(6000, rng).astype(np.float32)
    extent = np.full(len(triangle), 0.006, np.float32)
    place, frame, _ = local_frames(head.template, head.faces, head.template, triangle, barycentric)
    worn = kinds(head)[triangle] == TORSO
    shirt = worn & (np.abs(place[:, 0]) < 0.05) & ~behind_neck(head, place)
    color = np.where(worn[:, None], _SUIT + 0.01 * rng.normal(size=(len(triangle), 3)), [0.6, 0.4, 0.3])
    color[shirt] = _SHIRT
    mean = np.zeros((len(triangle), 3), np.float32)
    mean[:, 2] = np.where(worn, _STANDS_OFF, 0) / extent
    splats = Splats(
        triangle.astype(np.int32), barycentric, extent, mean, np.tile(np.eye(1, 4, dtype=np.float32), (6000, 1)),
        np.tile(np.log(np.array([1, 1, 0.3], np.float32)), (6000, 1)), np.full(6000, 3, np.float32),
        color.astype(np.float32), np.zeros((6000, 9, 0), np.float32),
    )  # fmt: skip
    rest = place + mean[:, 2:] * extent[:, None] * frame[:, :, 2]
    shown = np.where(behind_neck(head, place + np.array([0, 0, 0.03])), 0.0, 1.0)  # tops of shoulders, too
    return splats, rest, shown


def test_the_back_wears_what_the_shoulders_do(head: Head, filmed: tuple[Splats, np.ndarray, np.ndarray]) -> None:
    splats, rest, shown = filmed
    laid = cloth_behind(head, splats, rest, shown)
    assert laid is not None
    laid.validate(len(head.faces))
    assert (kinds(head)[laid.triangle] == TORSO).all()
    place = local_frames(head.template, head.faces, head.template, laid.triangle, laid.barycentric)[0]
    height = laid.mean[:, 2] * laid.extent
    lining = height < 0
    assert behind_neck(head, place[~lining]).mean() > 0.95  # the front was seen
    assert behind_neck(head, place[lining]).mean() < 0.3  # tops of shoulders
    assert 0.3 < lining.mean() < 0.6
    behind = behind_neck(head, place)
    assert np.abs(laid.color[behind] - _SUIT).max() < 0.1  # nobody's back is a shirt
    np.testing.assert_allclose(height[~lining], _STANDS_OFF, atol=1e-4)
    np.testing.assert_allclose(height[lining], _STANDS_OFF - 0.01, atol=1e-4)  # below what was seen, not before it
    turned = geometry.matrix_from_quaternion(torch.from_numpy(laid.quaternion)).numpy()
    assert np.abs(turned[:, 2, 2]).min() > 0.99  # thin along the normal
    again = cloth_behind(head, splats, rest, shown)
    assert again is not None
    np.testing.assert_array_equal(again.color, laid.color)


def test_checked_cloth_is_plain_where_nobody_saw_it(head: Head, filmed: tuple[Splats, np.ndarray, np.ndarray]) -> None:
    """Checks that are guessed are blots."""
    splats, rest, shown = filmed
    checked = np.random.default_rng(3).choice([0.2, 0.8], size=(len(rest), 1)) * np.ones(3)
    laid = cloth_behind(head, replace(splats, color=checked.astype(np.float32)), rest, shown)
    assert laid is not None
    assert abs(laid.color.mean() - 0.5) < 0.05
    assert laid.color.std() < 0.12  # a fair coin of either is 0.3, a median of some 0.25


def test_what_is_worn_in_front_goes_on_below_the_picture(
    head: Head, filmed: tuple[Splats, np.ndarray, np.ndarray]
) -> None:
    splats, rest, shown = filmed
    worn = kinds(head)[splats.triangle] == TORSO
    edge = np.quantile(rest[worn & (shown > 0), 1], 0.5)
    cropped = np.where(worn & (rest[:, 1] < edge), 0.0, shown)
    laid = cloth_behind(head, splats, rest, cropped)
    assert laid is not None
    place = local_frames(head.template, head.faces, head.template, laid.triangle, laid.barycentric)[0]
    below = ~behind_neck(head, place) & (place[:, 1] < edge - 0.02)
    shirt, suit = below & (np.abs(place[:, 0]) < 0.04), below & (np.abs(place[:, 0]) > 0.06)
    assert shirt.sum() > 20
    assert suit.sum() > 50
    assert laid.color[shirt].mean(1).min() > 0.7  # the same splats were suit before any of this was seen in front
    assert laid.color[suit].mean(1).max() < 0.3
    sliver = np.where(worn & ((rest[:, 0] < 0.1) | (rest[:, 1] < edge)), 0.0, shown)  # nothing says what is beside it
    guessed = cloth_behind(head, splats, rest, sliver)
    assert guessed is not None
    assert np.abs(guessed.color - _SUIT).max() < 0.1


def test_the_shirt_does_not_show_from_behind(head: Head, filmed: tuple[Splats, np.ndarray, np.ndarray]) -> None:
    splats, rest, shown = filmed
    front = replace(splats, **{k: v[shown > 0] for k, v in vars(splats).items()})  # nothing was left of the back
    laid = cloth_behind(head, front, rest[shown > 0], shown[shown > 0])
    assert laid is not None
    both = replace(front, **{k: np.concatenate([v, getattr(laid, k)]) for k, v in vars(front).items()})
    track = make_scene(frames=2)[2]
    pose = Pose.of_track(track)
    scale = StateScale.fit(pose.expression, pose.rotation, pose.translation, pose.torso_rotation)
    pose = pose[torch.tensor([0])]
    wide = replace(track.camera, fx=track.camera.fx / 2, fy=track.camera.fy / 2)
    camera = orbit(wide, pose.translation[0].numpy().astype(float), 180.0)
    seen, solid = [], []
    for worn in (front, both):
        network = BasisNetwork(len(head.expression_names), 0, scale)
        with torch.no_grad():
            drawn = AvatarModel(head, worn, network).render(pose, camera, torch.full((3,), 0.5))
        seen.append(drawn.color[0].permute(1, 2, 0).numpy()[-12:, 38:58])  # the lower back
        solid.append(drawn.alpha[0, 0].numpy()[-12:, 38:58])
    assert (seen[0].mean(2) > 0.7).mean() > 0.3
    assert seen[1].mean(2).max() < 0.3
    assert solid[1].min() > 0.97


def test_nothing_hangs_below_a_neck_whose_clothes_nobody_saw(
    head: Head, filmed: tuple[Splats, np.ndarray, np.ndarray]
) -> None:
    splats, rest, shown = filmed
    kind = kinds(head)[splats.triangle]
    assert not below_neck(head, splats, rest, shown).any()  # a suit was seen
    close_up = np.where((kind == TORSO) | (rest[:, 1] < -0.09), 0.0, shown)  # the picture ends at half of the neck
    gone = below_neck(head, splats, rest, close_up)
    assert gone[kind == TORSO].all()
    assert gone[(kind == NECK) & (rest[:, 1] < -0.09)].all()
    assert not gone[(rest[:, 1] > -0.085) & (kind != TORSO)].any()
    none = below_neck(head, splats, rest, np.zeros(len(shown)))
    np.testing.assert_array_equal(none, np.isin(kind, (NECK, TORSO)))


def test_cloth_has_no_holes(head: Head) -> None:
    """No place of a torso is farther from the nearest splat than one reaches; thrown at random, one in twenty was."""
    area = areas(head.template, head.faces) * (kinds(head) == TORSO)
    rng = np.random.default_rng(3)
    laid = _spread(head, area, 1200, rng)[2]
    assert 1100 < len(laid) < 1300
    triangle, barycentric = systematic(area / area.sum(), 20000, rng), random_barycentric(20000, rng)
    place = np.einsum("nc,ncd->nd", barycentric, head.template[head.faces[triangle]])
    away = KDTree(laid).query(place)[0]
    thrown = KDTree(place[rng.permutation(20000)[: len(laid)]]).query(place)[0]
    spacing = np.sqrt(area.sum() / len(laid))
    assert (away > spacing).mean() < 0.002
    assert (thrown > spacing).mean() > 0.03


def test_no_cloth_where_none_was_seen(head: Head, filmed: tuple[Splats, np.ndarray, np.ndarray]) -> None:
    splats, rest, shown = filmed
    assert cloth_behind(head, splats, rest, np.zeros(len(shown))) is None
    assert cloth_behind(head, splats, rest, np.ones(len(shown))) is None  # and none where all was
