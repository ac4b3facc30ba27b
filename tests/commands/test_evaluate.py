"""`avatars evaluate --against`: several avatars in one table, each measured from its own file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from avatars.splats.avatar import Avatar
from tests.commands.conftest import run


def test_avatars_are_measured_side_by_side(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A gray copy without a run of its own is measured on this one's, and loses."""
    avatar = Avatar.load(trained)
    avatar.splats.color[:] = 0.5
    gray = tmp_path / "gray.avatar"
    avatar.save(gray)
    target = tmp_path / "both.json"
    assert run("evaluate", trained, "--against", gray, "--json", target) == 0
    found = json.loads(target.read_text())
    other = found.pop("against")
    assert list(other) == ["gray"]
    # A detector finds no face on gray: figures of landmarks that it would find again are those of the other alone.
    again = ("redetected_px", "_correlation", "_ratio")
    always = {name for name in found if not any(word in name for word in again)}
    assert always <= set(other["gray"]) <= set(found)
    assert other["gray"]["psnr"] < found["psnr"]
    for name in ("redetected_share", "landmark_redetected_share", "file_megabytes", "frames_per_second"):
        assert found[name] >= 0, name
    head, first = capsys.readouterr().out.splitlines()[:2]
    assert head.split() == [trained.stem, "gray"]
    assert first.startswith("PSNR, poses fitted to the pixels, dB")
    assert first.count("*") == 1


def test_an_avatar_of_another_clip_is_refused(trained: Path, tmp_path: Path) -> None:
    avatar = Avatar.load(trained)
    avatar.manifest["provenance"]["source"]["sha256"] = "f" * 64
    other = tmp_path / "other.avatar"
    avatar.save(other)
    assert run("evaluate", trained, "--against", other) == 1
    shutil.rmtree(other)
    assert run("evaluate", trained, "--against", other) == 1
