"""The verbs at work, on a drawn clip: what they write, and that figures are measured and not remembered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from avatars.data import Motion
from avatars.motion.livelink import write_csv
from avatars.splats.avatar import Avatar
from tests.commands.conftest import run
from tests.motion.making import a_motion


def film(path: Path) -> tuple[list[np.ndarray], float, int]:
    """(frames, frames per second, samples of sound) of a film."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        rate = float(stream.average_rate or 0)
    with av.open(str(path)) as container:
        sound = sum(frame.samples for frame in container.decode(audio=0)) if container.streams.audio else 0
    return frames, rate, sound


def test_train_writes_a_whole_avatar(trained: Path) -> None:
    assert sorted(p.name for p in trained.iterdir()) == ["avatar.safetensors", "manifest.json", "report.html"]
    avatar = Avatar.load(trained)
    assert avatar.manifest["name"] == "A <script>"
    assert "<script>A" not in (trained / "report.html").read_text()


def test_evaluate_measures_anew(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate", trained, "--json", tmp_path / "e.json", "--html", tmp_path / "e.html") == 0
    figures = json.loads((tmp_path / "e.json").read_text())
    built = Avatar.load(trained).manifest["figures"]
    for name in ("psnr", "ssim", "psnr_landmark", "psnr_face", "psnr_mouth"):
        # Rotations pass through axis-angle in the file: equal but for rounding.
        assert figures[name] == pytest.approx(built[name], abs=2e-3), name
    assert figures["splats"] == len(Avatar.load(trained).splats)
    assert figures["held_out"] == 5
    assert figures["train_seconds"] > 0
    assert 0 < figures["landmark_rmse_px"] < 5
    assert "PSNR, poses from landmarks" in capsys.readouterr().out
    page = (tmp_path / "e.html").read_text()
    assert page.startswith("<!doctype html>")
    assert 'aria-label="loss"' in page


def test_evaluate_does_not_believe_the_manifest(trained: Path, tmp_path: Path) -> None:
    liar = tmp_path / "liar.avatar"
    shutil.copytree(trained, liar)
    shutil.copytree(trained.with_suffix(".run"), tmp_path / "liar.run")
    about = json.loads((liar / "manifest.json").read_text())
    about["figures"] = dict.fromkeys(about["figures"], 99.0)
    (liar / "manifest.json").write_text(json.dumps(about))
    assert run("evaluate", liar, "--json", tmp_path / "e.json") == 0
    assert json.loads((tmp_path / "e.json").read_text())["psnr"] < 60


def test_render_films(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.mp4"
    assert run("render", trained, "-o", out, "--seconds", "0.4", "--fps", "20", "--size", "72") == 0
    frames, rate, sound = film(out)
    assert len(frames) == 8
    assert rate == 20
    assert sound == 0
    assert frames[0].shape == (72, 72, 3)
    assert np.abs(frames[0].astype(int) - frames[2]).max() > 20  # the camera moves
    assert run("render", trained, "-o", out, "--path", "track", "--size", "72", "--overwrite") == 0
    assert len(film(out)[0]) == 24


def test_render_pictures(trained: Path, tmp_path: Path) -> None:
    assert run("render", trained, "-o", tmp_path / "sides.png", "--path", "sides", "--size", "64") == 0
    sheet = cv2.imread(str(tmp_path / "sides.png"))
    assert sheet is not None
    assert sheet.shape == (64, 5 * 64, 3)
    arguments = ["--path", "sweep", "--expressions", "jawOpen", "--fps", "4", "--background", "none", "--size", "64"]
    assert run("render", trained, "-o", tmp_path / "sweep", *arguments) == 0
    pictures = [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted((tmp_path / "sweep").iterdir())]
    assert len(pictures) == 4
    assert all(p is not None and p.shape == (64, 64, 4) for p in pictures)
    assert pictures[0] is not None
    assert pictures[0][2, 2, 3] < 30  # nobody in the corner
    assert pictures[0][..., 3].max() > 200


def test_render_comparison(trained: Path, tmp_path: Path) -> None:
    assert run("render", trained, "-o", tmp_path / "c.png", "--path", "compare") == 0
    sheet = cv2.imread(str(tmp_path / "c.png"))
    assert sheet is not None
    assert sheet.shape[1] % (3 * 96) == 0
    left, middle, right = (sheet[:96, k * 96 : (k + 1) * 96].astype(int) for k in range(3))
    # Three pictures were rounded to whole levels.
    assert np.abs(np.minimum(4 * np.abs(left - middle), 255) - right).max() <= 4


def test_background_colour(trained: Path, tmp_path: Path) -> None:
    assert run("render", trained, "-o", tmp_path / "g.png", "--path", "front", "--background", "#00b040") == 0
    corner = cv2.imread(str(tmp_path / "g.png"))
    assert corner is not None
    np.testing.assert_allclose(corner[1, 1].astype(int), [0x40, 0xB0, 0x00], atol=12)


def test_reenact_from_csv(trained: Path, tmp_path: Path) -> None:
    motion = a_motion(2, 0.2, 0.8)
    fields = ("times", "arkit", "rotation", "translation")
    write_csv(Motion(*(getattr(motion, name)[:40] for name in fields)), tmp_path / "m.csv")
    assert run("reenact", trained, "--csv", tmp_path / "m.csv", "-o", tmp_path / "r.mp4", "--size", "64") == 0
    frames, rate, _ = film(tmp_path / "r.mp4")
    assert len(frames) == 40
    assert rate == pytest.approx(25, abs=0.05)
    assert not (tmp_path / "r.run").exists()
    assert run("reenact", trained, "--csv", tmp_path / "m.csv", "-o", tmp_path / "r", "--fps", "5", "--size", "64") == 0
    assert len(list((tmp_path / "r").iterdir())) == 8


def test_capture_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str], trained: Path) -> None:
    from avatars.commands.capture import describe
    from avatars.commands.stages import clip_of
    from avatars.training.build import Run

    clip = clip_of(Run(trained.with_suffix(".run")))
    clip.rejects[3] = "blurred"
    clip.source["warnings"] = ["the sound was left out"]
    describe(clip)
    said = capsys.readouterr().out
    assert "23 of 24 frames usable, 96 x 96" in said
    assert "1 frames: blurred" in said
    assert "the sound was left out" in said


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    lines = capsys.readouterr().out.splitlines()
    named = {line.split(":")[0].split()[1] for line in lines}
    assert {"python", "torch", "cpu", "cuda", "faces", "anny", "video", "ffmpeg", "cache", "head"} <= named
    assert all(line.startswith(("ok ", "absent ")) and line.endswith(".") for line in lines)


def test_doctor_without_the_native_library(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from avatars.errors import BackendError
    from avatars.raster import native

    def missing() -> None:
        raise BackendError("The native CPU library is missing", fix="Reinstall with `pip install .`")

    monkeypatch.setattr(native, "library", missing)
    assert run("doctor") == 1
    out = capsys.readouterr().out
    assert "MISSING  cpu: The native CPU library is missing. Reinstall with `pip install .`." in out


def test_heads_are_listed(capsys: pytest.CaptureFixture[str], trained: Path) -> None:
    assert run("head", "list") == 0
    assert capsys.readouterr().out.startswith("default: ")
