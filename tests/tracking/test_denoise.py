"""What trembles is calmed, what moves is not slowed."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.capture import faces
from avatars.tracking.denoise import denoised


def _marks(frames: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(100, 400, size=(1, 478, 3)) + noise * rng.normal(size=(frames, 478, 3))


def test_a_still_face_gets_the_mean_of_nine_frames() -> None:
    found = denoised(_marks(41, 0.03), (512, 512)) - _marks(41, 0.0)
    assert np.sqrt((found[4:-4] ** 2).mean()) == pytest.approx(0.01, rel=0.05)


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
