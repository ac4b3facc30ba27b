"""Eyes that a detector leaves a slit open are shut; open ones are left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatars.capture.lids import opening
from avatars.heads.anny import default_head
from avatars.heads.head import HeadModel
from avatars.tracking.lids import shut_lids

HEAD = default_head()
BLINKS = [HEAD.expression_names.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
MET = 0.94
"""Where the landmarks on the default head's lids meet."""


def _face(blink: np.ndarray) -> np.ndarray:
    out = np.zeros((len(blink), len(HEAD.expression_names)), np.float32)
    out[:, BLINKS] = blink[:, None]
    return out


def _seen(blink: np.ndarray, gap: float = 0.05) -> np.ndarray:
    """Landmarks [T, 478, 2] px of a head that blinks so far, with a gap left between lids that have met, as share of
    an eye's width.
    """
    body, still = HeadModel(HEAD), torch.eye(3).expand(len(blink), 3, 3)
    place = torch.zeros(len(blink), 3)
    posed = body.pose(torch.from_numpy(_face(np.minimum(blink, MET))), still, place, still, place)
    marks = 4000 * body.landmarks(posed).numpy()[..., :2]
    height = opening(marks)
    usual = height.max(0)
    for eye, (upper, lower, ends) in enumerate(
        (((386, 385, 387), (374, 380, 373), (362, 263)), ((159, 158, 160), (145, 153, 144), (33, 133)))
    ):
        width = np.linalg.norm(marks[:, ends[0]] - marks[:, ends[1]], axis=1)
        # A detector's lids come together evenly, down to the gap.
        wanted = gap + (1 - np.minimum(blink / MET, 1)) * (usual[eye] - gap)
        middle = (marks[:, upper] + marks[:, lower]).mean(1, keepdims=True) / 2
        half = 0.5 * (wanted * width)[:, None, None] * np.array([0.0, 1.0])
        marks[:, upper], marks[:, lower] = middle + half, middle - half
    return marks


def test_a_slit_is_shut_and_half_open_eyes_hardly_move() -> None:
    truth = np.r_[np.zeros(12), 0.3, 0.5, MET, MET, 0.5, 0.3, np.zeros(12)]
    fitted = _face(truth * 0.87)  # a fit that is held back by what faces usually do
    out = shut_lids(fitted, _seen(truth), HEAD)
    assert (out[14:16][:, BLINKS] > 0.97 * MET).all()
    assert (out[14:16][:, BLINKS] < 1.15 * MET).all()
    np.testing.assert_array_equal(out[:12], fitted[:12])
    moved = out[[12, 17]][:, BLINKS] - fitted[[12, 17]][:, BLINKS]
    assert np.abs(moved).max() < 0.08
    others = [i for i in range(out.shape[1]) if i not in BLINKS]
    np.testing.assert_array_equal(out[:, others], fitted[:, others])


def test_each_eye_is_shut_by_itself() -> None:
    truth = np.r_[np.zeros(10), MET, MET, np.zeros(10)]
    fitted, marks = _face(0.85 * truth), _seen(truth)
    left = [386, 385, 387, 374, 380, 373]
    marks[:, left] = _seen(np.zeros(22))[:, left]  # a wink
    fitted[:, BLINKS[0]] = 0
    out = shut_lids(fitted, marks, HEAD)
    assert (out[:, BLINKS[0]] == 0).all()
    assert (out[10:12, BLINKS[1]] > 0.95 * MET).all()


@pytest.mark.parametrize("frames", [1, 2])
def test_eyes_that_never_blink_stay_as_they_are(frames: int) -> None:
    fitted = _face(np.full(frames, 0.1))
    np.testing.assert_array_equal(shut_lids(fitted, _seen(np.full(frames, 0.1)), HEAD), fitted)


def test_a_head_without_blinks_or_lids_is_left_alone() -> None:
    truth = np.r_[np.zeros(6), MET, np.zeros(6)]
    fitted = _face(0.8 * truth)
    nameless = replace(HEAD, expression_names=tuple(f"axis {i}" for i in range(len(HEAD.expression_names))))
    np.testing.assert_array_equal(shut_lids(fitted, _seen(truth), nameless), fitted)
    faces = HEAD.landmark_faces.copy()
    faces[[386, 385, 387, 159, 158, 160]] = -1
    np.testing.assert_array_equal(shut_lids(fitted, _seen(truth), replace(HEAD, landmark_faces=faces)), fitted)
