"""Every kind of video comes out upright, in the right colours, at the right times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avatars.capture.video import frames, probe

from .making import COLORS, PLAIN, moving, quadrant_means, quadrants, tone, turned, write_video

CLOSE = 2.0
"""Of 255, mean colour of a flat patch; asked for by the list of faults."""


def read(path: Path, **options: object) -> tuple[np.ndarray, list[np.ndarray], list[str]]:
    warnings: list[str] = []
    pairs = list(frames(path, warnings=warnings, **options))  # type: ignore[arg-type]
    return np.array([t for t, _ in pairs]), [image for _, image in pairs], warnings


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi"])
def test_containers(tmp_path: Path, suffix: str) -> None:
    codec = {"webm": "libvpx-vp9", "avi": "mpeg4"}.get(suffix, "libx264")
    options = {"avi": {"qscale": "2", "bf": "2"}}.get(suffix)  # bf: pictures are stored out of order
    path = write_video(tmp_path / f"clip.{suffix}", moving(30), codec=codec, options=options)
    times, images, warnings = read(path)
    assert len(images) == 30
    assert not warnings
    # Matroska counts milliseconds.
    np.testing.assert_allclose(times, np.arange(30) / 30, atol=1e-3)
    np.testing.assert_allclose(quadrant_means(images[0]), COLORS, atol=6 if suffix in ("webm", "avi") else CLOSE)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_display_matrix(tmp_path: Path, degrees: int, mirrored: bool) -> None:
    path = write_video(tmp_path / "turned.mp4", moving(3), turn=turned(degrees, mirrored))
    wanted = np.rot90(quadrants()[:, ::-1] if mirrored else quadrants(), degrees // 90)
    info = probe(path)
    assert (info.width, info.height) == wanted.shape[1::-1]
    _, images, _ = read(path)
    np.testing.assert_allclose(quadrant_means(images[0]), quadrant_means(wanted), atol=CLOSE)


def test_meaningless_display_matrix_is_ignored_and_said(tmp_path: Path) -> None:
    """A matrix without inverse is what libav reports as NaN degrees."""
    info = probe(write_video(tmp_path / "zero.mp4", moving(3), turn=[0, 0, 0, 0, 0, 0, 0, 0, 1 << 30]))
    assert info.orientation.quarters == 0
    assert any("rotation" in w for w in info.warnings)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_box_and_size_are_upright(tmp_path: Path, degrees: int) -> None:
    """A box cut while reading is the box cut from the whole upright picture."""
    picture = np.dstack(np.broadcast_arrays(*np.mgrid[0:64:1, 0:96:1], 100)).astype(np.uint8) * np.uint8([3, 2, 1])
    path = write_video(tmp_path / "ramp.mp4", [picture] * 3, turn=turned(degrees), pix_fmt="yuv444p")
    whole = read(path)[1][0]
    part = read(path, box=(10, 20, 32, 24))[1][0]
    np.testing.assert_allclose(part, whole[20:44, 10:42].astype(float), atol=1)
    half = read(path, box=(10, 20, 32, 24), size=(16, 12))[1][0]
    means = whole[20:44, 10:42].reshape(12, 2, 16, 2, 3).mean((1, 3))
    np.testing.assert_allclose(half[1:-1, 1:-1], means[1:-1, 1:-1], atol=2)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate_keeps_presentation_times(tmp_path: Path, suffix: str) -> None:
    steps = np.random.default_rng(0).uniform(0.01, 0.12, 40)
    times = np.cumsum(steps) - steps[0]
    path = write_video(tmp_path / f"vfr.{suffix}", moving(40), times=times.tolist())
    np.testing.assert_allclose(read(path)[0], times, atol=1e-3)


def test_ntsc_rate_is_exact(tmp_path: Path) -> None:
    path = write_video(tmp_path / "ntsc.mp4", moving(60), rate=Fraction(30000, 1001))
    assert probe(path).rate == pytest.approx(30000 / 1001)
    np.testing.assert_allclose(read(path)[0], np.arange(60) * 1001 / 30000, atol=1e-6)


def test_first_picture_is_time_zero(tmp_path: Path) -> None:
    times = (np.arange(20) / 30 + 0.5).tolist()
    path = write_video(tmp_path / "late.mkv", moving(20), times=times)
    assert probe(path).start == pytest.approx(0.5, abs=1e-3)
    np.testing.assert_allclose(read(path)[0], np.arange(20) / 30, atol=1e-3)


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_colors(tmp_path: Path, matrix: str, full: bool, pix_fmt: str) -> None:
    path = write_video(tmp_path / "c.mp4", moving(3), matrix=matrix, full=full, pix_fmt=pix_fmt)
    np.testing.assert_allclose(quadrant_means(read(path)[1][0]), COLORS, atol=CLOSE)


def test_untagged_video_is_read_as_players_do(tmp_path: Path) -> None:
    """BT.601 when small, BT.709 from 720 lines on."""
    for height, matrix in ((64, "bt601"), (720, "bt709")):
        pictures = [quadrants(96, height)] * 2
        # AVI has no place for the tag, and this codec writes none.
        path = write_video(tmp_path / f"{height}.avi", pictures, matrix=matrix, codec="ffv1", pix_fmt="yuv444p")
        with av.open(str(path)) as container:
            assert next(container.decode(video=0)).colorspace == 2
        np.testing.assert_allclose(quadrant_means(read(path)[1][0]), COLORS, atol=CLOSE)


def test_hlg_white_and_grey(tmp_path: Path) -> None:
    """BT.2408: HLG's 75 % is SDR's white; BT.2100 gives 50 % as 0.0833 x (0.0833)^0.2 x 1000 / 203 of it."""
    codes = np.array([0.75, 0.5, 0.25, 0.0]) * 255
    picture = np.repeat(codes[quadrants_index()][..., None], 3, -1).astype(np.uint8)
    path = write_video(
        tmp_path / "hlg.mp4", [picture] * 3, matrix="bt2020", transfer=18, primaries=9, pix_fmt="yuv420p10le"
    )
    grey = quadrant_means(read(path)[1][0])
    light = (1 / 12) ** 1.2 * 1000 / 203
    middle = 255 * (1.055 * light ** (1 / 2.4) - 0.055)
    assert grey[0].min() > 240  # rolled off near white, not cut
    np.testing.assert_allclose(grey[1], middle, atol=3)
    assert grey[0].mean() > grey[1].mean() > grey[2].mean() > grey[3].mean()
    assert grey[3].max() < 2
    assert any("HDR" in w for w in probe(path).warnings)


def quadrants_index() -> np.ndarray:
    """[64, 96] number of the quadrant of each pixel."""
    return 2 * (np.arange(64) >= 32).astype(int)[:, None] + (np.arange(96) >= 48).astype(int)


def test_wide_gamut(tmp_path: Path) -> None:
    """A colour of Display P3 inside sRGB keeps its XYZ; grey stays grey."""
    srgb = np.array([180, 90, 70]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    # Linear P3 from linear sRGB, as CSS Color 4 prints it.
    p3 = np.array([[0.8224621, 0.177538, 0], [0.0331941, 0.9668058, 0], [0.0170827, 0.0723974, 0.9105199]]) @ linear
    coded = np.round(255 * (1.055 * p3 ** (1 / 2.4) - 0.055)).astype(np.uint8)
    picture = np.full((64, 96, 3), 128, np.uint8)
    picture[:, :48] = coded
    path = write_video(tmp_path / "p3.mov", [picture] * 3, matrix="bt709", transfer=1, primaries=12)
    means = quadrant_means(read(path)[1][0])
    np.testing.assert_allclose(means[0], [180, 90, 70], atol=CLOSE)
    np.testing.assert_allclose(means[1], 128, atol=CLOSE)


@pytest.mark.parametrize(("width", "height"), [(97, 65), (33, 64)])
def test_odd_sizes(tmp_path: Path, width: int, height: int) -> None:
    path = write_video(tmp_path / "odd.mkv", moving(3, width, height), codec="ffv1", pix_fmt="yuv444p")
    image = read(path)[1][0]
    assert image.shape == (height, width, 3)
    np.testing.assert_allclose(quadrant_means(image), COLORS, atol=CLOSE)


def test_oblong_pixels_become_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "sar.mp4", moving(3), aspect=Fraction(4, 3), turn=turned(90))
    assert (probe(path).width, probe(path).height) == (64, 128)
    image = read(path)[1][0]
    assert image.shape == (128, 64, 3)
    np.testing.assert_allclose(quadrant_means(image), quadrant_means(np.rot90(quadrants(128, 64))), atol=CLOSE)


def test_transparency_is_shown_on_white(tmp_path: Path) -> None:
    picture = np.dstack([quadrants(), np.full((64, 96), 255, np.uint8)])
    picture[:32, :48, 3] = 0
    path = write_video(tmp_path / "alpha.mov", [picture] * 3, codec="qtrle", pix_fmt="argb")
    wanted = COLORS.astype(float)
    wanted[0] = 255
    np.testing.assert_allclose(quadrant_means(read(path)[1][0]), wanted, atol=CLOSE)


def test_interlaced_combs_are_removed(tmp_path: Path) -> None:
    """A bar that moves between fields: woven lines alternate, deinterlaced ones do not."""
    pictures = []
    for i in range(12):
        fields = []
        for j in (0, 1):
            picture = np.full((64, 96, 3), 40, np.uint8)
            x = 4 * (2 * i + j) % 70
            picture[:, x : x + 12] = 220
            fields.append(picture)
        woven = fields[0].copy()
        woven[1::2] = fields[1][1::2]
        pictures.append(woven)
    path = write_video(tmp_path / "fields.mp4", pictures, options=PLAIN | {"flags": "+ildct+ilme"}, interlaced=True)
    info = probe(path)
    assert info.interlaced
    times, images, _ = read(path)
    assert len(images) == 12
    np.testing.assert_allclose(times, np.arange(12) / 30, atol=1e-3)

    def comb(image: np.ndarray) -> float:
        gray = image[..., 1].astype(float)
        return float(np.abs(gray[1:-1] - (gray[:-2] + gray[2:]) / 2).mean())

    assert np.mean([comb(i) for i in images]) < 0.2 * np.mean([comb(i) for i in pictures])


def test_sound_does_not_hide_where_the_picture_ends(tmp_path: Path) -> None:
    """Sound that outlasts the picture is no sign of damage."""
    path = write_video(tmp_path / "long.mkv", moving(30), sound=tone(2.0, 48000))
    _, images, warnings = read(path)
    assert len(images) == 30
    assert not warnings


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    path = write_video(tmp_path / "twice.mp4", moving(30))
    first, second = read(path), read(path)
    assert (first[0] == second[0]).all()
    assert all((a == b).all() for a, b in zip(first[1], second[1], strict=True))
