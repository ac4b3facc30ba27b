"""Bad input as the command line meets it: one line that says what to do, exit code 1, nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import wave
from pathlib import Path

import pytest

from avatars.tracking.track import load_track, save_track
from tests.commands.conftest import run


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The message of a command that has to fail."""
    capsys.readouterr()
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    said = [line for line in error.splitlines() if line.startswith("avatars: ")]
    assert len(said) == 1
    assert said[0].endswith(".")
    return said[0]


def contents(folder: Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))}


def bad_videos(folder: Path) -> dict[str, tuple[str, str]]:
    """Name -> (path or address, what the message says)."""
    (folder / "text.mp4").write_text("once upon a time")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "list.m3u8").write_text("#EXTM3U\nhttp://127.0.0.1:9/x.ts\n")
    (folder / "concat.mp4").write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    with wave.open(str(folder / "sound.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(16000))
    return {
        "missing": (str(folder / "nothing.mp4"), "nothing.mp4"),
        "not a video": (str(folder / "text.mp4"), "text.mp4"),
        "empty": (str(folder / "empty.mp4"), "empty.mp4"),
        "playlist": (str(folder / "list.m3u8"), "list.m3u8"),
        "concat": (str(folder / "concat.mp4"), "concat.mp4"),
        "sound": (str(folder / "sound.wav"), "sound.wav"),
        "address": ("http://127.0.0.1:9/a.mp4", "a.mp4"),
        "folder": (str(folder), folder.name),
    }


@pytest.mark.parametrize(
    "kind", ["missing", "not a video", "empty", "playlist", "concat", "sound", "address", "folder"]
)
@pytest.mark.parametrize("verb", ["build", "capture", "reenact"])
def test_bad_videos(capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path, kind: str, verb: str) -> None:
    path, named = bad_videos(tmp_path)[kind]
    before = contents(tmp_path)
    arguments = {
        "build": ["build", path, "-o", tmp_path / "x.avatar"],
        "capture": ["capture", path, "-o", tmp_path / "x.run"],
        "reenact": ["reenact", trained, "--video", path, "-o", tmp_path / "x.mp4"],
    }
    assert named in refused(capsys, *arguments[verb])
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('{"iteratons": 5}', ["Unknown setting iteratons", "Known:", "iterations"]),
        ('{"ssim": NaN}', ["NaN"]),
        ('{"alpha": 1e999}', ["alpha"]),
        ('{"iterations": -5}', ["iterations = -5", "outside"]),
        ('{"iterations": "many"}', ["iterations", "whole number"]),
        ('{"splats": 1.5}', ["splats", "whole number"]),
        ("[1, 2]", ["JSON object"]),
        ("{", ["JSON"]),
    ],
)
@pytest.mark.parametrize("verb", ["build", "train"])
def test_wrong_settings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, settings: str, words: list[str], verb: str
) -> None:
    (tmp_path / "p.json").write_text(settings)
    before = contents(tmp_path)
    message = refused(capsys, verb, tmp_path / "any", "-o", tmp_path / "x.avatar", "--preset", tmp_path / "p.json")
    for word in words:
        assert word in message
    assert contents(tmp_path) == before


def test_unknown_preset(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    message = refused(capsys, "build", "v.mp4", "-o", tmp_path / "x.avatar", "--preset", "quick")
    assert "No preset 'quick'" in message
    assert "fast" in message


@pytest.mark.parametrize("verb", ["build", "train", "render", "reenact"])
def test_output_exists(capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path, verb: str) -> None:
    (tmp_path / "x.avatar").mkdir()
    (tmp_path / "x.avatar" / "mine").write_text("kept")
    (tmp_path / "x.mp4").write_text("kept")
    before = contents(tmp_path)
    arguments = {
        "build": ["build", "v.mp4", "-o", tmp_path / "x.avatar"],
        "train": ["train", trained.with_suffix(".run"), "-o", tmp_path / "x.avatar"],
        "render": ["render", trained, "-o", tmp_path / "x.mp4"],
        "reenact": ["reenact", trained, "--csv", "c.csv", "-o", tmp_path / "x.mp4"],
    }
    assert "--overwrite" in refused(capsys, *arguments[verb])
    assert contents(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        message = refused(capsys, "render", trained, "-o", tmp_path / "x.mp4")
    finally:
        tmp_path.chmod(0o755)
    assert "permission" in message


def test_output_below_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path) -> None:
    (tmp_path / "file").write_text("kept")
    assert "Cannot write" in refused(capsys, "render", trained, "-o", tmp_path / "file" / "x.mp4")
    assert "Cannot write" in refused(
        capsys, "train", trained.with_suffix(".run"), "-o", tmp_path / "file" / "x.avatar", "--preset", "tiny"
    )


@pytest.mark.parametrize("verb", ["render", "evaluate", "reenact"])
@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "newer", "other", "empty"])
def test_damaged_avatars(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path, damage: str, verb: str
) -> None:
    avatar = tmp_path / "x.avatar"
    shutil.copytree(trained, avatar)
    tensors, manifest = avatar / "avatar.safetensors", avatar / "manifest.json"
    words = {"missing": "No such avatar", "newer": "newer", "other": "avatar"}.get(damage, "damaged")
    if damage == "missing":
        shutil.rmtree(avatar)
    elif damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-100])
    elif damage == "flipped":
        data = bytearray(tensors.read_bytes())
        data[len(data) // 2] ^= 1
        tensors.write_bytes(data)
    elif damage == "newer":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    elif damage == "other":
        manifest.write_text('{"kind": "cake"}')
    else:
        tensors.write_bytes(b"")
    arguments = {
        "render": ["render", avatar, "-o", tmp_path / "y.mp4"],
        "evaluate": ["evaluate", avatar],
        "reenact": ["reenact", avatar, "--csv", "c.csv", "-o", tmp_path / "y.mp4"],
    }
    assert words in refused(capsys, *arguments[verb])
    assert not (tmp_path / "y.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["render", "A", "-o", "x.gif"], ".gif"),
        (["render", "A", "-o", "x.mp4", "--background", "mauve"], "mauve"),
        (["render", "A", "-o", "x.mp4", "--background", "none"], "transparent"),
        (["render", "A", "-o", "x.mp4", "--size", "9"], "9 px"),
        (["render", "A", "-o", "x.mp4", "--fps", "nan"], "nan"),
        (["render", "A", "-o", "x.mp4", "--seconds", "-1"], "-1"),
        (["render", "A", "-o", "x.mp4", "--path", "sweep", "--expressions", "grin"], "'grin'"),
        (["render", "A", "-o", "x.mp4", "--path", "compare", "--run", "nowhere"], "captured clip"),
        (["reenact", "A", "-o", "x.mp4"], "--video, --csv and --motion"),
        (["reenact", "A", "-o", "x.mp4", "--csv", "a", "--motion", "b"], "--video, --csv and --motion"),
        (["reenact", "A", "-o", "x.mp4", "--csv", "nothing.csv"], "nothing.csv"),
        (["reenact", "A", "-o", "x.mp4", "--motion", "nothing.safetensors"], "nothing.safetensors"),
        (["evaluate", "A", "--run", "nowhere"], "captured clip"),
        (["track", "nowhere"], "avatars capture"),
        (["train", "nowhere", "-o", "x.avatar"], "avatars capture"),
        (["build", "v.mp4", "-o", "x.zip"], ".avatar"),
        (["head", "install", "nothing.pkl"], "nothing.pkl"),
        (["train", "R", "-o", "x.avatar", "--head", "sphinx"], "No head 'sphinx'"),
    ],
)
def test_wrong_arguments(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"A": str(trained), "R": str(trained.with_suffix(".run"))}
    assert words in refused(capsys, *(places.get(a, a) for a in arguments))
    assert contents(tmp_path) == {}


def test_a_head_that_has_changed_since(capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path) -> None:
    run_directory = tmp_path / "old.run"
    shutil.copytree(trained.with_suffix(".run"), run_directory)
    track = load_track(run_directory / "track.safetensors")
    track.head["sha256"] = "2" * 64
    save_track(track, run_directory / "track.safetensors")
    assert "another version of the head" in refused(capsys, "evaluate", trained, "--run", run_directory)


def test_an_avatar_of_another_video(capsys: pytest.CaptureFixture[str], tmp_path: Path, trained: Path) -> None:
    run_directory = tmp_path / "other.run"
    shutil.copytree(trained.with_suffix(".run"), run_directory)
    about = json.loads((run_directory / "clip" / "clip.json").read_text())
    about["source"]["sha256"] = "1" * 64
    (run_directory / "clip" / "clip.json").write_text(json.dumps(about))
    assert "another video" in refused(capsys, "evaluate", trained, "--run", run_directory)
