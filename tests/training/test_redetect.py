"""Re-detected landmarks: the arithmetic on made-up faces, and the detector on real frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatars.capture import faces
from avatars.training import redetect

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "clips"


def _faces(count: int = 40) -> np.ndarray:
    """[T, 478, 2] landmarks whose lids and lips open and close, each eye in its own time."""
    rng = np.random.default_rng(0)
    points = np.tile(rng.uniform(100, 400, (478, 2)), (count, 1, 1))
    phase = np.linspace(0, 9, count)
    for (*pairs, ends), shift in zip(redetect._LIDS, (0.0, 1.0), strict=True):
        points[:, ends[0]], points[:, ends[1]] = (200, 200), (240, 200)
        for upper, lower in pairs:
            points[:, lower] = (220, 206)
            points[:, upper, 0], points[:, upper, 1] = 220, 200 + 5 * np.sin(phase + shift)
    points[:, 33], points[:, 263], points[:, 168], points[:, 152] = (150, 200), (250, 200), (200, 200), (200, 300)
    for upper, lower in redetect._INNER_LIPS:
        points[:, upper], points[:, lower, 0] = (200, 260), 200
        points[:, lower, 1] = 262 + 8 * np.sin(2 * phase) ** 2
    return points


def test_equal_faces_are_at_distance_zero_and_correlate():
    seen = _faces()
    found = redetect.figures(seen, seen, 512)
    assert found["redetected_px"] == found["redetected_px_lips"] == 0
    for name in ("lid", "mouth"):
        assert found[f"{name}_correlation"] == pytest.approx(1)
        assert found[f"{name}_ratio"] == pytest.approx(1)
    assert found["redetected_share"] == 1


def test_distances_are_given_at_512_and_by_region():
    seen = _faces()
    moved = seen.copy()
    moved[:, list(faces.LIPS)] += (3.0, 4.0)
    found = redetect.figures(moved, seen, 1024)
    assert found["redetected_px_lips"] == pytest.approx(2.5)
    assert found["redetected_px_irises"] == 0
    assert found["redetected_px"] == pytest.approx(2.5 * len(set(faces.LIPS)) / 478)


def test_half_a_blink_keeps_its_correlation_and_halves_its_ratio():
    seen = _faces()
    drawn = seen.copy()
    for *pairs, _ in redetect._LIDS:
        for upper, _ in pairs:
            drawn[:, upper, 1] = 200 + 0.5 * (seen[:, upper, 1] - 200)
    found = redetect.figures(drawn, seen, 512)
    assert found["lid_correlation"] == pytest.approx(1)
    assert found["lid_ratio"] == pytest.approx(0.5)
    assert found["mouth_ratio"] == pytest.approx(1)


def test_eyes_that_never_blink_have_no_correlation():
    seen = _faces()
    stiff = np.tile(seen[:1], (len(seen), 1, 1))
    found = redetect.figures(stiff, seen, 512)
    assert "lid_correlation" not in found
    assert "mouth_correlation" not in found
    assert found["redetected_px"] > 0


def test_lost_faces_are_counted_and_left_out():
    seen = _faces()
    drawn = seen.copy()
    drawn[::4] = np.nan
    found = redetect.figures(drawn, seen, 512)
    assert found["redetected_share"] == pytest.approx(0.75)
    assert found["redetected_px"] == 0
    drawn[:] = np.nan
    assert redetect.figures(drawn, seen, 512) == {"redetected_share": 0.0}


def test_a_picture_without_a_face_gives_nan():
    assert np.isnan(redetect.detect([np.full((96, 96, 3), 128, np.uint8)])).all()


@pytest.mark.footage
def test_the_detector_follows_a_shifted_frame():
    """Three pixels to the right are three pixels to the right, to what a crop of the detector's own moves them."""
    video = CLIPS / "obama_512.mp4"
    if not video.exists():
        pytest.skip("the clips are not beside the checkout (../shared/clips)")
    import imageio.v3 as imageio

    frame = np.asarray(imageio.imread(video, index=0, plugin="pyav"))
    found = redetect.detect([frame, np.roll(frame, 3, 1)])
    move = np.median(found[1] - found[0], axis=0)
    assert move == pytest.approx([3.0, 0.0], abs=0.5)  # the detector crops the shifted picture anew: 0.35 px off here
