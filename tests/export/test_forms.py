"""Datasets, sequences, the tool's formats, fidelity and the command."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
import zlib
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
import torch
import tyro

from avatars.capture.store import save_clip
from avatars.commands.export import Export
from avatars.data import Clip
from avatars.errors import AvatarError, BackendError, FileFormatError
from avatars.export import dataset, displayable, fidelity, forms, ply, splat_transform, spz, writers
from avatars.export.posed import canonical_camera, neutral_pose, posed
from avatars.export.scene import Scene
from avatars.splats.model import Pose

from .conftest import FRAMES, SIZE, make_splats

COMPRESSION = 0.12
"""s that the machine that the figures are of takes for four megabytes of noise."""
MOVING = ("expression", "rotation", "translation", "torso_rotation", "torso_translation", "confidence")


@pytest.fixture(scope="module")
def clip() -> Clip:
    rng = np.random.default_rng(1)
    return Clip(
        rng.integers(0, 256, (FRAMES, SIZE, SIZE, 3), dtype=np.uint8), np.arange(FRAMES) / 25.0,
        rng.normal(SIZE / 2, 20, (FRAMES, 478, 3)).astype(np.float32),
        rng.integers(0, 256, (FRAMES, SIZE, SIZE), dtype=np.uint8), [""] * FRAMES,
        plate=rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), source={"name": "x.mp4", "sha256": "00"},
    ).validate()  # fmt: skip


@pytest.fixture(scope="module")
def written(avatar, clip, tmp_path_factory):
    out = tmp_path_factory.mktemp("dataset") / "d"
    assert dataset.save_dataset(clip, avatar.track, avatar.head, out) == FRAMES
    return out


def test_dataset_round_trip(avatar, clip, written):
    back, track = dataset.load_dataset(written, avatar.head)
    assert track is not None
    assert dataset.load_dataset(written, replace(avatar.head, sha256="another"))[1] is None
    for name in ("frames", "matte", "landmarks", "times", "plate"):
        assert np.array_equal(getattr(back, name), getattr(clip, name)), name
    for name in (
        "identity",
        "expression",
        "rotation",
        "translation",
        "torso_rotation",
        "torso_translation",
        "confidence",
    ):
        assert np.array_equal(getattr(track, name), getattr(avatar.track, name)), name
    assert np.allclose(track.camera.world_from_camera, avatar.track.camera.world_from_camera)
    assert track.camera.intrinsics.tolist() == avatar.track.camera.intrinsics.tolist()


def test_dataset_is_in_nerfstudios_layout(avatar, clip, written):
    document = json.loads((written / "transforms_train.json").read_text())
    held = json.loads((written / "transforms_test.json").read_text())["frames"]
    assert len(document["frames"]) + len(held) == FRAMES
    frame = document["frames"][3]
    image = cv2.imread(str(written / frame["file_path"]))[..., ::-1]
    assert np.array_equal(image, clip.frames[frame["timestep_index"]])
    # nerfstudio's own reading: a pinhole with y up that looks along -z sees the head where our camera does.
    view = np.linalg.inv(np.array(frame["transform_matrix"]))
    point = np.r_[avatar.track.translation[3], 1]
    x, y, z = (view @ point)[:3]
    camera = avatar.track.camera
    expected = point[:2] / point[2] * camera.fx + [camera.cx, camera.cy]
    ours = (x / -z * document["fl_x"] + document["cx"], -y / -z * document["fl_y"] + document["cy"])
    assert np.allclose(ours, expected)


def test_dataset_answers_every_known_reader(clip, written):
    """The keys that nerfstudio, VHAP and GaussianAvatars ask for without a default."""
    lists = {n: json.loads((written / f"transforms{n}.json").read_text()) for n in ("", "_train", "_val", "_test")}
    for document in lists.values():
        assert {"w", "h", "fl_x", "fl_y", "cx", "cy", "camera_angle_x", "timestep_indices"} <= document.keys()
        for frame in document["frames"]:
            assert {"w", "h", "fl_x", "fl_y", "cx", "cy", "camera_angle_x", "transform_matrix"} <= frame.keys()
            assert {"timestep_index", "timestep_index_original", "timestep_id", "camera_index"} <= frame.keys()
    whole = lists[""]
    assert whole["timestep_indices"] == list(range(max(whole["timestep_indices"]) + 1))
    assert sorted(lists["_train"]["timestep_indices"] + lists["_test"]["timestep_indices"]) == list(range(FRAMES))
    assert lists["_val"]["frames"] == []
    for split in ("train", "test"):
        assert whole[f"{split}_filenames"] == [frame["file_path"] for frame in lists[f"_{split}"]["frames"]]
    assert whole["val_filenames"] == whole["test_filenames"]
    picture = cv2.imread(str(written / whole["frames"][5]["file_path"]), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(picture[..., 2::-1], clip.frames[5])
    assert np.array_equal(picture[..., 3], clip.matte[5])


@pytest.mark.parametrize(
    "attack",
    [
        lambda d: d["frames"][0].update(file_path="../../etc/passwd"),
        lambda d: d["frames"][0].update(file_path="/x.png"),
        lambda d: d.update(frames=[]), lambda d: d.update(format=7), lambda d: d.update(frames=[], kind="x"),
        lambda d: d.update(w=10**9), lambda d: d.pop("fl_x"), lambda d: d["frames"][0].update(time="x"),
        lambda d: d.update(fl_x=float("1e400")),
    ],
)  # fmt: skip
def test_hostile_datasets_are_refused(avatar, written, tmp_path, attack):
    out = tmp_path / "d"
    shutil.copytree(written, out)
    document = json.loads((out / "transforms.json").read_text())
    attack(document)
    (out / "transforms.json").write_text(json.dumps(document))
    with pytest.raises(FileFormatError):
        dataset.load_dataset(out, avatar.head)


def error(splats, avatar, pose) -> float:
    """Mean squared, against the splats as they are."""
    camera = canonical_camera(avatar)
    return float((fidelity.draw(splats, camera) - fidelity.draw(posed(avatar, pose), camera)).square().mean())


def test_colors_become_displayable(avatar):
    rest, other = neutral_pose(avatar), Pose.of_track(avatar.track, [5])
    splats = posed(avatar, rest)
    shown, change = displayable.displayable(splats, canonical_camera(avatar))
    assert shown.colors.min() >= 0
    assert shown.colors.max() <= 1
    for name in ("means", "scales", "opacities", "colors"):
        assert not np.array_equal(getattr(shown, name), getattr(splats, name)), name
    again, _ = displayable.displayable(splats, canonical_camera(avatar))
    for name in ("means", "wxyz", "scales", "opacities", "colors"):
        assert np.array_equal(getattr(again, name), getattr(shown, name)), name
    assert error(shown, avatar, rest) < 0.25 * error(replace(splats, colors=splats.colors.clip(0, 1)), avatar, rest)
    moved = posed(avatar, other)
    like = displayable.changed(moved, change)
    assert like.colors.min() >= 0
    assert like.colors.max() <= 1
    assert error(like, avatar, other) < 0.7 * error(replace(moved, colors=moved.colors.clip(0, 1)), avatar, other)


def test_displayable_colors_stay_as_they_are(avatar):
    splats = posed(avatar, neutral_pose(avatar))
    inside = replace(splats, colors=splats.colors.clip(0, 1))
    shown, change = displayable.displayable(inside, canonical_camera(avatar))
    like = displayable.changed(inside, change)
    for name in ("means", "wxyz", "scales", "opacities", "colors"):
        assert np.array_equal(getattr(shown, name), getattr(inside, name)), name
        assert np.allclose(getattr(like, name), getattr(inside, name), atol=1e-7), name


def test_a_fit_that_does_not_help_is_dropped(avatar, monkeypatch):
    splats = posed(avatar, neutral_pose(avatar))
    monkeypatch.setattr(displayable, "_RATES", dict.fromkeys(displayable._RATES, 5.0))  # steps much too large
    shown, change = displayable.displayable(splats, canonical_camera(avatar))
    assert np.array_equal(shown.colors, splats.colors.clip(0, 1))
    assert np.array_equal(shown.opacities, splats.opacities)
    assert not change.color.any()


def test_fidelity_of_static_forms(avatar):
    scene = Scene(avatar)
    exact = forms.measure(scene, "ply", 1)
    coarse = forms.measure(scene, "spz", 1)
    assert exact
    assert coarse
    assert exact.psnr >= coarse.psnr - 0.5
    assert coarse.size < 0.4 * exact.size
    assert (exact.plain_psnr or 99) < exact.psnr
    assert "dB" in coarse.line("spz")
    assert fidelity.loss_against_footage(avatar, 30.0) == pytest.approx(10 * np.log10(2))


def test_sequence_of_files(avatar, tmp_path):
    pose = Pose.of_track(avatar.track, [0, 5])
    assert forms.save_sequence(Scene(avatar), pose, tmp_path / "s", ".ply", ply.save_ply) == 2
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["frame0001.ply", "frame0002.ply"]
    expected = displayable.changed(posed(avatar, pose[1]), Scene(avatar).change)
    assert np.array_equal(ply.read_ply(tmp_path / "s" / "frame0002.ply").means, expected.means)


def fake(folder, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


OLD_TOOL = "case $1 in --version) echo v22.1.0;; *) echo 2.7.1;; esac"


@pytest.mark.parametrize(
    ("node", "tool"), [(None, None), ("echo v20.1.0", "x"), ("echo v22.1.0", None), (OLD_TOOL, "x")]
)
def test_missing_or_old_tools_are_named(tmp_path, monkeypatch, node, tool):
    for name, text in (("node", node), ("splat-transform", tool)):
        if text:
            fake(tmp_path, name, text)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError) as caught:
        splat_transform.find()
    assert "node 22" in str(caught.value)
    assert "splat-transform@3.7" in str(caught.value)


def tool() -> list[str]:
    try:
        return splat_transform.find()
    except BackendError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_splat_transform_reads_our_files(avatar, tmp_path):
    """An independent reader: counts, "gaussian": true, and the same positions from ply and spz."""
    command, splats = tool(), posed(avatar, neutral_pose(avatar))
    ply.save_ply(splats, tmp_path / "a.ply")
    spz.save_spz(splats, tmp_path / "a.spz")
    for name, step in (("a.ply", 0.0), ("a.spz", spz.STEP / 2)):
        info = json.loads(splat_transform.run(command, ["-q", str(tmp_path / name), "--info", "json", "null"]))
        text = json.dumps(info)
        assert '"gaussian": true' in text
        assert f": {len(splats)}" in text
        splat_transform.run(command, ["-q", "-w", str(tmp_path / name), str(tmp_path / "out.csv")])
        table = np.genfromtxt(tmp_path / "out.csv", delimiter=",", names=True)
        read = np.stack([table["x"], table["y"], table["z"]], 1)
        assert np.abs(read - splats.means).max() <= step + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sog", "compressed-ply", "html"])
def test_splat_transform_writes(avatar, tmp_path, name):
    tool()
    path = tmp_path / f"a{splat_transform.FORMATS[name]}"
    scene = Scene(avatar)
    forms.STATIC[name].save(scene.neutral, path)
    assert path.stat().st_size > 10_000
    found = forms.measure(scene, name, 1)
    assert (found is None) == (name == "html")
    if found:
        assert found.psnr > 25


@pytest.fixture(scope="module")
def stored(avatar, tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "nobody.avatar"
    avatar.save(path)
    return path


def command(*words: object) -> None:
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)
    tyro.cli(Export, args=[str(word) for word in words], config=config).run()


def test_command_writes_each_form(avatar, stored, tmp_path, capsys):
    pose = tmp_path / "pose.json"
    pose.write_text('{"jawOpen": 0.5, "rotation": [0, 0.2, 0]}')
    command(stored, "-o", tmp_path / "a.ply", "--format", "ply", "--pose", pose)
    assert "PSNR" in capsys.readouterr().out
    command(stored, "-o", tmp_path / "b.spz", "--format", "spz", "--pose", "3", "--no-measure")
    command(stored, "-o", tmp_path / "c.glb", "--format", "glb", "--motion", "track")
    command(stored, "-o", tmp_path / "web")
    assert f"http.server -d {tmp_path / 'web'}`" in capsys.readouterr().out
    command(stored, "-o", tmp_path / "d.mp4", "--format", "mp4", "--size", "64")
    assert film(tmp_path / "d.mp4").shape == (FRAMES, 64, 64, 3)


def film(path) -> np.ndarray:
    """[T, H, W, 3] uint8, by the library's decoder."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def drawn(avatar, row: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Colour over black and alpha [H, W] of a row of the track, in [0, 255], by the renderer itself."""
    camera = avatar.camera.resized(size, size)
    with torch.no_grad():
        out = avatar.model().render(Pose.of_track(avatar.track, [row]), camera, torch.zeros(3))
    return 255 * out.color[0].clamp(0, 1).permute(1, 2, 0).numpy(), 255 * out.alpha[0, 0].numpy()


def test_pictures_hold_the_alpha_of_the_render(avatar, stored, tmp_path):
    command(stored, "-o", tmp_path / "png", "--format", "png", "--size", "96")
    assert sorted(p.name for p in (tmp_path / "png").iterdir()) == [f"{i:05d}.png" for i in range(FRAMES)]
    for row in (0, 7):
        picture = cv2.imread(str(tmp_path / "png" / f"{row:05d}.png"), cv2.IMREAD_UNCHANGED)
        color, alpha = drawn(avatar, row, 96)
        assert picture.shape == (96, 96, 4)
        assert np.abs(picture[..., 3] - alpha).max() <= 0.51
        solid = (alpha > 250) & (color.max(2) < alpha)  # this avatar has splats brighter than white
        assert solid.sum() > 100
        assert np.abs(picture[..., 2::-1][solid] * (alpha[solid] / 255)[:, None] - color[solid]).max() <= 1.1
        assert (alpha < 1).any()


def test_one_picture_shows_the_pose(avatar, stored, tmp_path):
    command(stored, "-o", tmp_path / "a.png", "--format", "png", "--size", "96", "--pose", "7")
    picture = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert np.abs(picture[..., 3] - drawn(avatar, 7, 96)[1]).max() <= 0.51


def test_film_holds_alpha_beside_the_picture(avatar, stored, tmp_path, capsys):
    command(stored, "-o", tmp_path / "a.mp4", "--format", "mp4", "--size", "96", "--background", "none")
    assert "opacity" in capsys.readouterr().out
    frames = film(tmp_path / "a.mp4").astype(float)
    assert frames.shape == (FRAMES, 96, 192, 3)
    for row in (0, 7):
        color, alpha = drawn(avatar, row, 96)
        matte = frames[row, :, 96:].mean(2)
        # compression; and thin splats at the edge that colour's half resolution smears
        assert np.abs(matte - alpha).mean() < 3
        assert matte[alpha < 0.5].mean() < 4
        assert matte[alpha > 254.5].mean() > 250
        assert np.abs(frames[row, :, :96] - color).mean() < 8


def test_film_is_over_its_background(avatar, stored, tmp_path):
    command(stored, "-o", tmp_path / "a.mp4", "--format", "mp4", "--size", "96", "--background", "#00b040")
    color, alpha = drawn(avatar, 0, 96)
    wanted = color + (1 - alpha[..., None] / 255) * [0, 176, 64]
    assert np.abs(film(tmp_path / "a.mp4")[0] - wanted).mean() < 8


FORMS = ["web", "glb", "ply", "spz", "mp4", "png"]


def test_several_forms_share_a_folder(avatar, stored, tmp_path, capsys):
    """The same bytes as one by one."""
    pose = ("--pose", "3", "--size", "64")
    command(stored, "-o", tmp_path / "all", *(word for form in FORMS for word in ("--format", form)), *pose)
    said = capsys.readouterr().out
    assert "6 forms in" in said
    assert "processor time" in said
    assert f"http.server -d {tmp_path / 'all' / 'nobody-web'}`" in said
    names = {form: f"nobody{writers.NAMES[form]}" for form in FORMS}
    assert {p.name for p in (tmp_path / "all").iterdir()} == set(names.values())
    for form, name in names.items():
        alone = tmp_path / f"alone-{name}"
        command(stored, "-o", alone, "--format", form, "--no-measure", *pose)
        for path in sorted(alone.rglob("*")) if alone.is_dir() else [alone]:
            if path.is_file():
                assert path.read_bytes() == (tmp_path / "all" / name / path.relative_to(alone)).read_bytes(), path
    assert len(list((tmp_path / "all" / "nobody-frames").iterdir())) == FRAMES


def test_all_names_what_cannot_be_had(stored, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    command(stored, "-o", tmp_path / "all", "--format", "all", "--size", "64", "--no-measure")
    said = " ".join(capsys.readouterr().err.split())
    assert "left out: sog, compressed-ply, html" in said
    assert "node 22" in said
    assert "left out: dataset" in said
    assert {p.name for p in (tmp_path / "all").iterdir()} == {f"nobody{writers.NAMES[form]}" for form in FORMS}


def test_several_forms_are_whole_or_absent(stored, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writers, "save_web", full)
    with pytest.raises(AvatarError, match="disk is full"):
        command(stored, "-o", tmp_path / "all", "--format", "web", "--format", "ply", "--format", "spz")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "mine").write_text("x")
    with pytest.raises(AvatarError, match="--overwrite"):
        command(stored, "-o", tmp_path / "all", "--format", "all")
    assert [p.name for p in (tmp_path / "all").iterdir()] == ["mine"]


@pytest.mark.slow
def test_every_form_of_a_whole_avatar_costs_forty_seconds_of_one_processor_at_most(avatar, tmp_path):
    """30 000 splats, four seconds of film at 512 px: 20 s on two cores. A busy machine takes longer but not more; a
    slow one is allowed more, by the time that four megabytes of noise take it to compress."""
    tool()
    rows, size = np.arange(100) % FRAMES, 512
    moving = {n: getattr(avatar.track, n)[rows] for n in MOVING}
    times, camera = np.arange(100) / 25, avatar.camera.resized(size, size)
    track = replace(avatar.track, camera=camera, frame=np.arange(100), times=times, **moving)
    splats = make_splats(avatar.head, np.random.default_rng(3), 30_000)
    splats = replace(splats, extent=splats.extent / 3, bases=splats.bases)
    whole = replace(avatar, splats=splats, track=track)
    whole.save(tmp_path / "whole.avatar")
    shown = [drawn(whole, row, size) for row in range(FRAMES)]
    frames = np.stack([shown[row][0].astype(np.uint8) for row in rows])
    matte = np.stack([shown[row][1].astype(np.uint8) for row in rows])
    landmarks = np.full((100, 478, 3), size / 2, np.float32)
    footage = Clip(frames, times, landmarks, matte, [""] * 100, source={"name": "x", "sha256": "0"}).validate()
    save_clip(footage, tmp_path / "whole.run" / "clip")
    before, noise = time.process_time(), np.random.default_rng(0).normal(size=1_000_000).astype(np.float32).tobytes()
    zlib.compress(noise, 6)
    slowness = max((time.process_time() - before) / COMPRESSION, 1.0)
    before = sum(os.times()[:4])
    command(tmp_path / "whole.avatar", "-o", tmp_path / "all", "--format", "all")
    assert {p.name for p in (tmp_path / "all").iterdir()} == {f"whole{ending}" for ending in writers.NAMES.values()}
    spent = sum(os.times()[:4]) - before
    assert spent < 40 * slowness, spent


def test_what_is_named_must_be_possible(stored, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for words in (
        ("ply", "--format", "sog"),
        ("ply", "--format", "dataset"),
        ("ply", "--format", "spz", "--pose", "99"),
    ):
        with pytest.raises(AvatarError):
            command(stored, "-o", tmp_path / "all", "--format", *words)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("--format", "ply", "--pose", "99"), ("--format", "ply", "--pose", "no.json"),
        ("--format", "html", "--motion", "track"), ("--format", "web", "--motion", "no.csv"), ("--format", "dataset"),
        ("--format", "mp4"),
    ],
)  # fmt: skip
def test_command_says_what_is_wrong(stored, tmp_path, words):
    with pytest.raises(AvatarError):
        command(stored, "-o", tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_command_keeps_what_is_there(stored, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(AvatarError, match="--overwrite"):
        command(stored, "-o", tmp_path / "out", "--format", "ply")
    assert (tmp_path / "out").read_text() == "mine"
