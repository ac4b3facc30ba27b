"""The player's bundle: what packing loses, its size, and what a hostile one meets."""

from __future__ import annotations

import gzip
import hashlib
import json

import numpy as np
import pytest

from avatars.errors import AvatarError, FileFormatError, InputError
from avatars.export import bundle as B
from avatars.export import fidelity, scene, web
from avatars.export.compact import compact
from avatars.export.packing import Packer, unpack
from avatars.splats.model import Pose


@pytest.fixture(scope="module")
def packed(avatar) -> B.Bundle:
    return B.bundle(avatar)


@pytest.fixture
def folder(packed, tmp_path):
    packed.save(tmp_path)
    return tmp_path


def test_arrays_round_trip():
    packer, rng = Packer(), np.random.default_rng(0)
    values = rng.normal(size=(7, 3))
    packer.add("f", values, "f32")
    packer.add("h", values, "f16")
    packer.add("q", values, "i16", 1 / 1000)
    packer.add_index("i", np.arange(70000), 70000)
    packer.add("none", np.zeros((0, 3)), "i16")
    back = unpack(packer.table, packer.data(), packer.size, "")
    assert np.array_equal(back["f"], values.astype(np.float32))
    assert np.array_equal(back["h"], values.astype(np.float16))
    assert np.abs(back["q"] - values).max() <= 0.5e-3 + 1e-6
    assert np.array_equal(back["i"], np.arange(70000))
    assert back["none"].shape == (0, 3)


def test_bases_are_turned_and_rounded_within_their_steps(avatar):
    small = compact(avatar, np.arange(len(avatar.splats)))
    model = avatar.model()
    weights = model.weights(Pose.of_track(avatar.track, [3])).detach().numpy()[0]
    exact = avatar.splats.bases @ weights
    ours = small.dense() @ (small.turn @ weights)
    # Half a step per component, times its weight, is the most that rounding can do.
    bound = 0.5 * np.abs(small.turn @ weights).sum() * np.repeat(small.steps, 3)
    assert (np.abs(ours - exact).max(0) <= bound + 1e-5).all()


def test_packed_avatar_looks_the_same(avatar, packed, folder):
    again = B.rebuilt(avatar, B.read_bundle(folder)[1])
    for row in (0, 7):
        pose = Pose.of_track(avatar.track, [row])
        (target, mask), (image, _) = scene.native(avatar, pose), scene.native(again, pose)
        assert fidelity.masked_psnr(image, target, mask) > 42  # measured 49
    assert packed.data == B.bundle(avatar).data
    assert packed.size < 1_200_000  # 0.6 MB of rig; 3000 splats


def test_any_prefix_is_a_fair_sample(avatar):
    order = B.stored_order(avatar)
    assert np.array_equal(np.sort(order), np.arange(len(order)))
    size = np.exp(avatar.splats.log_scale.sum(1))
    assert size[order[:500]].mean() > size.mean()


def rewrite(folder, change) -> None:
    """Apply `change` to the manifest."""
    path = folder / B.MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def replace_data(folder, data: bytes, **file) -> None:
    """Swap the data and make the manifest agree."""
    (folder / B.DATA).write_bytes(data)
    words = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **file}
    rewrite(folder, lambda m: m["file"].update(words))


def poke(folder, name: str, value: int) -> None:
    """Write one wrong index, with a good checksum."""
    manifest = json.loads((folder / B.MANIFEST).read_text())
    raw = bytearray(gzip.decompress((folder / B.DATA).read_bytes()))
    entry = manifest["arrays"][name]
    count = entry["bytes"] // (2 if entry["dtype"] == "u16" else 4)
    for plane, byte in enumerate(value.to_bytes(entry["bytes"] // count, "little")):
        raw[entry["offset"] + plane * count] = byte
    replace_data(folder, gzip.compress(bytes(raw), 1))


HOSTILE = {
    "truncated": lambda f: (f / B.DATA).write_bytes((f / B.DATA).read_bytes()[:-100]),
    "flipped": lambda f: (f / B.DATA).write_bytes(b"\0" + (f / B.DATA).read_bytes()[1:]),
    "missing": lambda f: (f / B.DATA).unlink(),
    "another kind": lambda f: rewrite(f, lambda m: m.update(kind="avatar")),
    "newer": lambda f: rewrite(f, lambda m: m.update(format=99)),
    "older": lambda f: rewrite(f, lambda m: m.update(format=1)),
    "not JSON": lambda f: (f / B.MANIFEST).write_text("{"),
    "a list": lambda f: (f / B.MANIFEST).write_text("[]"),
    "NaN": lambda f: (f / B.MANIFEST).write_text((f / B.MANIFEST).read_text().replace('"format":2', '"format":NaN')),
    "parent path": lambda f: rewrite(f, lambda m: m["file"].update(name="../avatar.bin")),
    "absolute path": lambda f: rewrite(f, lambda m: m["file"].update(name="/etc/passwd")),
    "bomb": lambda f: replace_data(f, gzip.compress(bytes(50 << 20))),
    "announced bomb": lambda f: rewrite(f, lambda m: m["file"].update(inflated=1 << 40)),
    "trailing": lambda f: replace_data(f, (f / B.DATA).read_bytes()[:-9]),
    "shape": lambda f: rewrite(f, lambda m: m["arrays"]["mean"].update(shape=[1 << 20, 3])),
    "negative": lambda f: rewrite(f, lambda m: m["arrays"]["mean"].update(offset=-4)),
    "outside": lambda f: rewrite(f, lambda m: m["arrays"]["mean"].update(offset=1 << 27)),
    "dtype": lambda f: rewrite(f, lambda m: m["arrays"]["mean"].update(dtype="__class__")),
    "infinite": lambda f: rewrite(f, lambda m: m["arrays"]["mean"].update(scale=1e300)),
    "no triangles": lambda f: rewrite(f, lambda m: m["arrays"].pop("triangle")),
    "triangle out of range": lambda f: poke(f, "triangle", 65000),
    "morph out of range": lambda f: poke(f, "morph_index", 60000),
    "rows not a partition": lambda f: poke(f, "ring_start", 77),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_bundles_are_refused(folder, attack):
    HOSTILE[attack](folder)
    with pytest.raises(FileFormatError):
        B.read_bundle(folder)


def test_symlinks_are_refused(folder, tmp_path):
    (folder / B.DATA).rename(tmp_path / "elsewhere")
    (folder / B.DATA).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileFormatError):
        B.read_bundle(folder)


def test_web_folder_is_whole_or_absent(avatar, tmp_path, monkeypatch):
    web.save_web(avatar, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*web.PAGE, web.AVATAR, web.SPEECH}
    with pytest.raises(InputError):
        web.save_web(avatar, tmp_path / "out")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(B.Bundle, "save", full)
    with pytest.raises(AvatarError):
        web.save_web(avatar, tmp_path / "other")
    assert {p.name for p in tmp_path.iterdir()} == {"out"}


def test_page_is_small_and_strict():
    page = web.page_files()
    assert len(page["player.js"]) < 200_000
    text = page["index.html"].decode()
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in text
    assert "<script>" not in text
    assert "style=" not in text
    for forbidden in (b"innerHTML", b"insertAdjacentHTML", b"document.write", b"eval(", b"new Function"):
        assert forbidden not in page["player.js"]
