"""Figures of quality fall with damage, and advice names what is wrong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avatars.capture.faces import FaceMesh
from avatars.capture.follow import jumps, yaw
from avatars.capture.quality import assess, blurred, measure

from .conftest import read_clip

BOX = np.random.default_rng(0).uniform([40, 40, 0], [150, 170, 1], (478, 3)).astype(np.float32)


def advice(sharpness: float = 300, brightness: float = 120, size: float = 240, spread: float = 0) -> list[str]:
    light = np.linspace(brightness - spread / 2, brightness + spread / 2, 50)
    return assess(np.full(50, sharpness), light, size, np.ones(50, bool))["advice"]


def test_advice_names_what_is_wrong() -> None:
    assert advice() == []
    assert "dark" in advice(brightness=30)[0]
    assert "overexposed" in advice(brightness=240)[0]
    assert "blurred" in advice(sharpness=20)[0]
    assert "small" in advice(size=80)[0]
    assert "light changes" in advice(spread=60)[0]


def test_sharpness_falls_with_blur_and_not_with_size() -> None:
    random = np.random.default_rng(0)
    gray = cv2.GaussianBlur(random.uniform(0, 255, (200, 200)).astype(np.float32), (0, 0), 1.5)
    image = np.repeat(gray[..., None], 3, 2).astype(np.uint8)
    values = [measure(cv2.GaussianBlur(image, (0, 0), s) if s else image, BOX)[0] for s in (0, 1, 2, 3, 5)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 5 * values[-1]
    double = cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert measure(double, BOX * 3)[0] == pytest.approx(values[0], rel=0.35)


def test_brightness_is_that_of_the_face() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[40:171, 40:151] = 90
    assert measure(image, BOX)[1] == pytest.approx(90, abs=2)
    assert np.isfinite(measure(image, BOX + 500)).all()  # outside the picture


def test_blurred_frames_are_outliers_of_their_clip() -> None:
    sharpness = np.array([100.0, 110, 95, 15, np.nan, 105])
    assert blurred(sharpness).tolist() == [False, False, False, True, False, False]
    assert not blurred(np.full(3, np.nan)).any()


def test_jumps_are_whole_faces_astray_for_one_frame() -> None:
    random = np.random.default_rng(0)
    still = random.uniform(0, 100, (478, 3)).astype(np.float32)
    track = np.repeat(still[None], 9, 0) + random.normal(0, 0.3, (9, 478, 3)).astype(np.float32)
    track[2, :60] += 20  # a blink, a plosive: few points
    track[5] += 15  # a damaged picture
    track[7] = np.nan
    assert np.flatnonzero(jumps(track)).tolist() == [5]
    sweep = still + 15 * np.arange(9, dtype=np.float32)[:, None, None]  # a fast, steady turn
    assert not jumps(sweep).any()


@pytest.mark.footage
def test_yaw_has_the_sign_of_the_turn() -> None:
    """Mirroring the picture mirrors the angle; a face turned to its own left shows more of its right cheek."""
    picture = read_clip("obama_512.mp4", 60)[::10]
    with FaceMesh(static=True) as mesh:
        for image in picture:
            points = mesh.detect(image)[0]
            mirrored = mesh.detect(np.ascontiguousarray(image[:, ::-1]))[0]
            assert yaw(points) == pytest.approx(-yaw(mirrored), abs=np.radians(4))
            right_cheek, left_cheek = points[1, 0] - points[234, 0], points[454, 0] - points[1, 0]
            if abs(yaw(points)) > np.radians(8):
                assert (yaw(points) > 0) == (right_cheek > left_cheek)
