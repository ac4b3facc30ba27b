"""Where splats start, and in which colours."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from avatars.data import Camera
from avatars.heads.anny import default_head
from avatars.heads.head import Head
from avatars.raster.mesh import rasterize_mesh
from avatars.splats.lookalikes import lookalikes
from avatars.splats.seeding import View, screen, seed

SIZE = 128
SKIN, WALL = (160, 110, 90), (200, 0, 200)


@pytest.fixture(scope="module")
def head() -> Head:
    return default_head()


@pytest.fixture(scope="module")
def camera() -> Camera:
    return Camera(260.0, 260.0, SIZE / 2, SIZE / 2, SIZE, SIZE)


@pytest.fixture(scope="module")
def view(head: Head, camera: Camera) -> View:
    """A head of one colour before a wall that shines into its outline."""
    vertices = head.template * [1.0, -1.0, -1.0] + [0, 0, 0.6]
    inside = rasterize_mesh(screen(vertices, camera), head.faces, SIZE, SIZE).face >= 0
    rim = inside & np.logical_not(ndimage.binary_erosion(inside, border_value=1))
    image = np.where(inside[..., None] & ~rim[..., None], np.array(SKIN), np.array(WALL)).astype(np.uint8)
    return View(vertices.astype(np.float32), image, np.where(inside, 255, 0).astype(np.uint8))


def test_skin_takes_nothing_from_what_shines_past_its_outline(head: Head, camera: Camera, view: View) -> None:
    splats = seed(head, [view], camera, 2000, 0.0, 4, 0, np.full(3, 0.7))
    outside = ~head.faces_of("mouth_interior", "tongue", "teeth_upper", "teeth_lower")[splats.triangle]
    np.testing.assert_allclose(splats.color[outside], np.tile(np.array(SKIN) / 255, (outside.sum(), 1)), atol=1e-6)


def test_few_splats_go_where_nobody_looks_but_to_the_nape(head: Head, camera: Camera, view: View) -> None:
    splats = seed(head, [view], camera, 4000, 0.0, 4, 0, np.full(3, 0.7))
    corners = head.template[head.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area, back = np.linalg.norm(normal, axis=1) / 2, normal[:, 2] < 0

    def density(where: np.ndarray) -> float:
        return float(where[splats.triangle].sum() / area[where].sum())

    bust, neck = head.bust_faces(), head.faces_of("neck")
    assert not (bust & neck).any()
    assert (head.torso_faces() & neck).any()  # its lower half follows the torso more than the head
    lower = neck & head.torso_faces() & back
    assert density(lower) > 5 * density(bust & back)
    assert density(neck & ~back) > 2 * density(lower)


def test_behind_bare_temples_is_hair(head: Head, camera: Camera) -> None:
    """What is hidden of the scalp takes after hair, even at the height of temples that show skin."""
    vertices = head.template * [1.0, -1.0, -1.0] + [0, 0, 0.6]
    drawn = rasterize_mesh(screen(vertices, camera), head.faces, SIZE, SIZE).face
    scalp, height = head.faces_of("scalp"), head.template[head.faces][..., 1].mean(1)
    hairline = np.quantile(height[scalp & np.isin(np.arange(len(scalp)), drawn)], 0.3)
    hair = (30, 25, 20)
    colors = np.where((scalp & (height > hairline))[:, None], hair, SKIN)
    image = np.where((drawn >= 0)[..., None], colors[drawn], WALL).astype(np.uint8)
    view = View(vertices.astype(np.float32), image, np.where(drawn >= 0, 255, 0).astype(np.uint8))
    splats = seed(head, [view], camera, 3000, 0.0, 4, 0, np.full(3, 0.7))
    low = scalp[splats.triangle] & (height[splats.triangle] < hairline)
    back = low & (head.template[head.faces[splats.triangle]][..., 2].mean(1) < 0)
    assert back.sum() > 30
    dark = splats.color[back].sum(1) < np.mean([sum(hair), sum(SKIN)]) / 255
    assert dark.mean() > 0.95


def test_a_temple_in_shade_is_no_hair(head: Head, camera: Camera) -> None:
    """Grey hair on dark skin: a shaded temple is as dark as the hair is, and of the skin's tone all the same."""
    vertices = head.template * [1.0, -1.0, -1.0] + [0, 0, 0.6]
    drawn = rasterize_mesh(screen(vertices, camera), head.faces, SIZE, SIZE).face
    scalp, height = head.faces_of("scalp"), head.template[head.faces][..., 1].mean(1)
    hairline = np.quantile(height[scalp & np.isin(np.arange(len(scalp)), drawn)], 0.3)
    shade = np.random.default_rng(0).uniform(0.75, 1.1, (len(scalp), 1))
    grey = np.array((112, 96, 84))
    colors = np.where((scalp & (height > hairline))[:, None], grey, SKIN) * np.where(
        (scalp & (height <= hairline))[:, None], 0.72, shade
    )
    image = np.where((drawn >= 0)[..., None], colors[drawn], WALL).astype(np.uint8)
    view = View(vertices.astype(np.float32), image, np.where(drawn >= 0, 255, 0).astype(np.uint8))
    splats = seed(head, [view], camera, 3000, 0.0, 4, 0, np.full(3, 0.7))
    low = scalp[splats.triangle] & (height[splats.triangle] < hairline)
    back = splats.color[low & (head.template[head.faces[splats.triangle]][..., 2].mean(1) < 0)]
    assert len(back) > 30
    middle = (grey[0] / grey.sum() + SKIN[0] / sum(SKIN)) / 2
    assert (back[:, 0] / back.sum(1) < middle).mean() > 0.95  # red's share of the tone


def test_where_hair_is_scarce_a_scalp_still_takes_after_a_scalp(head: Head) -> None:
    """Of 25 seen, 15 have hair: too few to go by, and no reason to look like a cheek or a collar."""
    rng = np.random.default_rng(0)
    scalp, other = (np.flatnonzero(mask) for mask in (head.faces_of("scalp"), head.faces_of("face", "neck", "lips")))
    scalp = scalp[np.argsort(-head.template[head.faces[scalp]][..., 1].mean(1))]
    triangle = np.r_[scalp[:25], scalp[25:], rng.permutation(other)[:300]]
    seen = np.r_[np.ones(25, bool), np.zeros(len(scalp) - 25, bool), np.ones(300, bool)]
    color = np.tile(np.array(SKIN) / 255, (len(triangle), 1)) * rng.uniform(0.9, 1.1, (len(triangle), 1))
    color[:15] = 0.1
    near = lookalikes(head, triangle, head.template[head.faces[triangle]].mean(1), color, seen, 8)
    assert near.max() < 25


def test_the_back_of_a_suit_takes_after_its_shoulders(head: Head) -> None:
    """A white shirt is nearer to it, through the chest, than the black cloth on the shoulders."""
    torso = np.flatnonzero(head.torso_faces() & ~head.faces_of("neck"))
    place, neck = head.template[head.faces[torso]].mean(1), head.template[head.regions["neck"]]
    behind = place[:, 2] < neck[:, 2].mean()
    shoulders = behind & (place[:, 1] > np.quantile(place[behind, 1], 0.7))
    shirt = ~behind & (np.abs(place[:, 0]) < 0.6 * np.abs(place[:, 0]).max())
    seen = shoulders | shirt
    color = np.where(shirt[:, None], 0.95, 0.1) * np.ones((1, 3))
    near = lookalikes(head, torso, place, color, seen, 8)
    backs = behind[~seen]
    assert shoulders.sum() > 20
    assert shirt.sum() > 20
    assert backs.sum() > 20
    assert (color[near[backs]] < 0.5).all()
    assert (color[near[~backs]] > 0.5).any()  # what is in front may take after a shirt


def test_an_unseen_bit_of_a_collar_takes_after_the_collar_and_not_after_the_neck(head: Head) -> None:
    rng = np.random.default_rng(0)
    neck = rng.permutation(np.flatnonzero(head.faces_of("neck")))[:60]
    triangle = np.r_[neck, neck]  # bare skin, and cloth that it carries 3 cm further out
    skin = head.template[head.faces[neck]].mean(1)
    out = (skin - skin.mean(0)) * (1, 0, 1)
    cloth = skin + 0.03 * out / np.linalg.norm(out, axis=1, keepdims=True)
    free = np.arange(120) >= 60
    color = np.where(free[:, None], 0.1, np.array(SKIN) / 255)
    seen = rng.uniform(size=120) < 0.6
    near = lookalikes(head, triangle, np.r_[skin, cloth], color, seen, 8, free)
    assert (free[near] == free[~seen][:, None]).all()
