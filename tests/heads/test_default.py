"""What the default head promises: names, sides, lids that close, lips that seal, teeth, regions and uv map."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from avatars.heads.anny import _identity_axes, build_head, default_head
from avatars.heads.arkit import INDEX, MIRROR, NAMES
from avatars.heads.crop import crop_head
from avatars.heads.head import Head
from avatars.heads.lids import lid_gap
from avatars.heads.makehuman import Targets, read_base
from avatars.heads.regions import inner
from avatars.raster.mesh import rasterize_mesh

VIEWS = [(yaw, pitch) for yaw in (-0.6, 0.0, 0.6) for pitch in (-0.4, 0.0, 0.4)]
FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def head() -> Head:
    return default_head()


@pytest.fixture(scope="module")
def mirror(head: Head) -> np.ndarray:
    distance, partner = cKDTree(head.template).query(head.template * FLIP)
    assert distance.max() < 1e-5
    return partner


def seen(head: Head, vertices: np.ndarray, *regions: str) -> int:
    """Pixels, of 1 mm at the head, in which triangles of these regions are in front, over nine views."""
    mask, count = head.faces_of(*regions), 0
    for yaw, pitch in VIEWS:
        cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        turn = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        x, y, z = (vertices @ turn.T).T
        points = np.stack([150 + 800 * x / (0.8 - z), 150 - 800 * y / (0.8 - z), 0.8 - z], 1)
        face = rasterize_mesh(points.astype(np.float32), head.faces, 300, 300).face
        count += int(mask[face[face >= 0]].sum())
    return count


def people(head: Head) -> list[np.ndarray]:
    """The mean and two standard deviations along each of the first six axes."""
    axes = np.eye(len(head.identity_basis))[:6]
    return [np.zeros(len(head.identity_basis)), *(2 * axes), *(-2 * axes)]


def test_size_and_names(head: Head) -> None:
    assert head.expression_names == NAMES
    assert head.identity_basis.shape[0] == 60
    np.testing.assert_array_equal(head.arkit, np.eye(52))
    width, height, _ = np.ptp(head.template[head.skinning[:, 0] < 0.05], axis=0)
    assert 0.16 < width < 0.22  # over the ears
    assert 0.20 < height < 0.30
    assert (head.landmark_faces >= 0).all()


def test_left_is_the_subjects_own(head: Head) -> None:
    for name in NAMES:
        if name.endswith(("Left", "Right")) and not name.startswith(("jaw", "mouthLeft", "mouthRight")):
            effort = np.linalg.norm(head.expression_basis[INDEX[name]], axis=1)
            if effort.max() > 0:
                side = (effort * head.template[:, 0]).sum()
                assert (side > 0) == name.endswith("Left"), name
    for name, sign in (("jawLeft", 1), ("jawRight", -1), ("mouthLeft", 1), ("mouthRight", -1)):
        place = head.faces[head.landmark_faces[152 if name.startswith("jaw") else 17]]
        assert sign * head.expression_basis[INDEX[name], place, 0].mean() > 0.003, name


def test_template_and_actions_are_symmetric(head: Head, mirror: np.ndarray) -> None:
    off_lids = ~head.regions["eyelids"]
    for i, j in enumerate(MIRROR):
        twin = head.expression_basis[j][mirror] * FLIP
        rows = off_lids if NAMES[i].startswith("eyeBlink") else slice(None)  # fitted to landmarks, which are not exact
        np.testing.assert_allclose(head.expression_basis[i][rows], twin[rows], atol=3e-5, err_msg=NAMES[i])


@pytest.mark.parametrize("k", range(13))
def test_blinks_close_and_hide_the_eyeballs(head: Head, k: int) -> None:
    person = head.shape(people(head)[k])
    closed = (
        person.template
        + person.expression_basis[INDEX["eyeBlinkLeft"]]
        + person.expression_basis[INDEX["eyeBlinkRight"]]
    )
    for side in "lr":
        assert lid_gap(person, side, 0.0).max() > 0.003
        assert lid_gap(person, side, 1.0).max() < 1e-4  # m; measured up to 4e-5, less than a lash
    assert seen(person, person.template, "eyeball_l", "eyeball_r") > 200
    assert seen(person, closed, "eyeball_l", "eyeball_r") <= 8  # of nine views; measured 0 to 4


@pytest.mark.parametrize("k", range(13))
def test_closed_lips_hide_teeth_tongue_and_mouth(head: Head, k: int) -> None:
    person = head.shape(people(head)[k])
    hidden = seen(person, person.template, "teeth_upper", "teeth_lower", "tongue", "mouth_interior")
    assert hidden <= 8  # measured 0 to 4 over nine views


def test_open_mouth_shows_teeth_tongue_and_no_hole(head: Head) -> None:
    wide = head.template + head.expression_basis[INDEX["jawOpen"]]
    for name in ("teeth_upper", "teeth_lower", "tongue", "mouth_interior"):
        assert seen(head, wide, name) > 100, name


def test_lower_teeth_follow_the_jaw_and_upper_ones_stay(head: Head) -> None:
    upper, lower = head.regions["teeth_upper"], head.regions["teeth_lower"]
    for name in NAMES:
        row = head.expression_basis[INDEX[name]]
        assert np.abs(row[upper]).max() < 1e-6, name
        if not name.startswith("jaw"):
            assert np.abs(row[lower]).max() < 1e-6, name
    moved = head.template[lower] + head.expression_basis[INDEX["jawOpen"], lower]
    a, b = head.template[lower] - head.template[lower].mean(0), moved - moved.mean(0)
    u, _, vt = np.linalg.svd(b.T @ a)
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    # A turn of about 20 degrees as a linear displacement: rigid to within half a millimetre.
    assert np.linalg.norm(b - a @ rotation.T, axis=1).max() < 0.0015
    assert 8 < np.degrees(np.arccos((np.trace(rotation) - 1) / 2)) < 30
    # The teeth's own turn, carried on to the chin, takes it where the skin of the chin goes.
    corner = head.faces[head.landmark_faces[152]]
    chin = head.template[corner].mean(0)
    carried = rotation @ (chin - head.template[lower].mean(0)) + moved.mean(0)
    assert np.linalg.norm(carried - chin - head.expression_basis[INDEX["jawOpen"], corner].mean(0)) < 0.006


def test_regions_share_the_skin_out(head: Head) -> None:
    wanted = {
        "face", "lips", "eyelids", "eyeball_l", "eyeball_r", "brows", "nose", "ears", "scalp", "neck", "shoulders",
        "mouth_interior", "teeth_upper", "teeth_lower", "tongue",
    }  # fmt: skip
    assert wanted <= head.regions.keys()
    uses = np.sum([head.regions[name] for name in ("face", "scalp", "ears", "neck", "shoulders")], 0)
    np.testing.assert_array_equal(uses, ~inner(head))
    for name in ("lips", "eyelids", "brows", "nose"):
        assert head.regions[name].any()
        assert not (head.regions[name] & ~head.regions["face"]).any()
    y = head.template[:, 1]
    order = [
        y[head.regions[name]].mean() for name in ("scalp", "brows", "eyelids", "nose", "lips", "neck", "shoulders")
    ]
    assert order == sorted(order, reverse=True)


def test_uv_map_has_no_overlaps_and_favours_the_face(head: Head) -> None:
    uv = head.uv.astype(float)
    assert uv.min() >= 0
    assert uv.max() <= 1
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2
    assert (area >= 0).all()
    size = 2048
    points = np.concatenate([uv.reshape(-1, 2) * size, np.ones((uv.shape[0] * 3, 1))], 1).astype(np.float32)
    covered = (rasterize_mesh(points, np.arange(len(points)).reshape(-1, 3), size, size).face >= 0).mean()
    assert area.sum() == pytest.approx(covered, rel=2e-3)  # measured 3e-4
    assert area[head.faces_of("face")].sum() > 0.28
    assert area.sum() > 0.8


def test_eyeballs_are_spheres_about_their_joints(head: Head) -> None:
    for side in "lr":
        ball = head.template[head.regions[f"eyeball_{side}"]]
        radius = np.linalg.norm(ball - head.joints[head.joint_names.index(f"eye_{side}")], axis=1)
        assert np.ptp(radius) < 2e-5
        assert 0.012 < radius.mean() < 0.017


def test_cut_is_straight(head: Head) -> None:
    """The crop ends in one plane below and one on each side (people differ a little from the body it was cut from)."""
    chest = head.template[head.regions["shoulders"]]
    assert np.sort(chest[:, 1])[:20].std() < 0.004
    assert np.sort(chest[:, 0])[-8:].std() < 0.006


@pytest.mark.slow
def test_axes_do_not_depend_on_the_last_bits_of_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores once turned the sign of every tenth axis, and with it who a synthetic person's seed stands for."""
    exact, rng = np.linalg.eigh, np.random.default_rng(0)

    def other_machine(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, vectors = exact(matrix)
        noise = 1e-14 * rng.normal(size=vectors.shape)
        return values, (vectors + noise) * rng.choice([-1.0, 1.0], len(values))

    base = read_base()
    crop = crop_head(base)
    targets = Targets(crop.points, len(base.vertices))
    jaw_open = crop.derive(targets.expression("jawOpen"))
    found = []
    for eigh in (exact, other_machine, other_machine):
        monkeypatch.setattr(np.linalg, "eigh", eigh)
        found.append(_identity_axes(crop, targets, jaw_open).basis)
    assert np.abs(found[1] - found[0]).max() < 1e-9  # m; measured 1e-13
    assert np.abs(found[2] - found[0]).max() < 1e-9
    flipped = found[0][:, crop.mirror] * [-1.0, 1.0, 1.0]
    # A symmetric population has axes that are mirror images of themselves, or of their own negative.
    sign = np.sign((flipped * found[0]).sum((1, 2)))[:, None, None]
    assert (sign < 0).sum() > 5
    assert np.abs(flipped - sign * found[0]).max() < 1e-6


@pytest.mark.slow
def test_building_twice_gives_the_same_bytes(tmp_path) -> None:
    steps: list[float] = []
    one = build_head(lambda what, share: steps.append(share))
    one.save(tmp_path / "a")
    build_head().save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert steps == sorted(steps)
    assert steps[-1] == 1.0
