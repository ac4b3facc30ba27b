"""The comparison: baselines start where ours starts and learn, holes and flights are seen, all are measured alike."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from avatars.data import Track
from avatars.errors import InputError
from avatars.splats.model import AvatarModel
from avatars.training import build
from avatars.training.columns import table
from avatars.training.loop import Trainer
from avatars.training.presets import Preset

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from comparison import budget, lengths
from comparison.baselines import OffsetModel, RigidModel, encode, uv_seeds
from comparison.budget import costs
from comparison.columns import COLUMNS, lost
from comparison.measure import measured
from comparison.pages import comparison_page
from comparison.pairs import following
from comparison.pictures import SIDES, of_film, of_method
from comparison.shelf import FILM, Shelf
from comparison.short import _carried_over
from comparison.stillness import jitter
from comparison.sweeps import Measure, combinations, holes, sweep
from comparison.train import Baseline, Offset, Rigid

from avatars.training.views import rest_pose
from tests.training.scene import make_scene

Shop = tuple[Trainer, Track, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def shop() -> Shop:
    head, clip, track = make_scene(frames=16)
    preset = Preset(size=96, splats=800, bases=4, iterations=60, coarse=0.0)
    return build.prepare(head, clip, track, preset, "tail")


def _seeded(shop: Trainer) -> AvatarModel:
    return AvatarModel(shop.head, shop.seeded, shop.model.network)


def test_rigid_splats_start_where_ours_start(shop: Shop) -> None:
    """On a head that is only placed, not deformed, the change of frame is exact: the same picture to rounding."""
    trainer = shop[0]
    place = trainer.poses.row(0)
    vertices = torch.from_numpy(trainer.head.template) @ place.rotation[0].T + place.translation
    (intrinsics, view), (width, height) = trainer.views[0], trainer.store.sizes[0]
    with torch.no_grad():
        ours, rigid = (
            model.draw(vertices[None], None, intrinsics, view, width, height, torch.ones(3)).color
            for model in (_seeded(trainer), RigidModel(trainer.head, trainer.seeded))
        )
    assert float((ours - rigid).abs().max()) < 0.02  # where two splats at one depth swap
    assert float((ours - rigid).abs().mean()) < 1e-5


def test_rigid_splats_follow_their_triangle(shop: Shop) -> None:
    """A turned, moved and doubled triangle turns, moves and doubles its splats."""
    trainer = shop[0]
    model = RigidModel(trainer.head, trainer.seeded)
    rest = torch.from_numpy(trainer.head.template).double()[None]
    turn = torch.linalg.qr(torch.tensor(np.random.default_rng(0).normal(size=(3, 3))))[0]
    turn = turn * torch.linalg.det(turn)
    a, b = model.triangles(rest), model.triangles(2 * rest @ turn.T + 0.3)
    assert torch.allclose(2 * a[0] @ turn.T + 0.3, b[0], atol=1e-9)
    assert torch.allclose(turn @ a[1], b[1], atol=1e-6)
    assert torch.allclose(2 * a[2], b[2], rtol=1e-6)
    assert torch.allclose(torch.linalg.det(a[1]), torch.ones(1).double(), atol=1e-6)


def test_uv_seeds_lie_on_the_triangles_that_film_shows(shop: Shop) -> None:
    trainer = shop[0]
    seeds = uv_seeds(trainer.head, trainer.seeded, 800).validate(len(trainer.head.faces))
    assert 800 <= len(seeds) < 1100
    assert set(seeds.triangle) <= set(trainer.seeded.triangle)
    assert np.abs(seeds.barycentric.sum(1) - 1).max() < 1e-5
    assert seeds.barycentric.min() > -1e-6


def test_an_untrained_offset_network_leaves_splats_on_the_mesh(shop: Shop) -> None:
    trainer = shop[0]
    model = OffsetModel(trainer.head, uv_seeds(trainer.head, trainer.seeded, 800), trainer.model.network.scale, 16, 2)
    delta = model.delta(model.weights(trainer.poses.row(3)))
    assert delta.shape == (1, len(model.binding), 18)
    assert float(delta[..., :9].detach().abs().max()) == 0
    assert encode(torch.zeros(2, 3)).shape == (2, 51)


@pytest.mark.parametrize("kind", [Rigid, Offset])
def test_baselines_learn(shop: Shop, kind: type[Baseline]) -> None:
    trainer = shop[0]
    start = copy.deepcopy(trainer.poses)
    baseline = kind(trainer, start)

    def loss() -> float:
        frame = trainer.store.get(5, 0)
        with torch.no_grad():
            return float((baseline.draw(baseline.poses.row(5), frame, 0) - frame.image).abs().mean())

    before = loss()
    done = baseline.train(1.0)
    assert done.iterations > 5
    assert loss() < 0.9 * before
    assert torch.equal(start.pose.expression, trainer.poses.pose.expression)  # what all start from is not touched


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Rigid, Offset])
def test_baselines_are_measured_like_ours(shop: Shop, kind: type[Baseline]) -> None:
    trainer, track, train_rows, test_rows = shop
    baseline = kind(trainer, trainer.poses)
    done = baseline.train(0.5)
    found = measured(trainer, track, done, train_rows, test_rows[:1], None)
    assert set(of_method(trainer, found)) == {*of_film(trainer, test_rows[:1]), *(f"side {a:+d}" for a in SIDES)}
    assert found.figures["psnr"] > 10
    assert found.figures["splats"] == len(baseline.model.binding)
    assert found.figures["megabytes"] > 0
    assert "novel_view_30" not in found.figures


def test_holes_are_seen_and_outlines_are_not() -> None:
    face = np.zeros((100, 100), bool)
    face[20:80, 20:80] = True
    alpha = np.zeros((100, 100))
    alpha[20:80, 22:80] = 1  # the person is narrower than the mesh
    assert not holes(face, alpha).any()
    alpha[50:53, 50:53] = 0.2
    assert holes(face, alpha).sum() == 9
    alpha[20:60, 40:44] = 0  # open to the outside, but deep in the face
    assert holes(face, alpha).sum() > 9 + 80


def test_a_splat_that_flies_off_is_seen(shop: Shop) -> None:
    trainer = shop[0]
    model = _seeded(trainer)
    avatar = build_avatar(trainer, shop[1])
    rest = rest_pose(avatar)
    measure = Measure(model, avatar, rest)
    assert measure("rest", rest).reach < 1.5
    head = np.flatnonzero(measure.of_head)[0]
    model.parameters["mean"][head] += 0.5 / model.binding.extent[head]  # half a metre
    face = measure("flown", rest)
    assert face.reach > 2  # 2.6; a face is good within 1.5
    assert not face.good
    model.parameters["logit_opacity"][head] = -8.0  # what nobody sees may be anywhere
    assert Measure(model, avatar, rest)("unseen", rest).reach < 1.5


def build_avatar(trainer: Trainer, track: Track):
    """An avatar that was never trained."""
    from avatars.splats.avatar import Avatar, Subject

    splats = _seeded(trainer).splats(trainer.seeded)
    return Avatar(trainer.head, splats, trainer.model.network, track, Subject.of_track(track, trainer.head))


def test_combinations_are_faces() -> None:
    for face in combinations(20).values():
        assert face.min() >= 0
        assert 0 < face.max() <= 1


def test_jitter_of_white_noise() -> None:
    """Deviation s in x and y: a distance of s * sqrt(2), to what a thousand samples say."""
    rng = np.random.default_rng(0)
    points = 100 + 0.1 * rng.normal(size=(1000, 5, 2))
    assert jitter(points) == pytest.approx(0.1 * np.sqrt(2), rel=0.05)


def test_following_is_seen_and_measured() -> None:
    """A mouth that opens half as far, lids that go the wrong way, and a moment without a face."""
    rng = np.random.default_rng(0)
    face = rng.uniform(100, 400, (478, 2))
    swing = np.sin(np.arange(20))
    driver, driven = (np.repeat(face[None], 20, 0) for _ in range(2))
    for upper, lower in ((13, 14), (82, 87), (312, 317)):
        for points, amount in ((driver, 10.0), (driven, 5.0)):
            points[:, lower] = points[:, upper] + [0, 20] + np.outer(swing, [0, amount])
    for upper, lower in ((159, 145), (158, 153), (160, 144), (386, 374), (385, 380), (387, 373)):
        for points, amount in ((driver, 3.0), (driven, -3.0)):
            points[:, lower] = points[:, upper] + [0, 8] + np.outer(swing, [0, amount])
    driven[7] = np.nan
    found = following(driver, driven)
    assert found["faces"] == pytest.approx(0.95)
    assert found["mouth"] == pytest.approx(1, abs=1e-6)
    assert found["mouth_gain"] == pytest.approx(0.5, abs=1e-6)
    assert found["lids"] == pytest.approx(-1, abs=1e-6)


def test_the_table_marks_the_best() -> None:
    text = table({"a": {"psnr": 30.0, "redetected_px": 1.0}, "b": {"psnr": 29.0, "redetected_px": 0.5}}, COLUMNS)
    first, second = text.splitlines()[1:]
    assert "30*" in first
    assert "29*" not in first
    assert "0.5*" in second
    assert lost({"a": {"psnr": 30.0, "redetected_px": 1.0}, "b": {"psnr": 29.0, "redetected_px": 0.5}}) == [
        "landmarks found again, at 512, px: 1 against 0.5 (b)"
    ]


def test_costs_of_a_run_are_those_of_its_phases() -> None:
    """Three phases of 1, 2 and 4 s a step, and one step that did 30 s of something else."""
    used = np.repeat([1.0, 2.0, 4.0], [10, 30, 60])
    used[70] += 30
    each, once = costs(used, [0.1, 0.4])
    assert each == pytest.approx((10 * 1 + 30 * 2 + 60 * 4) / 100)
    assert once == pytest.approx(30)


class Clockwork:
    """A training without any work, whose steps cost what a clock of its own says."""

    def __init__(self, preset: Preset, monkeypatch: pytest.MonkeyPatch) -> None:
        self.preset, self.iteration, self.now = preset, 0, 0.0
        monkeypatch.setattr(budget.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(budget.time, "process_time", lambda: 1.6 * self.now)

    def step(self) -> None:
        """0.05 s at first, 0.1 s from 60 % of the run on; at 80 % 5 s of something else."""
        share = self.iteration / self.preset.iterations
        self.now += (0.05 if share < 0.6 else 0.1) + (5 if share == 0.8 else 0)
        self.iteration += 1


@pytest.mark.parametrize(("minutes", "cores"), [(1.0, 1.6), (3.0, None)])
def test_steps_fit_into_the_minutes(minutes: float, cores: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that is proposed costs what was asked for, less a little; cores are measured where none are given."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    preset = Preset(coarse=0.6)
    fit = budget.within(lambda p: cast(Trainer, Clockwork(p, monkeypatch)), preset, minutes, cores)
    run = Clockwork(Preset(iterations=fit.iterations // 5 * 5), monkeypatch)
    while run.iteration < run.preset.iterations:
        run.step()
    assert 0.95 * 60 * minutes < run.now <= 60 * minutes
    assert fit.cores == pytest.approx(1.6)
    assert fit.processor == pytest.approx(96 * minutes)


def test_what_is_finished_is_found_again(tmp_path: Path) -> None:
    """Order, figures and pictures survive; what only began is not shown, and the page holds every trial."""
    rng = np.random.default_rng(0)
    shelf = Shelf(tmp_path / "trials" / "someone-3min")
    names = [f"{k} {part}" for k in range(3) for part in ("whole", "mouth", "eyes")]
    film = {name: rng.integers(0, 256, (8, 10, 3)).astype(np.uint8) for name in names}
    shelf.begin({"name": "someone", "minutes": 3.0, "iterations": 7})
    Shelf(tmp_path / "trials" / "other").begin({"name": "other", "minutes": None, "iterations": 7})
    assert Shelf.all(tmp_path) == []
    shelf.keep(FILM, {}, film)
    sides = {f"side {angle:+d}": film["0 whole"] for angle in SIDES}
    for order, (method, value) in enumerate((("ours", 31.0), ("a rival", 29.5))):
        assert not shelf.has(method)
        shelf.keep(method, {"psnr": value, "order": order, "shown_psnr": [value] * 3}, film | sides)
    (again,) = Shelf.all(tmp_path)
    assert again.title == "someone, 3 min"
    assert list(again.figures()) == ["ours", "a rival"]
    np.testing.assert_array_equal(again.picture(FILM, "1 eyes"), film["1 eyes"])
    comparison_page([again], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img") == 9 * 3 + len(SIDES) * 2
    assert "a rival, 29.5 dB" in page
    assert "Nowhere." in page  # ours is the best of its only column


def test_sweeps_go_as_far_as_sliders_go(shop: Shop) -> None:
    """Driven faces stay within what the subject can do; the head rests as it does without them."""
    avatar = build_avatar(shop[0], shop[1])
    driven, raw = sweep(avatar, 2), sweep(avatar, 2, raw=True)
    assert [face.name for face in driven] == [face.name for face in raw]
    assert len(driven) == 54
    for a, b in zip(driven, raw, strict=True):
        torch.testing.assert_close(a.pose.rotation, b.pose.rotation, atol=1e-4, rtol=0)
    names = [face.name for face in raw]
    axis = shop[0].head.expression_names.index
    assert float(raw[names.index("jawOpen")].pose.expression[0, axis("jawOpen")]) > 0.9
    for faces in (driven, raw):  # lips cannot close over a shut jaw
        assert float(faces[names.index("mouthClose")].pose.expression[0, axis("mouthClose")]) < 0.5


def test_a_torso_is_carried_over_into_the_short_tracks_own_frame() -> None:
    """Another distance, and another idea of how the torso stands: one rule for all frames that the first ones tell."""
    _, _, track = make_scene(frames=20, size=64)
    rng = np.random.default_rng(0)
    turned = Rotation.from_rotvec([np.pi, 0, 0]) * Rotation.from_rotvec(0.1 * rng.normal(size=(20, 3)))
    place = track.translation + 0.02 * rng.normal(size=(20, 3))
    whole = replace(
        track, torso_rotation=turned.as_rotvec().astype(np.float32), torso_translation=place.astype(np.float32)
    )
    stands, shift, scale = Rotation.from_rotvec([0.2, -0.1, 0.05]), np.array([0.01, -0.02, 0.03]), 1.1
    wanted = (turned * stands).as_rotvec(), scale * place + turned.apply(shift)
    known = replace(
        build.rows_of(track, np.arange(8)), translation=(scale * track.translation[:8]).astype(np.float32),
        torso_rotation=wanted[0][:8].astype(np.float32), torso_translation=wanted[1][:8].astype(np.float32),
    )  # fmt: skip
    rotation, translation = _carried_over(whole, known)
    off = Rotation.from_rotvec(rotation.astype(float)) * Rotation.from_rotvec(wanted[0]).inv()
    assert off.magnitude().max() < 1e-5
    np.testing.assert_allclose(translation, wanted[1], atol=1e-5)


def test_lengths_share_their_end_and_grow_before_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    _, clip, track = make_scene(frames=40, size=64)
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def trained(person, footage, own, train_rows, test_rows, preset, say):
        seen.append((own.frame[train_rows], own.frame[test_rows]))
        assert len(own.frame) == len(train_rows) + len(test_rows)
        return {"psnr": 30.0, "psnr_landmark": 28.0}

    monkeypatch.setattr(lengths, "source", lambda path, work, head: ("someone", clip, track, None))
    monkeypatch.setattr(lengths, "trained_and_measured", trained)
    preset, said = Preset(size=64, splats=300, bases=2, iterations=5, frames=20), []
    last = float(track.times[31] - track.times[0])
    seconds = [last / 4, last / 2, last]
    assert list(lengths.lengths(Path("someone.mp4"), Path("."), preset, seconds, said.append)) == seconds
    for trained_on, tested in seen:
        assert trained_on.max() < tested.min()
        np.testing.assert_array_equal(tested, track.frame[32:])
    assert [len(trained_on) for trained_on, _ in seen[:2]] == [8, 16]
    assert 12 <= len(seen[2][0]) <= preset.frames  # thinned by coverage
    assert seen[0][0].max() < seen[1][0].max() < seen[2][0].max()
    with pytest.raises(InputError, match="can be trained on"):
        lengths.lengths(Path("someone.mp4"), Path("."), preset, [last + 1], said.append)
