"""PLY is exact, SPZ within its steps; damaged files are refused."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from avatars.errors import FileFormatError, InputError
from avatars.export import ply, spz
from avatars.export.posed import PosedSplats, neutral_pose, posed


@pytest.fixture(scope="module")
def splats(avatar) -> PosedSplats:
    return posed(avatar, neutral_pose(avatar))


def angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rotation between unit quaternions, degrees."""
    return np.degrees(2 * np.arccos(np.clip(np.abs((a.astype(float) * b).sum(1)), 0, 1)))


@pytest.mark.parametrize("axes", ply.AXES)
@pytest.mark.parametrize("degree", [0, 3])
def test_ply_round_trip(splats, tmp_path, axes, degree):
    ply.save_ply(splats, tmp_path / "a.ply", axes=axes, sh_degree=degree)
    back = ply.read_ply(tmp_path / "a.ply")
    assert np.array_equal(back.means, splats.means)
    assert angle(back.wxyz, splats.wxyz).max() < 0.05  # arccos of 1 - 1e-7
    assert np.allclose(back.scales, splats.scales, rtol=1e-6)
    assert np.allclose(back.opacities, splats.opacities, atol=2e-7)
    assert np.allclose(back.colors, splats.colors, atol=1e-6)
    size = 17 + 3 * ((degree + 1) ** 2 - 1)
    header = (tmp_path / "a.ply").read_bytes().split(b"end_header\n")[0]
    assert (tmp_path / "a.ply").stat().st_size == len(header) + 11 + 4 * size * len(splats)
    assert f"comment axes {axes}".encode() in header


def test_colmap_axes_turn_half_about_x(splats):
    flipped = np.frombuffer(ply.ply_bytes(splats, axes="colmap").split(b"end_header\n", 1)[1], "<f4").reshape(-1, 17)
    assert np.allclose(flipped[:, :3], splats.means * [1, -1, -1])


def test_spz_round_trip_within_its_steps(splats, tmp_path):
    spz.save_spz(splats, tmp_path / "a.spz")
    back = spz.read_spz(tmp_path / "a.spz")
    assert np.abs(back.means - splats.means).max() <= spz.STEP / 2 + 1e-8
    least = np.exp(-10)  # 45 um: the format knows nothing thinner
    assert np.abs(np.log(back.scales / splats.scales.clip(least))).max() <= spz.LOG_SCALE_STEP / 2 + 1e-5
    assert np.abs(back.opacities - splats.opacities).max() <= 0.5 / 255 + 1e-6
    inside = np.abs(splats.colors - 0.5) < ply.SH0 / 0.3
    assert np.abs(back.colors - splats.colors)[inside].max() <= ply.SH0 / 0.15 / 255 * 0.51
    assert angle(back.wxyz, splats.wxyz).max() < 0.3  # 9 bits of 1/sqrt 2 in three components: 0.25
    assert (tmp_path / "a.spz").read_bytes() == spz.spz_bytes(splats)


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:40], lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b + b"\0\0\0\0", lambda b: b"PK" + b[2:],
        lambda b: b.replace(b"float opacity", b"float opasity"), lambda b: b.replace(b"vertex 3000", b"vertex 9000"),
        lambda b: b.replace(b"float x\n", b"uchar x\n"), lambda b: b[:-4] + struct.pack("<f", float("nan")),
    ],
)  # fmt: skip
def test_damaged_ply_is_refused(splats, tmp_path, damage):
    (tmp_path / "a.ply").write_bytes(damage(ply.ply_bytes(splats)))
    with pytest.raises(FileFormatError):
        ply.read_ply(tmp_path / "a.ply")


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:100], lambda b: b"", lambda b: gzip.compress(b"\0" * 100),
        lambda b: gzip.compress(b"\0" + gzip.decompress(b)[1:]), lambda b: gzip.compress(gzip.decompress(b) + b"\0"),
        lambda b: gzip.compress(gzip.decompress(b)[:8] + b"\xff" * 4 + gzip.decompress(b)[12:]),
        lambda b: gzip.compress(gzip.decompress(b)[:4] + b"\4\0\0\0" + gzip.decompress(b)[8:]),
    ],
)  # fmt: skip
def test_damaged_spz_is_refused(splats, tmp_path, damage):
    (tmp_path / "a.spz").write_bytes(damage(spz.spz_bytes(splats)))
    with pytest.raises(FileFormatError):
        spz.read_spz(tmp_path / "a.spz")


def test_bad_arguments_are_refused(splats):
    with pytest.raises(InputError):
        ply.ply_bytes(splats, axes="z-up")
    with pytest.raises(InputError):
        ply.ply_bytes(splats, sh_degree=4)
    with pytest.raises(InputError):
        spz.spz_bytes(splats.moved(np.array([[1, 0, 0, 200], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])))
