"""From a file to a Clip: the whole of capture on small real files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatars.capture import clip as clip_module
from avatars.capture.clip import capture
from avatars.capture.faces import FaceMesh
from avatars.capture.probe import probe
from avatars.capture.sightings import look_through
from avatars.capture.store import load_clip, save_clip
from avatars.capture.subject import choose_subject
from avatars.data import Clip
from avatars.errors import AvatarError, FileFormatError, InputError
from avatars.files import read_json, sha256, write_json

from .conftest import read_clip
from .making import moving, tone, turned, write_video

SHARP = {"preset": "ultrafast", "crf": "16"}


def faces(count: int, name: str = "obama_512.mp4", side: int = 256) -> list[np.ndarray]:
    """The first frames of a real clip, small."""
    return [cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in read_clip(name, count)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of a talking face with sound."""
    path = tmp_path_factory.mktemp("video") / "face.mp4"
    return write_video(path, faces(40), rate=25, options=SHARP, sound=tone(1.6, 48000), matrix="bt601")


@pytest.fixture(scope="module")
def captured(video: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, Path]:
    """Its clip and where it lies."""
    directory = tmp_path_factory.mktemp("clips") / "clip"
    return capture(video, directory), directory


@pytest.mark.footage
def test_a_clip_has_everything(captured: tuple[Clip, Path], video: Path) -> None:
    clip, directory = captured
    clip.validate()
    assert clip.frames.shape == (40, 256, 256, 3)
    assert clip.size == (256, 256)
    np.testing.assert_allclose(clip.times, np.arange(40) / 25, atol=1e-6)
    assert clip.used.all()
    with FaceMesh(static=True) as mesh:
        alone = mesh.detect(np.asarray(clip.frames[20]))[0]
    # Followed and found anew, the mesh differs by a fraction of a pixel.
    assert np.abs(alone - clip.landmarks[20])[:, :2].mean() < 1.0
    assert clip.audio is not None
    assert len(clip.audio) / 16000 == pytest.approx(1.6, abs=0.05)
    assert clip.plate is not None
    assert clip.plate_seen is not None
    assert clip.plate[clip.plate_seen > 0].mean() > 250  # this clip stands before white
    white = np.asarray(clip.frames[20]).min(-1) > 250
    assert np.asarray(clip.matte[20])[100:140, 100:150].min() == 255
    assert clip.matte[20][white].mean() < 20  # his shirt is white too
    assert clip.source["name"] == "face.mp4"
    assert clip.source["sha256"] == sha256(video)
    assert clip.source["box"] == [0, 0, 256, 256]
    assert clip.source["warnings"] == []
    assert clip.source["quality"]["used_fraction"] == 1
    assert sorted(p.name for p in directory.iterdir()) == ["clip.json", "clip.safetensors", "frames.npy", "matte.npy"]


@pytest.mark.footage
def test_the_same_again_is_read_not_made(
    captured: tuple[Clip, Path], video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, directory = captured
    monkeypatch.setattr(clip_module, "look_through", lambda *_: pytest.fail("looked again"))
    again = capture(video, directory)
    assert (again.landmarks == clip.landmarks).all()
    assert again.source == clip.source


@pytest.mark.footage
def test_other_options_make_it_anew(video: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    small = capture(video, tmp_path, size=128, max_frames=30, progress=lambda step, done: seen.append((step, done)))
    assert small.frames.shape == (30, 128, 128, 3)
    assert small.audio is not None
    assert len(small.audio) / 16000 == pytest.approx(30 / 25, abs=0.01)
    for step in dict(seen):
        parts = [done for name, done in seen if name == step]
        assert parts == sorted(parts)
        assert parts[0] >= 0
        assert parts[-1] <= 1
    assert len(dict(seen)) == 3
    again = capture(video, tmp_path, size=96, max_frames=30)
    assert again.size == (96, 96)


@pytest.mark.footage
def test_turned_video_gives_the_same_landmarks(captured: tuple[Clip, Path], tmp_path: Path) -> None:
    """Stored on its side, as phones do: within 1 px of the plain one (measured: 0.2 mean)."""
    side = [np.ascontiguousarray(np.rot90(f, -1)) for f in faces(30)]
    path = write_video(tmp_path / "side.mov", side, rate=25, options=SHARP, turn=turned(90))
    clip = capture(path, tmp_path / "clip")
    gap = np.abs(clip.landmarks - captured[0].landmarks[:30])[..., :2]
    assert gap.mean() < 0.5
    assert np.median(gap.max(1)) < 1.5
    assert clip.source["rotation"] == 90


@pytest.mark.footage
def test_small_face_in_a_large_picture(tmp_path: Path) -> None:
    """Head and shoulders are cut out; landmarks land where they do in the original."""
    random = np.random.default_rng(0)
    room = cv2.GaussianBlur(random.uniform(0, 255, (720, 1280, 3)).astype(np.float32), (0, 0), 6).astype(np.uint8)
    pictures = []
    for small in faces(30):
        picture = room.copy()
        picture[300:556, 800:1056] = small
        pictures.append(picture)
    path = write_video(tmp_path / "room.mp4", pictures, rate=25, options=SHARP)
    clip = capture(path, tmp_path / "clip")
    x, y, w, h = clip.source["box"]
    assert w < 512
    assert max(clip.size) <= 512
    with FaceMesh(static=True) as mesh:
        wanted = mesh.detect(pictures[15][300:556, 800:1056])[0, :, :2] + [800, 300]
    found = clip.landmarks[15, :, :2] * [w / clip.size[0], h / clip.size[1]] + [x, y]
    assert np.abs(found - wanted).mean() < 1.5
    low, high = wanted.min(0), wanted.max(0)
    assert x < low[0] - 0.8 * (high - low)[1]
    assert y < low[1] - 0.4 * (high - low)[1]


@pytest.mark.footage
def test_two_people(tmp_path: Path) -> None:
    pair = [np.hstack(p) for p in zip(faces(30), faces(30, "talk_katie_512.mp4"), strict=True)]
    path = write_video(tmp_path / "pair.mp4", pair, rate=25, options=SHARP)
    with pytest.raises(InputError, match="Two people"):
        capture(path, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    for wish, low, high in (("left", 0, 256), ("right", 256, 512)):
        clip = capture(path, tmp_path / wish, subject=wish)
        x, _, w, _ = clip.source["box"]
        places = clip.landmarks[clip.used][..., 0] * w / clip.size[0] + x
        assert low <= places.min()
        assert places.max() <= high
        assert clip.used.mean() > 0.9


@pytest.mark.footage
@pytest.mark.slow
def test_crossing_people_are_never_swapped(tmp_path: Path) -> None:
    """One walks behind the other from end to end: frames are dropped, identities are not exchanged."""
    count, side = 100, 160
    front, back = faces(50, side=side), faces(50, "talk_katie_512.mp4", side)
    way = np.linspace(0, 520 - side, count).round().astype(int)
    pictures = []
    for i, at in enumerate(way):
        picture = np.full((200, 520, 3), 200, np.uint8)
        picture[20 : 20 + side, 520 - side - at : 520 - at] = back[min(i, 99 - i)]
        picture[20 : 20 + side, at : at + side] = front[min(i, 99 - i)]
        pictures.append(picture)
    path = write_video(tmp_path / "cross.mp4", pictures, options=SHARP)
    from_left, from_right = way + side / 2, 520 - way - side / 2

    def owners(x: np.ndarray, frame: np.ndarray) -> set[str]:
        """Whose faces lie at `x` in the given frames, where the two are well apart."""
        apart = np.abs(from_left - from_right)[frame] > side
        left = np.abs(x - from_left[frame]) < 0.25 * side
        assert (left ^ (np.abs(x - from_right[frame]) < 0.25 * side))[apart].all()
        assert apart.sum() > 5
        return {"left" if is_left else "right" for is_left in left[apart]}

    looks = look_through(probe(path), None, [], lambda _: None).looks
    for wish in ("left", "right"):
        chosen = choose_subject(looks, wish)[0].seen
        xs = np.array([f.points[1, 0] for _, f in chosen])
        assert len(owners(xs, np.array([look.frame for look, _ in chosen]))) == 1
    clip = capture(path, tmp_path / "clip", subject="left")
    x, _, w, _ = clip.source["box"]
    whose = owners(clip.landmarks[clip.used, 1, 0] * w / clip.size[0] + x, np.flatnonzero(clip.used))
    assert len(whose) == 1
    covered = np.abs(from_left - from_right) < side / 3  # only the one in front, who came from the left, is in view
    assert whose == {"left"} or not clip.used[covered].any()


@pytest.mark.footage
def test_face_leaves_for_a_while(captured: tuple[Clip, Path], tmp_path: Path) -> None:
    pictures = faces(40)
    pictures[15:27] = [np.full((256, 256, 3), 230, np.uint8)] * 12
    clip = capture(write_video(tmp_path / "gap.mp4", pictures, rate=25, options=SHARP), tmp_path / "clip")
    assert all(reason == "no face" for reason in clip.rejects[15:27])
    assert np.isnan(clip.landmarks[15:27]).all()
    assert clip.used[:14].all()
    assert clip.used[31:].all()  # found again within five frames
    plain = captured[0].landmarks
    outside = [*range(14), *range(31, 40)]
    assert np.abs(clip.landmarks[outside] - plain[outside])[..., :2].mean() < 0.5
    assert clip.source["rejected"] == {"no face": int((~clip.used).sum())}


@pytest.mark.footage
def test_mostly_lost_is_refused_with_advice(tmp_path: Path) -> None:
    pictures = faces(20) + moving(80, 256, 256)
    path = write_video(tmp_path / "lost.mp4", pictures, rate=25, options=SHARP)
    with pytest.raises(InputError, match=r"of 100 frames cannot be used \(no face: \d+\).*Film again"):
        capture(path, tmp_path / "clip")
    assert list((tmp_path / "clip").iterdir()) == []


@pytest.mark.footage
def test_photograph_as_video(tmp_path: Path) -> None:
    """The same picture throughout, with the noise of a sensor."""
    random = np.random.default_rng(0)
    still = faces(1)[0]
    pictures = [np.clip(still + random.normal(0, 3, still.shape), 0, 255).astype(np.uint8) for _ in range(30)]
    with pytest.raises(InputError, match="Nothing moves"):
        capture(write_video(tmp_path / "still.mp4", pictures, options=SHARP), tmp_path / "clip")


@pytest.mark.footage
def test_border_cuts_are_rejected(tmp_path: Path) -> None:
    """A face that slides out of the picture is used only while all of it is in."""
    pictures = []
    for i, f in enumerate(faces(40)):
        shift = max(0, 8 * (i - 24))
        picture = np.full_like(f, 255)
        picture[:, : 256 - shift] = f[:, shift:]
        pictures.append(picture)
    clip = capture(write_video(tmp_path / "out.mp4", pictures, rate=25, options=SHARP), tmp_path / "clip")
    assert clip.used[:24].all()
    assert not clip.used[38:].any()
    assert "face cut by the border" in clip.rejects


def test_no_face(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wall.mp4", moving(40, 160, 120))
    with pytest.raises(InputError, match=r"No face was found in any of the 8 pictures"):
        capture(path, tmp_path / "clip")
    assert not (tmp_path / "clip").exists()


def test_too_short(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Only 10 pictures"):
        capture(write_video(tmp_path / "short.mp4", moving(10)), tmp_path / "clip")


@pytest.mark.footage
def test_truncated_video_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    container = {"movflags": "+faststart"}
    whole = write_video(tmp_path / "whole.mp4", faces(60), rate=25, options=SHARP, container_options=container)
    data = whole.read_bytes()
    part = tmp_path / "part.mp4"
    part.write_bytes(data[: len(data) * 70 // 100])
    clip = capture(part, tmp_path / "clip")
    assert 24 <= len(clip.times) < 50
    assert any("breaks off" in warning for warning in clip.source["warnings"])
    part.write_bytes(data[: len(data) * 30 // 100])
    with pytest.raises(InputError, match="pictures can be read"):
        capture(part, tmp_path / "less")


def test_bad_options(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", moving(30))
    for options in ({"size": 0}, {"size": 100000}, {"max_frames": 3}, {"subject": "me"}):
        with pytest.raises(InputError):
            capture(path, tmp_path / "clip", **options)  # type: ignore[arg-type]


def small_clip(count: int = 5) -> Clip:
    random = np.random.default_rng(0)
    landmarks = random.uniform(0, 30, (count, 478, 3)).astype(np.float32)
    landmarks[1] = np.nan
    return Clip(
        frames=random.integers(0, 256, (count, 32, 40, 3), dtype=np.uint8),
        times=np.arange(count) / 30,
        landmarks=landmarks,
        matte=random.integers(0, 256, (count, 32, 40), dtype=np.uint8),
        rejects=["", "no face", *[""] * (count - 2)],
        audio=random.normal(size=1000).astype(np.float32),
        plate=random.integers(0, 256, (32, 40, 3), dtype=np.uint8),
        plate_seen=np.zeros((32, 40), np.uint8),
        source={"name": "été.mp4", "warnings": ["none"]},
    )


def test_saved_clips_come_back(tmp_path: Path) -> None:
    clip = small_clip()
    save_clip(clip, tmp_path / "a" / "b")
    again = load_clip(tmp_path / "a" / "b")
    for name in ("frames", "times", "landmarks", "matte", "audio", "plate", "plate_seen"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clip, name))
    assert again.rejects == clip.rejects
    assert again.source == clip.source
    assert isinstance(again.frames, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        again.frames[0] = 0
    clip.audio = clip.plate = clip.plate_seen = None
    save_clip(clip, tmp_path / "a" / "b")
    assert load_clip(tmp_path / "a" / "b").audio is None


def test_damaged_clips_are_named(tmp_path: Path) -> None:
    good = tmp_path / "good"
    save_clip(small_clip(), good)
    about = read_json(good / "clip.json")

    def cut(name: str):  # type: ignore[no-untyped-def]
        return lambda d: (d / name).write_bytes((d / name).read_bytes()[:-1])

    def pickled(d: Path) -> None:
        np.save(d / "frames.npy", np.array([{"a": 1}], object), allow_pickle=True)

    def flipped(d: Path) -> None:
        data = bytearray((d / "clip.safetensors").read_bytes())
        data[-50] ^= 1
        (d / "clip.safetensors").write_bytes(data)

    def other(d: Path) -> None:
        np.save(d / "matte.npy", np.zeros((5, 32, 41), np.uint8))

    harm = {
        "missing": lambda d: (d / "clip.json").unlink(),
        "frames cut": cut("frames.npy"),
        "matte cut": cut("matte.npy"),
        "tensors cut": cut("clip.safetensors"),
        "tensors flipped": flipped,
        "pickled": pickled,
        "wrong size": other,
        "not json": lambda d: (d / "clip.json").write_text("{"),
        "newer": lambda d: write_json(d / "clip.json", about | {"version": 99}),
        "else": lambda d: write_json(d / "clip.json", {"format": "other"}),
        "huge": lambda d: write_json(d / "clip.json", about | {"shape": [10**9, 10**9, 10**9]}),
        "negative": lambda d: write_json(d / "clip.json", about | {"shape": [-1, 32, 40]}),
        "rejects": lambda d: write_json(d / "clip.json", about | {"rejects": [1, 2]}),
        "fewer rejects": lambda d: write_json(d / "clip.json", about | {"rejects": [""]}),
        "no source": lambda d: write_json(d / "clip.json", about | {"source": None}),
    }
    for name, damage in harm.items():
        bad = tmp_path / name
        shutil.copytree(good, bad)
        damage(bad)
        with pytest.raises(FileFormatError) as error:
            load_clip(bad)
        assert str(bad) in str(error.value), name


@pytest.mark.parametrize("number", ["EACCES", "EXDEV", "EIO", "ENOSPC"])
def test_a_failed_save_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    import errno

    save_clip(small_clip(), tmp_path)
    before = {p.name: sha256(p) for p in tmp_path.iterdir()}

    def refuse(*_: object) -> None:
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(AvatarError):
        save_clip(small_clip(6), tmp_path)
    monkeypatch.undo()
    assert {p.name: sha256(p) for p in tmp_path.iterdir()} == before


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """A limit on file size stands for a full disk."""
    save_clip(small_clip(), tmp_path / "clip")
    before = {p.name: sha256(p) for p in (tmp_path / "clip").iterdir()}
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from avatars.capture.store import load_clip, save_clip; from avatars.errors import AvatarError\n"
        "clip = load_clip(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))\n"
        "for target in sys.argv[1:]:\n"
        "    try: save_clip(clip, target)\n"
        "    except AvatarError as error: print(error.what)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "clip"), str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["The disk is full"] * 2
    assert {p.name: sha256(p) for p in (tmp_path / "clip").iterdir()} == before
    assert list((tmp_path / "new").iterdir()) == []


def test_leftovers_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    stale = tmp_path / f".clip.{int(gone.stdout)}"
    stale.mkdir()
    (stale / "frames.npy").write_bytes(b"x")
    save_clip(small_clip(), tmp_path)
    assert not stale.exists()


def test_description_is_plain_json(tmp_path: Path) -> None:
    save_clip(small_clip(), tmp_path)
    assert json.loads((tmp_path / "clip.json").read_text())["format"] == "avatars-clip"
