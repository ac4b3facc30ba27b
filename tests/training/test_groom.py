"""Hair that nobody saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial import KDTree

from avatars import geometry
from avatars.data import Splats
from avatars.heads.head import HeadModel
from avatars.splats.binding import local_frames
from avatars.splats.lookalikes import SCALP, TORSO, kinds
from avatars.splats.model import AvatarModel
from avatars.splats.seeding import screen
from avatars.synthetic.synthesize import orbit
from avatars.training import groom
from avatars.training.calm import visibility
from avatars.training.cloth import below_neck
from avatars.training.groom import groomed
from avatars.training.hair import Hair
from avatars.training.loop import Trainer
from avatars.training.presets import Preset
from tests.training.scene import make_scene

_ROWS = np.arange(19)


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    head, clip, track = make_scene(size=192)
    preset = Preset(size=192, splats=8000, bases=4, iterations=100)
    out = Trainer(head.shape(track.identity), clip, track, _ROWS, preset)
    for _ in range(preset.iterations):
        out.step()
    return out


@pytest.fixture(scope="module")
def bare(trainer: Trainer) -> Splats:
    """Light and dark hair where the film shows it; one colour behind."""
    head, trained = trainer.shaped()
    model = AvatarModel(head, trained, trainer.model.network)
    shown = visibility(model, trainer.poses, trainer.camera, _ROWS)[0]
    hair = (kinds(head)[trained.triangle] == SCALP) & (shown > 0.03)
    shade = np.exp(0.4 * np.random.default_rng(2).normal(size=(len(shown), 1)))
    color = np.where(hair[:, None], 0.3 * shade * [1.0, 0.8, 0.6], trained.color).astype(np.float32)
    size = np.where(hair[:, None], np.log([0.8, 0.25, 0.15]), trained.log_scale).astype(np.float32)
    seen = np.where(shown > 0.03, trained.logit_opacity.clip(4.0), trained.logit_opacity)  # it was a short training
    found = replace(trained, color=color, log_scale=size, logit_opacity=seen.astype(np.float32))
    gone = below_neck(head, found, model.rest_means().numpy(), shown)  # the scene ends there
    return replace(found, **{name: value[~gone] for name, value in vars(found).items()})


@pytest.fixture(scope="module")
def hairy(trainer: Trainer, bare: Splats) -> Splats:
    return _groomed(trainer, bare)


def _groomed(trainer: Trainer, splats: Splats) -> Splats:
    return groomed(trainer.shaped()[0], splats, trainer.model.network, trainer.poses, trainer.camera, _ROWS)


def _rest(trainer: Trainer, splats: Splats) -> np.ndarray:
    model = AvatarModel(trainer.shaped()[0], splats, trainer.model.network)
    return model.rest_means().detach().numpy().astype(float)


def _seen(trainer: Trainer, splats: Splats, yaw: float, row: int = 9) -> np.ndarray:
    """[H, W, 3] the head over mid grey, from a side."""
    pose = trainer.poses.row(row)
    camera = orbit(trainer.camera, pose.translation[0].numpy().astype(float), yaw) if yaw else trainer.camera
    model = AvatarModel(trainer.shaped()[0], splats, trainer.model.network)
    with torch.no_grad():
        return model.render(pose, camera, torch.full((3,), 0.5)).color[0].permute(1, 2, 0).numpy()


def test_the_footage_does_not_change(trainer: Trainer, bare: Splats, hairy: Splats) -> None:
    assert len(hairy) > len(bare) + 100
    for row in range(0, 19, 3):
        change = np.abs(_seen(trainer, hairy, 0.0, row) - _seen(trainer, bare, 0.0, row))
        assert change.mean() < 2e-4
        assert change.max() < 0.05


def test_hair_that_would_show_is_laid_lower(
    trainer: Trainer, bare: Splats, hairy: Splats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not left out at once: beside the ears a skull is as wide as its outline, and would stay bare."""
    monkeypatch.setattr(groom, "_SINKS", 0)
    assert len(hairy) > len(_groomed(trainer, bare)) + 50


def test_the_back_of_the_head_is_hair_and_no_egg(trainer: Trainer, bare: Splats, hairy: Splats) -> None:
    light = [_seen(trainer, splats, 180.0).mean(2) for splats in (bare, hairy)]
    grown = np.abs(light[1] - light[0]) > 0.02
    assert grown.mean() > 0.02
    fine = [(x - ndimage.gaussian_filter(x, 3))[grown].std() for x in light]
    assert fine[1] > 1.3 * fine[0]  # 1.5 measured
    assert abs(light[1][grown].mean() - light[0][grown].mean()) < 0.08


def test_strands_lie_on_the_skull_and_fall(trainer: Trainer, bare: Splats, hairy: Splats) -> None:
    head, new = trainer.shaped()[0], slice(len(bare), None)
    assert (kinds(head)[hairy.triangle[new]] == SCALP).all()
    origin, frame, _ = local_frames(
        head.template, head.faces, head.template, hairy.triangle[new], hairy.barycentric[new]
    )
    assert (hairy.log_scale[new].argmax(1) == 0).all()
    turned = geometry.matrix_from_quaternion(torch.from_numpy(hairy.quaternion[new])).numpy()
    way = np.einsum("nij,nj->ni", frame, turned[:, :, 0])
    assert np.abs((way * frame[:, :, 2]).sum(1)).max() < 0.02
    steep = (np.abs(frame[:, 1, 2]) < 0.5) & (origin[:, 1] < head.template[:, 1].max() - 0.05)
    assert steep.sum() > 50
    assert np.mean(way[steep, 1] < -0.7) > 0.9
    height = np.einsum("ni,ni->n", hairy.mean[new] * hairy.extent[new, None], np.tile([0.0, 0, 1], (len(way), 1)))
    assert np.abs(np.median(height)) < 0.003  # the scene's hair is paint on the mesh


def test_curls_grow_where_the_film_has_curls(trainer: Trainer, bare: Splats) -> None:
    """Of hair that lies any way in the film, what grows behind does too, and no shade runs along it."""
    head, rng = trainer.shaped()[0], np.random.default_rng(5)
    half = rng.uniform(0, np.pi, len(bare)) / 2  # about the normal of the skin
    turn = np.stack([np.cos(half), 0 * half, 0 * half, np.sin(half)], 1)
    model = AvatarModel(head, bare, trainer.model.network)
    shown, pixels = visibility(model, trainer.poses, trainer.camera, _ROWS)
    straight, curly = replace(bare, quaternion=np.tile([1, 0, 0, 0], (len(bare), 1))), replace(bare, quaternion=turn)

    def grown(splats: Splats) -> tuple[float, float, float]:
        splats = replace(splats, quaternion=splats.quaternion.astype(np.float32))
        hair = Hair(head, splats, _rest(trainer, splats), shown, pixels)
        roots = hair.on_scalp(np.random.default_rng(0))
        strands = hair.strands(roots, 1.0, np.random.default_rng(0))
        light = np.log(strands.color.mean(1))
        near = KDTree(roots.place).query(roots.place, 5)[1][:, 1:]
        alike = np.corrcoef(light, light[near].mean(1))[0, 1]
        return hair.combed, np.abs((roots.way[near] * roots.way[:, None]).sum(2)).mean(), float(alike)

    combed, order, shared = grown(straight)
    assert (combed, order > 0.9, shared > 0.4) == (1.0, True, True), (combed, order, shared)
    combed, order, shared = grown(curly)
    assert combed < 0.2
    assert abs(order - 2 / np.pi) < 0.08  # any way
    assert shared < 0.2


def test_hair_is_as_light_as_the_film_shows_it_at_that_height(trainer: Trainer, bare: Splats) -> None:
    """What lies beside the hidden back is in the shade of locks before it: two pixels of it count for two."""
    head, rest = trainer.shaped()[0], _rest(trainer, bare)
    scalp = kinds(head)[bare.triangle] == SCALP
    behind = np.quantile(rest[scalp, 2], 0.3)
    shown = np.where(scalp & (rest[:, 2] < behind), 0.0, 1.0)
    shade = scalp & (shown > 0) & (rest[:, 2] < np.quantile(rest[scalp & (shown > 0), 2], 0.4))
    lit = np.where(rest[:, 1:2] > np.median(rest[scalp, 1]), [0.7, 0.6, 0.4], [0.5, 0.4, 0.2])
    color = np.where(shade[:, None], 0.1, np.where(scalp[:, None], lit, bare.color))
    pixels = np.where(shade, 0.02, 2.0)
    painted = replace(bare, color=color.astype(np.float32))
    roots = Hair(head, painted, rest, shown, pixels).on_scalp(np.random.default_rng(0))
    height = roots.place[:, 1] - np.median(rest[scalp, 1])
    assert (height > 0.03).sum() > 50
    assert np.abs(roots.color[height > 0.03] - [0.7, 0.6, 0.4]).max() < 0.03
    assert (height < -0.03).sum() > 50
    np.testing.assert_allclose(np.median(roots.color[height < -0.03], 0), [0.5, 0.4, 0.2], atol=0.03)


def test_hair_hangs_behind_the_neck_if_it_does_beside_it(trainer: Trainer, bare: Splats) -> None:
    rest, shown = _rest(trainer, bare), np.ones(len(bare))
    short = Hair(trainer.shaped()[0], bare, rest, shown, shown)
    assert short.known
    assert short.behind_neck(np.random.default_rng(0)) is None
    long, rng = rest.copy(), np.random.default_rng(1)
    face = np.flatnonzero(kinds(trainer.shaped()[0])[bare.triangle] == 0)[:200]
    side = np.where(np.arange(200) % 2, 0.085, -0.075)
    long[face] = np.stack([side, rng.uniform(-0.09, -0.03, 200), np.full(200, 0.02)], 1)
    color = bare.color.copy()
    color[face] = [0.7, 0.6, 0.4]
    found = Hair(trainer.shaped()[0], replace(bare, color=color), long, shown, shown).behind_neck(rng)
    assert found is not None
    assert len(found) > 100
    x, y, z = found.place.T
    assert -0.09 < x.min() < -0.07
    assert 0.08 < x.max() < 0.1
    assert y.min() > -0.095
    assert y.max() < 1e-9
    assert np.quantile(y, 0.1) < -0.06
    skull = trainer.shaped()[0].template[trainer.shaped()[0].regions["scalp"]]
    assert skull[:, 2].min() - 0.02 < z.min() < skull[:, 2].min() + 0.02
    assert z.max() < 0.04
    low = found.color[y < -0.085].mean(0)
    np.testing.assert_allclose(low, [0.7, 0.6, 0.4], atol=0.08)


def test_a_head_without_a_neck_grows_hair_on_its_scalp_alone(trainer: Trainer, bare: Splats) -> None:
    head = trainer.shaped()[0]
    ends = replace(head, regions={name: value for name, value in head.regions.items() if name != "neck"})
    shown = np.where(np.random.default_rng(0).uniform(size=len(bare)) < 0.5, 0.0, 1.0)
    hair = Hair(ends, bare, _rest(trainer, bare), shown, shown)
    assert hair.behind_neck(np.random.default_rng(0)) is None
    assert len(hair.on_scalp(np.random.default_rng(0))) > 50


def test_a_head_of_which_no_hair_was_seen_grows_none(trainer: Trainer, bare: Splats) -> None:
    shown = np.where(kinds(trainer.shaped()[0])[bare.triangle] == SCALP, 0.0, 1.0)
    assert not Hair(trainer.shaped()[0], bare, _rest(trainer, bare), shown, shown).known


def test_what_is_too_faint_to_be_drawn_is_not_kept(trainer: Trainer, bare: Splats) -> None:
    faint = bare.logit_opacity.copy()
    faint[::7] = -6.0
    before = replace(bare, logit_opacity=faint)
    after = _groomed(trainer, before)
    assert after.logit_opacity.min() > -5.6
    np.testing.assert_allclose(_seen(trainer, after, 0.0), _seen(trainer, before, 0.0), atol=0.02)


def test_hair_is_the_same_each_time(trainer: Trainer, bare: Splats, hairy: Splats) -> None:
    again = _groomed(trainer, bare)
    for name, value in vars(hairy).items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_cloth_reaches_to_where_the_film_s_picture_ends(
    trainer: Trainer, bare: Splats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Splats beside the edge of the picture reach into it; small ones lie nearer, and the film does not change."""
    head, edge = trainer.shaped()[0], trainer.camera.height
    p = trainer.poses.row(9)
    body = HeadModel(head).pose(p.expression, p.rotation, p.translation, p.torso_rotation, p.torso_translation)
    vertices = body[0].numpy()
    down = screen(vertices, trainer.camera)[head.faces].mean(1)[:, 1]
    below = np.flatnonzero((kinds(head) == TORSO) & (down > edge) & (down < edge + 30))
    count = len(below)
    assert count > 50
    cloth = Splats(
        below.astype(np.int32), np.full((count, 3), 1 / 3, np.float32), np.full(count, 0.008, np.float32),
        np.zeros((count, 3), np.float32), np.tile(np.eye(1, 4, dtype=np.float32), (count, 1)),
        np.tile(np.log(np.float32([1, 1, 0.25])), (count, 1)), np.full(count, 4.0, np.float32),
        np.tile(np.float32([0.0, 1.0, 0.0]), (count, 1)), np.zeros((count, 9, bare.bases.shape[2]), np.float32),
    )  # fmt: skip
    monkeypatch.setattr(groom, "cloth_behind", lambda *_: cloth)
    monkeypatch.setattr(groom, "_SINKS", 0)
    nearest = []
    for splits in (0, 2):
        monkeypatch.setattr(groom, "_SPLITS", splits)
        worn = _groomed(trainer, bare)
        green = worn.color[:, 1] > 0.99
        assert green.sum() > 0
        origin, frame, stretch = local_frames(
            head.template, head.faces, vertices, worn.triangle[green], worn.barycentric[green]
        )
        size = (worn.extent[green] * stretch)[:, None]
        place = origin + np.einsum("nij,nj->ni", frame, worn.mean[green]) * size
        nearest.append(np.sort(screen(place, trainer.camera)[:, 1])[:10].mean() - edge)
        change = np.abs(_seen(trainer, worn, 0.0) - _seen(trainer, bare, 0.0))
        assert change[:-3].max() < 0.05
        assert change.max() < 0.3  # tails in the last row, of a green that no cloth beside it has
    assert nearest[1] < 0.6 * nearest[0], nearest


def _added(trainer: Trainer, count: int = 40) -> groom._Added:
    """Cloth on both shoulders, and as many hairs, all on the mesh."""
    head = trainer.shaped()[0]
    torso = np.flatnonzero(kinds(head) == TORSO)[:: max(1, (kinds(head) == TORSO).sum() // count)][:count]
    scalp = np.flatnonzero(kinds(head) == SCALP)[:count]

    def some(faces: np.ndarray) -> Splats:
        n = len(faces)
        return Splats(
            faces.astype(np.int32), np.full((n, 3), 1 / 3, np.float32), np.full(n, 0.008, np.float32),
            np.zeros((n, 3), np.float32), np.tile(np.eye(1, 4, dtype=np.float32), (n, 1)),
            np.tile(np.log(np.float32([1, 1, 0.25])), (n, 1)), np.full(n, 4.0, np.float32),
            np.full((n, 3), 0.5, np.float32), np.zeros((n, 9, 0), np.float32),
        )  # fmt: skip

    return groom._Added.of(head, some(torso), some(scalp))


def test_cloth_that_shows_goes_behind_what_was_filmed_or_back(trainer: Trainer) -> None:
    """First lower, then towards the body's middle; hair that still shows is gone then, and what still shows of cloth
    is back where it was before it is split."""
    head, start = trainer.shaped()[0], _added(trainer)
    cloth = int((start.splits >= 0).sum())
    assert 20 < cloth < len(start.splats)

    def place(added: groom._Added) -> np.ndarray:
        splats = added.splats
        origin, frame, _ = local_frames(head.template, head.faces, head.template, splats.triangle, splats.barycentric)
        return origin + np.einsum("nij,nj->ni", frame, splats.mean * splats.extent[:, None])

    shows = np.arange(len(start.splats)) % 2 == 0
    before = place(start)
    sunk = start.dodged(shows, 0, 1000)
    np.testing.assert_allclose(np.linalg.norm(place(sunk) - before, axis=1), np.where(shows, 0.0015, 0), atol=1e-6)
    lower = place(sunk)
    shifted = sunk.dodged(shows, groom._SINKS, 1000)
    assert len(shifted.splats) == cloth + int((~shows[cloth:]).sum())
    moved = place(shifted)[:cloth] - lower[:cloth]
    inward = -np.sign(before[:cloth, 0]) * shows[:cloth] * groom._SHIFT
    np.testing.assert_allclose(moved, np.stack([inward, 0 * inward, 0 * inward], 1), atol=1e-5)
    still = np.zeros(len(shifted.splats), bool)
    still[0] = True
    back = shifted.dodged(still, groom._SINKS + groom._SHIFTS, 1000)
    np.testing.assert_allclose(place(back)[0], lower[0], atol=1e-6)
    np.testing.assert_allclose(place(back)[2], place(shifted)[2])  # shown before, but no longer: it stays where it is
    parted = back.dodged(still, groom._SINKS + groom._SHIFTS + 1, 1000)
    assert len(parted.splats) == len(back.splats) + 3
    assert list(parted.splits[-4:]) == [groom._SPLITS - 1] * 4


def test_a_splat_is_split_into_four_that_cover_its_place() -> None:
    one = Splats(
        np.int32([7]), np.float32([[0.2, 0.3, 0.5]]), np.float32([0.008]), np.float32([[0.5, 0.0, -0.25]]),
        np.eye(1, 4, dtype=np.float32), np.log(np.float32([[1, 1, 0.25]])), np.float32([4.0]),
        np.float32([[0.1, 0.2, 0.3]]), np.zeros((1, 9, 2), np.float32),
    )  # fmt: skip
    four = groom._split(one)
    assert len(four) == 4
    place = four.mean * four.extent[:, None]
    np.testing.assert_allclose(place.mean(0), one.mean[0] * 0.008, atol=1e-9)
    np.testing.assert_allclose(place.std(0), [0.004, 0.004, 0.0], atol=1e-9)
    np.testing.assert_allclose(four.extent, 0.004)
    np.testing.assert_array_equal(four.triangle, [7] * 4)
    np.testing.assert_array_equal(four.color, np.repeat(one.color, 4, 0))
