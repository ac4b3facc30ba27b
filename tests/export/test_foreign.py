"""Datasets of other tools: FLAME parameters against FLAME's own kinematic chain, layouts, masks, and hostile files."""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from avatars.data import LANDMARKS, Camera, Clip
from avatars.errors import AvatarError, FileFormatError, InputError
from avatars.export import foreign
from avatars.export.dataset import load_dataset, save_dataset
from avatars.heads.anny import default_head
from avatars.heads.flame import read_flame
from avatars.heads.flame_build import _bare
from avatars.heads.head import Head, HeadModel

from ..heads.flame_file import flame_arrays, write_flame

FRAMES, SIZE = 6, 48


@pytest.fixture(scope="module")
def flame(tmp_path_factory) -> Head:
    path = write_flame(tmp_path_factory.mktemp("flame") / "generic.pkl", flame_arrays(), chumpy=False)
    head = _bare(read_flame(path), "flame")
    return replace(head, arkit=np.eye(*head.arkit.shape, dtype=np.float32))


def parameters(seed: int = 3) -> dict[str, np.ndarray]:
    """T frames within what jaw, eyes and expression can do."""
    rng = np.random.default_rng(seed)
    jaw = np.c_[rng.uniform(0, 0.4, FRAMES), rng.uniform(-0.1, 0.1, FRAMES), rng.uniform(-0.08, 0.08, FRAMES)]
    eyes = np.c_[rng.uniform(-0.3, 0.3, (FRAMES, 2)), np.zeros(FRAMES)]
    return {
        "rotation": rng.normal(0, 0.4, (FRAMES, 3)), "neck_pose": rng.normal(0, 0.2, (FRAMES, 3)), "jaw_pose": jaw,
        "eyes_pose": np.c_[eyes, eyes], "translation": rng.normal(0, 0.1, (FRAMES, 3)),
        "expr": rng.uniform(-2, 2, (FRAMES, 100)), "shape": rng.normal(0, 1, 300),
    }  # fmt: skip


def viewpoint() -> np.ndarray:
    """transform_matrix of a camera a metre in front, in nerfstudio's axes (y up, looking along -z)."""
    out = np.eye(4)
    c, s = np.cos(0.3), np.sin(0.3)
    out[:3, :3], out[:3, 3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]], [0.3, 0.05, 1.0]
    return out


def write(folder: Path, flame: dict[str, np.ndarray] | None, *, alpha: bool = False) -> Path:
    """A dataset as VHAP lays it out, with a second camera that is to be ignored."""
    rng = np.random.default_rng(0)
    for name in ("images", "fg_masks", "flame_param"):
        (folder / name).mkdir(parents=True)
    lists: dict[str, list] = {"train": [], "val": []}
    for step in range(FRAMES):
        for camera in (0, 1):
            name = f"{step:05d}_{camera:02d}.png"
            picture = rng.integers(0, 256, (SIZE, SIZE, 4 if alpha else 3), dtype=np.uint8)
            cv2.imwrite(str(folder / "images" / name), picture)
            frame = {
                "timestep_index": step, "camera_index": camera, "file_path": f"images/{name}", "w": SIZE, "h": SIZE,
                "fl_x": 90.0, "fl_y": 91.0, "cx": 24.0, "cy": 23.0, "transform_matrix": viewpoint().tolist(),
            }  # fmt: skip
            if not alpha:
                cv2.imwrite(str(folder / "fg_masks" / name), rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8))
                frame["fg_mask_path"] = f"fg_masks/{name}"
            if flame is not None:
                frame["flame_param_path"] = f"flame_param/{step:05d}.npz"
            lists["val" if step % 3 == 2 else "train"].append(frame)
        if flame is not None:
            row = {key: value if key == "shape" else value[step : step + 1] for key, value in flame.items()}
            np.savez(folder / "flame_param" / f"{step:05d}.npz", **row, static_offset=np.zeros((1, 5, 3)))
    for name, frames in lists.items():
        (folder / f"transforms_{name}.json").write_text(json.dumps({"frames": frames}))
    return folder


class Detector:
    """Finds a face in every picture but the second."""

    hidden = 2

    def __init__(self, **_: object) -> None:
        self.seen = 0

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def detect(self, image: np.ndarray) -> np.ndarray:
        self.seen += 1
        return np.full((int(self.seen != self.hidden), LANDMARKS, 3), 20.0, np.float32)


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    monkeypatch.setattr(foreign, "FaceMesh", Detector)


def test_flame_parameters_pose_the_head_as_flame_does(flame, tmp_path):
    given = parameters()
    clip, track = load_dataset(write(tmp_path / "d", given), flame)
    assert track is not None
    assert track.frame.tolist() == [0, 2, 3, 4, 5]  # no face in the second picture
    assert clip.rejects[1]
    person = replace(
        flame,
        template=flame.template + np.tensordot(given["shape"], flame.identity_basis, 1).astype(np.float32),
        joints=flame.joints + np.tensordot(given["shape"], flame.joint_identity, 1).astype(np.float32),
    )
    model = HeadModel(person)
    turns = np.concatenate([given[n] for n in ("rotation", "neck_pose", "jaw_pose", "eyes_pose")], 1)[track.frame]
    state = torch.from_numpy(track.expression)
    assert np.allclose(track.expression[:, :100], given["expr"][track.frame], atol=1e-6)
    chain = model.articulate(
        state,
        torch.from_numpy(turns.reshape(-1, 5, 3)).float(),
        torch.from_numpy(given["translation"][track.frame]).float(),
    )
    from avatars.splats.model import Pose

    pose = Pose.of_track(track)
    ours = model.pose(pose.expression, pose.rotation, pose.translation, pose.torso_rotation, pose.torso_translation)
    view = np.linalg.inv(viewpoint() @ np.diag([1.0, -1, -1, 1]))
    expected = chain.numpy() @ view[:3, :3].T + view[:3, 3]
    assert np.abs(ours.numpy() - expected).max() < 2e-5  # m, float32
    assert track.camera.intrinsics.tolist() == [90.0, 91.0, 24.0, 23.0]
    assert np.array_equal(track.camera.world_from_camera, np.eye(4))


def test_our_dataset_of_a_flame_head_speaks_vhap(flame, tmp_path, monkeypatch):
    """Written, stripped of what only we read, and read as VHAP's: the head is where it was."""
    clip, track = load_dataset(write(tmp_path / "a", parameters()), flame)
    assert track is not None
    save_dataset(clip, track, flame, tmp_path / "b")
    document = json.loads((tmp_path / "b" / "transforms.json").read_text())
    del document["kind"]
    (tmp_path / "b" / "transforms.json").write_text(json.dumps(document))
    monkeypatch.setattr(Detector, "hidden", 99)
    _, again = load_dataset(tmp_path / "b", flame)
    assert again is not None
    for name in ("identity", "expression", "rotation", "translation", "torso_rotation", "torso_translation"):
        assert np.allclose(getattr(again, name), getattr(track, name), atol=2e-5), name
    assert again.camera.intrinsics.tolist() == track.camera.intrinsics.tolist()


def test_our_flame_files_are_whole(flame, tmp_path):
    """What GaussianAvatars looks for: the canonical file, 300 and 100 numbers, offsets of FLAME's 5023 vertices."""
    clip, track = load_dataset(write(tmp_path / "a", parameters()), flame)
    assert track is not None
    save_dataset(clip, track, flame, tmp_path / "b")
    frame = json.loads((tmp_path / "b" / "transforms_train.json").read_text())["frames"][0]
    for path in ("canonical_flame_param.npz", frame["flame_param_path"]):
        with np.load(tmp_path / "b" / path, allow_pickle=False) as arrays:
            shapes = {name: arrays[name].shape for name in arrays.files}
            jaw = arrays["jaw_pose"]
        assert shapes == {
            "rotation": (1, 3), "neck_pose": (1, 3), "jaw_pose": (1, 3), "eyes_pose": (1, 6), "translation": (1, 3),
            "expr": (1, 100), "shape": (300,), "static_offset": (1, 5023, 3),
        }  # fmt: skip
        assert (jaw[0, 0] == np.float32(0.3)) == (path == "canonical_flame_param.npz")


def rig(folder: Path, places: list[list[float]]) -> Path:
    """One picture by each of several cameras, listed in an order of their own."""
    (folder / "images").mkdir(parents=True)
    frames = []
    for index in np.random.default_rng(2).permutation(len(places)).tolist():
        pose = np.eye(4)
        pose[:3, 3] = places[index]
        for step in range(2):
            cv2.imwrite(
                str(folder / f"images/{step}_{index}.png"), np.full((SIZE, SIZE, 4), 10 * index + step, np.uint8)
            )
            frames.append(
                {"timestep_index": step, "camera_index": index, "file_path": f"images/{step}_{index}.png",
                 "transform_matrix": pose.tolist(), "fl_x": 90.0, "w": SIZE, "h": SIZE}
            )  # fmt: skip
    (folder / "transforms.json").write_text(json.dumps({"frames": frames}))
    return folder


def test_of_many_cameras_the_middle_one_is_taken(flame, tmp_path):
    angles = np.radians([-45, -30, -15, 2, 20, 33, 47])
    folder = rig(tmp_path / "d", [[np.sin(a), 0.0, np.cos(a)] for a in angles])
    assert load_dataset(folder, flame)[0].frames[:, 0, 0, 0].tolist() == [30, 31]


def listed(folder: Path, names: list[str], **words: object) -> Path:
    """Transparent pictures without time steps; each is as bright as its place in `names`."""
    folder.mkdir()
    for brightness, name in enumerate(names):
        path = folder / (name if name.endswith(".png") else f"{name}.png")
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((SIZE, SIZE, 4), brightness, np.uint8))
    frames = [{"file_path": name, "transform_matrix": np.eye(4).tolist()} for name in reversed(names)]
    (folder / "transforms.json").write_text(json.dumps({"frames": frames, "camera_angle_x": 0.7, **words}))
    return folder


def test_pictures_without_steps_come_by_name_and_without_sizes_by_their_own(flame, tmp_path):
    """As Blender's synthetic scenes are listed: neither sizes nor endings."""
    clip, _ = load_dataset(listed(tmp_path / "d", ["./a/r_1", "./a/r_2", "./a/r_10", "./a/r_21"]), flame)
    assert clip.frames[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert clip.size == (SIZE, SIZE)


def test_lenses_are_straightened(flame, tmp_path):
    """A grid seen through OpenCV's own distortion comes back as a grid of straight lines."""
    size, lens = 240, {"k1": -0.25, "k2": 0.05, "p1": 0.003, "p2": -0.002}
    matrix = np.array([[200.0, 0, 119.5], [0, 200.0, 119.5], [0, 0, 1]])
    y, x = np.mgrid[:size, :size].astype(np.float32)
    straight = np.full((size, size, 4), 255, np.uint8)
    straight[::24, :, :3] = straight[:, ::24, :3] = 0
    # Where each pixel of the bent picture looks in the straight one.
    points = np.stack([x.ravel(), y.ravel()], 1)[:, None]
    seen = cv2.undistortPoints(points, matrix, np.array(list(lens.values())), P=matrix).reshape(size, size, 2)
    bent = cv2.remap(straight, seen.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    folder = listed(tmp_path / "d", ["a.png"], fl_x=200.0, cx=120.0, cy=120.0, w=size, h=size, **lens)
    cv2.imwrite(str(folder / "a.png"), bent)
    found = load_dataset(folder, flame)[0].frames[0][60:180, 60:180].astype(float)
    expected = straight[60:180, 60:180, :3].astype(float)
    blurred = [cv2.GaussianBlur(i, (0, 0), 2) for i in (found, expected, bent[60:180, 60:180, :3].astype(float))]
    assert np.abs(blurred[0] - blurred[1]).mean() < 0.25 * np.abs(blurred[2] - blurred[1]).mean()


def test_fisheyes_and_zooms_are_refused(flame, tmp_path):
    with pytest.raises(InputError, match="FISHEYE"):
        load_dataset(listed(tmp_path / "d", ["a.png"], camera_model="OPENCV_FISHEYE"), flame)
    folder = write(tmp_path / "e", parameters())
    edit("fl_x", 200.0)(folder)
    with pytest.raises(InputError, match="zooms"):
        load_dataset(folder, flame)


def test_joined_sequences_name_the_way_out(flame, tmp_path):
    """VHAP joins sequences by lists that refer to the folders beside."""
    folder = write(tmp_path / "d", parameters())
    edit("file_path", "../EMO-1/images/00000_00.png")(folder)
    with pytest.raises(FileFormatError, match="one of the folders"):
        load_dataset(folder, flame)


def test_other_heads_are_tracked_anew(flame, tmp_path):
    clip, track = load_dataset(write(tmp_path / "a", parameters()), default_head())
    assert track is None
    assert clip.frames.shape == (FRAMES, SIZE, SIZE, 3)
    assert np.allclose(np.diff(clip.times), 1 / 25)
    first = cv2.imread(str(tmp_path / "a" / "images" / "00000_00.png"))[..., ::-1]
    assert np.array_equal(clip.frames[0], first)
    assert load_dataset(write(tmp_path / "b", None), flame)[1] is None


def test_alpha_is_a_mask_and_no_mask_is_refused(flame, tmp_path):
    folder = write(tmp_path / "d", None, alpha=True)
    picture = cv2.imread(str(folder / "images" / "00003_00.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(load_dataset(folder, flame)[0].matte[3], picture[..., 3])
    cv2.imwrite(str(folder / "images" / "00000_00.png"), picture[..., :3])
    with pytest.raises(InputError, match="mask"):
        load_dataset(folder, flame)


def bomb(folder: Path) -> None:
    with zipfile.ZipFile(folder / "flame_param" / "00000.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("expr.npy", bytes(80 << 20))


def pickled(folder: Path) -> None:
    with zipfile.ZipFile(folder / "flame_param" / "00000.npz", "w") as archive:
        archive.writestr("expr.npy", pickle.dumps(["x"]))


def edit(key: str, value: object):
    def change(folder: Path) -> None:
        path = folder / "transforms_train.json"
        document = json.loads(path.read_text())
        document["frames"][0][key] = value
        path.write_text(json.dumps(document))

    return change


def link(folder: Path) -> None:
    path = folder / "images" / "00000_00.png"
    path.rename(folder / "elsewhere.png")
    path.symlink_to(folder / "elsewhere.png")


HOSTILE = {
    "parent path": edit("file_path", "../../x.png"), "absolute mask": edit("fg_mask_path", "/etc/passwd"),
    "parameters elsewhere": edit("flame_param_path", "../x.npz"), "no focal length": edit("fl_x", "x"),
    "camera": edit("transform_matrix", [[1]]), "step twice": edit("timestep_index", 1),
    "truncated": lambda f: (f / "flame_param" / "00001.npz").write_bytes(b"PK\3\4"), "bomb": bomb, "pickle": pickled,
    "link": link, "picture": lambda f: (f / "images" / "00000_00.png").write_bytes(b"x"),
    "another size": lambda f: cv2.imwrite(str(f / "images" / "00001_00.png"), np.zeros((9, 9, 3), np.uint8)),
    "not JSON": lambda f: (f / "transforms_val.json").write_text("{"),
    "no frames": lambda f: [(f / f"transforms_{n}.json").write_text('{"frames": []}') for n in ("train", "val")],
}  # fmt: skip


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_datasets_are_refused(flame, tmp_path, attack):
    folder = write(tmp_path / "d", parameters())
    HOSTILE[attack](folder)
    with pytest.raises(FileFormatError):
        load_dataset(folder, flame)


@pytest.mark.slow
def test_build_takes_clip_and_track_from_our_own_dataset(avatar, tmp_path):
    """The command on a dataset that was exported: nothing is tracked again."""
    from avatars.capture.store import load_clip
    from avatars.commands.build import Build
    from avatars.splats.avatar import Avatar
    from avatars.tracking.track import load_track

    from .conftest import SIZE as WIDE

    head, count = default_head(), len(avatar.track.frame)
    rng = np.random.default_rng(1)
    identity = np.zeros(len(head.identity_basis), np.float32)
    track = replace(avatar.track, identity=identity)
    drawn = [avatar.model().render(row, avatar.camera, torch.ones(3)) for row in _poses(track)]
    frames = np.stack([d.color[0].clamp(0, 1).mul(255).byte().permute(1, 2, 0).numpy() for d in drawn])
    matte = np.stack([d.alpha[0, 0].clamp(0, 1).mul(255).byte().numpy() for d in drawn])
    landmarks = rng.uniform(0.3, 0.7, (count, LANDMARKS, 3)).astype(np.float32) * WIDE
    clip = Clip(frames, track.times, landmarks, matte, [""] * count, source={"name": "x", "sha256": "7"}).validate()
    save_dataset(clip, track, head, tmp_path / "d")
    preset = {"size": WIDE, "splats": 500, "iterations": 12, "bases": 2, "frames": 8}
    (tmp_path / "p.json").write_text(json.dumps(preset))
    Build(tmp_path / "x.avatar", dataset=tmp_path / "d", preset=str(tmp_path / "p.json")).run()
    again = load_track(tmp_path / "x.run" / "track.safetensors")
    assert np.array_equal(again.expression, track.expression)
    assert np.array_equal(load_clip(tmp_path / "x.run" / "clip").frames, frames)
    assert 450 <= len(Avatar.load(tmp_path / "x.avatar").splats) <= 600  # what is seen, and a fifth of that


def _poses(track):
    from avatars.splats.model import Pose

    return [Pose.of_track(track, [row]) for row in range(len(track.frame))]


def test_one_source_is_needed(tmp_path):
    from avatars.commands.build import Build

    for words in ({}, {"video": Path("a.mp4"), "dataset": tmp_path}, {"dataset": tmp_path}):
        with pytest.raises(AvatarError):
            Build(tmp_path / "x.avatar", **words).run()


def test_camera_angle_stands_for_a_focal_length():
    words = {"file_path": "a.png", "w": 100, "h": 80, "camera_angle_x": 1.0, "transform_matrix": np.eye(4).tolist()}
    camera: Camera = foreign._entry(Path("d"), words, 0).camera
    assert camera.fx == camera.fy == pytest.approx(50 / np.tan(0.5))
    assert (camera.cx, camera.cy) == (50, 40)
