"""The avatar file: a round trip to the bit, and every way it can be wrong."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatars import files
from avatars.errors import AvatarError, FileFormatError, InputError
from avatars.splats.avatar import FORMAT, MANIFEST, TENSORS, Avatar
from avatars.splats.model import Pose
from tests.splats.making import make_avatar


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return make_avatar()


@pytest.fixture
def saved(avatar: Avatar, tmp_path: Path) -> Path:
    path = tmp_path / "somebody.avatar"
    avatar.save(path, extras={"report.html": b"<p>"})
    return path


def _picture(avatar: Avatar) -> torch.Tensor:
    with torch.no_grad():
        return avatar.model().render(Pose.of_track(avatar.track, [1]), avatar.camera).color


def test_a_saved_avatar_renders_the_same_bits(avatar: Avatar, saved: Path) -> None:
    loaded = Avatar.load(saved)
    assert torch.equal(_picture(avatar), _picture(loaded))
    assert loaded.manifest["consent"] == "none needed"
    assert loaded.manifest["splats"] == len(avatar.splats)
    assert (saved / "report.html").read_bytes() == b"<p>"
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]  # no temporary left


def test_a_zip_is_an_avatar_too(avatar: Avatar, saved: Path, tmp_path: Path) -> None:
    avatar.pack(tmp_path / "one.avatar", saved)
    assert torch.equal(_picture(Avatar.load(tmp_path / "one.avatar")), _picture(avatar))


def test_existing_output_is_kept_unless_asked(avatar: Avatar, saved: Path) -> None:
    before = files.sha256(saved / TENSORS)
    with pytest.raises(InputError, match="exists"):
        avatar.save(saved)
    assert files.sha256(saved / TENSORS) == before
    avatar.save(saved, overwrite=True)
    assert Avatar.load(saved).manifest["format"] == FORMAT


def test_a_failed_save_leaves_the_old_avatar(avatar: Avatar, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files.sha256(saved / TENSORS)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_json", full)
    with pytest.raises(AvatarError, match="disk is full"):
        avatar.save(saved, overwrite=True)
    assert files.sha256(saved / TENSORS) == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def _edit(path: Path, **changes: Any) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    manifest.update(changes)
    (path / MANIFEST).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": FORMAT + 1}, "format"),
        ({"format": "1"}, "format"),
        ({"kind": "cake"}, "Not an avatar"),
        ({"sha256": "0" * 64}, "damaged"),
        ({"camera": {}}, "camera"),
        ({"head": {}}, "head"),
    ],
)
def test_a_wrong_manifest_is_refused(saved: Path, changes: dict[str, Any], said: str) -> None:
    _edit(saved, **changes)
    with pytest.raises(FileFormatError, match=said):
        Avatar.load(saved)


@pytest.mark.parametrize("keep", [0, 1, 8, 100, 0.5, -1])
def test_cut_tensors_are_refused(saved: Path, keep: float) -> None:
    path = saved / TENSORS
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if 0 < keep < 1 else int(keep)])
    with pytest.raises(FileFormatError):
        Avatar.load(saved)


def _rewrite(path: Path, **changes: np.ndarray | None) -> None:
    tensors, _ = files.load_tensors(path / TENSORS, finite=False)
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is None:
            del tensors[key]
        else:
            tensors[key] = value
    files.save_tensors(path / TENSORS, tensors)
    _edit(path, sha256=files.sha256(path / TENSORS))


def test_tensors_that_lie_are_refused(avatar: Avatar, saved: Path) -> None:
    n = len(avatar.splats)
    far = avatar.splats.triangle.copy()
    far[3] = len(avatar.head.faces)
    _rewrite(saved, splats__triangle=far)
    with pytest.raises(FileFormatError, match="range"):
        Avatar.load(saved)
    _rewrite(saved, splats__triangle=avatar.splats.triangle, splats__color=np.full((n, 3), np.nan, np.float32))
    with pytest.raises(FileFormatError, match="NaN"):
        Avatar.load(saved)
    _rewrite(saved, splats__color=None)
    with pytest.raises(FileFormatError, match="incomplete"):
        Avatar.load(saved)


def test_hostile_zips_are_refused(tmp_path: Path, saved: Path) -> None:
    bomb = tmp_path / "bomb.avatar"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, "{}")
        archive.writestr(TENSORS, b"\0" * (8 << 20))
    with pytest.raises(FileFormatError, match="size"):
        Avatar.load(bomb)
    away = tmp_path / "away.avatar"
    with zipfile.ZipFile(away, "w") as archive:
        archive.writestr("../escaped", "x")
    with pytest.raises(FileFormatError, match="exactly once"):
        Avatar.load(away)
    assert not (tmp_path.parent / "escaped").exists()
    junk = tmp_path / "junk.avatar"
    junk.write_bytes(b"junk")
    with pytest.raises(FileFormatError):
        Avatar.load(junk)
    with pytest.raises(FileFormatError, match="No such"):
        Avatar.load(tmp_path / "nothing.avatar")
