"""What trembles is calmed, what moves is not slowed."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.capture import faces
from avatars.tracking.denoise import denoised, steadied


def _marks(frames: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(100, 400, size=(1, 478, 3)) + noise * rng.normal(size=(frames, 478, 3))


def test_a_still_face_gets_the_mean_of_twenty_one_frames() -> None:
    found = denoised(_marks(41, 0.03), (512, 512)) - _marks(41, 0.0)
    assert np.sqrt((found[10:-10] ** 2).mean()) == pytest.approx(0.03 / 21**0.5, rel=0.05)


def test_a_picture_twice_as_large_may_tremble_twice_as_much() -> None:
    marks = _marks(20, 0.3)
    np.testing.assert_allclose(denoised(2 * marks, (1024, 512)), 2 * denoised(marks, (512, 512)), atol=1e-9)


def test_a_part_that_moves_is_left_alone() -> None:
    marks, lips = _marks(30, 0.0), list(faces.LIPS)
    marks[15:18, lips, 1] += 4.0  # a plosive of three frames
    marks[:, list(faces.IRIS_L), 0] += np.arange(30)[:, None] * 2.0
    np.testing.assert_allclose(denoised(marks, (512, 512)), marks, atol=0.01)


def test_few_frames() -> None:
    for count in (1, 2):
        assert denoised(_marks(count, 0.1), (512, 512)).shape == (count, 478, 3)


_NAMES = ("jawOpen", "eyeBlinkLeft")


def test_a_resting_face_does_not_jump_between_expressions() -> None:
    jumps = np.where(np.random.default_rng(2).uniform(size=(200, 2)) < 0.5, 0.0, 0.01).astype(np.float32)
    calm = steadied(jumps, _NAMES, _marks(200, 0.03), (512, 512))
    assert calm.dtype == np.float32
    np.testing.assert_allclose(calm[10:-10].std(0), jumps.std(0) / 21**0.5, rtol=0.25)  # as many frames, alike


def test_eyes_move_while_the_mouth_rests() -> None:
    marks = _marks(30, 0.0)
    marks[:, list(faces.EYE_L), 1] += 3.0 * (np.arange(30) % 2)[:, None]
    expression = np.tile((np.arange(30) % 2)[:, None], (1, 2)).astype(float)
    calm = steadied(expression, _NAMES, marks, (512, 512))
    # A lid that is where it was two frames ago may be averaged with then, not with the frame between.
    np.testing.assert_allclose(calm[:, 1], expression[:, 1], atol=1e-6)
    np.testing.assert_allclose(calm[8:-8, 0], 0.5, atol=0.06)


def test_a_moving_mouth_is_left_alone() -> None:
    marks, expression = _marks(30, 0.0), np.zeros((30, 2))
    marks[15:18, list(faces.LIPS), 1] += 4.0
    expression[15:18, 0] = 1.0
    np.testing.assert_allclose(steadied(expression, _NAMES, marks, (512, 512)), expression, atol=1e-6)
