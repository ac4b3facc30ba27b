"""Datasets, sequences, the tool's formats, fidelity and the command."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tyro

from avatars.commands.export import Export
from avatars.data import Clip
from avatars.errors import AvatarError, BackendError, FileFormatError
from avatars.export import dataset, displayable, fidelity, forms, ply, splat_transform, spz
from avatars.export.posed import canonical_camera, neutral_pose, posed
from avatars.splats.model import Pose

from .conftest import FRAMES, SIZE


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


def test_colors_become_displayable(avatar):
    splats = posed(avatar, neutral_pose(avatar))
    camera = canonical_camera(avatar)
    shown = displayable.displayable(splats, camera)
    assert shown.colors.min() >= 0
    assert shown.colors.max() <= 1
    target = fidelity.draw(splats, camera)
    clipped = type(splats)(splats.means, splats.wxyz, splats.scales, splats.opacities, splats.colors.clip(0, 1))
    error = [float((fidelity.draw(s, camera) - target).square().mean()) for s in (shown, clipped)]
    assert error[0] < 0.5 * error[1]


def test_fidelity_of_static_forms(avatar):
    rows = np.array([2])
    exact = forms.measure(avatar, "ply", rows)
    coarse = forms.measure(avatar, "spz", rows)
    assert exact
    assert coarse
    assert exact.psnr >= coarse.psnr - 0.5
    assert coarse.size < 0.4 * exact.size
    assert (exact.plain_psnr or 99) < exact.psnr
    assert "dB" in coarse.line("spz")
    assert fidelity.loss_against_footage(avatar, 30.0) == pytest.approx(10 * np.log10(2))


def test_sequence_of_files(avatar, tmp_path):
    pose = Pose.of_track(avatar.track, [0, 5])
    assert forms.save_sequence(avatar, pose, tmp_path / "s", ".ply", ply.save_ply) == 2
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["frame0001.ply", "frame0002.ply"]
    assert np.array_equal(ply.read_ply(tmp_path / "s" / "frame0002.ply").means, posed(avatar, pose[1]).means)


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
    forms.save_static(avatar, neutral_pose(avatar), path, forms.STATIC[name].save)
    assert path.stat().st_size > 10_000
    found = forms.measure(avatar, name, np.array([1]))
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
    command(stored, "-o", tmp_path / "d.mp4", "--format", "mp4", "--size", "64")
    probe = [
        "ffprobe",
        "-v",
        "error",
        "-show_entries",
        "stream=nb_frames,width",
        "-of",
        "csv=p=0",
        str(tmp_path / "d.mp4"),
    ]
    assert subprocess.run(probe, capture_output=True, text=True, check=True).stdout.strip() == f"64,{FRAMES}"
    command(stored, "-o", tmp_path / "png", "--format", "png", "--size", "64")
    picture = cv2.imread(str(next((tmp_path / "png").iterdir())), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (64, 64, 4)
    assert picture[..., 3].min() == 0
    assert picture[..., 3].max() > 200


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
