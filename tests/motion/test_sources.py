from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from avatars.data import Motion
from avatars.errors import FileFormatError
from avatars.heads.head import Head, HeadModel
from avatars.motion.coefficients import speaks_arkit, to_arkit
from avatars.motion.livelink import write_csv
from avatars.motion.sources import load_motion, motion_of_csv, motion_of_track, resample, save_motion
from avatars.training.views import FACING
from tests.motion.making import a_motion, an_avatar


def other_language(head: Head, seed: int = 0) -> tuple[Head, np.ndarray]:
    """The same head with its expression axes mixed, and the mixture: an orthogonal [52, 52]."""
    mix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(52, 52)))
    mixed = mix.T.astype(np.float32)
    bound = np.full(52, 4.0, np.float32)
    return replace(
        head,
        expression_basis=np.tensordot(mixed, head.expression_basis, 1),
        joint_from_expression=np.tensordot(mixed, head.joint_from_expression, 1),
        expression_names=tuple(f"axis{i}" for i in range(52)),
        expression_low=-bound,
        expression_high=bound,
        arkit=mix.astype(np.float32),
    ), mix


def test_track_to_motion_is_relative_to_the_camera_and_the_usual_place() -> None:
    sent = a_motion(3, neutral=0.2, reach=0.7)
    avatar = an_avatar(sent)
    back = motion_of_track(avatar.track, avatar.head)
    np.testing.assert_allclose(back.arkit, sent.arkit, atol=1e-6)
    np.testing.assert_allclose(back.rotation, sent.rotation, atol=1e-6)
    np.testing.assert_allclose(back.translation, sent.translation - np.median(sent.translation, 0), atol=1e-6)


def test_looking_left_and_leaning_forward_have_the_right_signs() -> None:
    avatar = an_avatar()
    rotation = Rotation.from_matrix(FACING @ Rotation.from_rotvec([0, 0.3, 0]).as_matrix())
    looks = rotation.as_matrix() @ np.array([0.0, 0.0, 1.0])
    assert looks[0] > 0  # to the picture's right, the left of a subject who faces the camera
    assert looks[2] < 0
    track = replace(avatar.track, translation=avatar.track.translation.copy())
    track.translation[:10, 2] -= 0.05  # nearer to the camera
    motion = motion_of_track(track, avatar.head)
    assert (motion.translation[:10, 2] - motion.translation[10:20, 2]).mean() > 0.03


def test_another_heads_expression_becomes_arkit() -> None:
    """What comes out makes the same face, vertex by vertex."""
    avatar = an_avatar()
    head, mix = other_language(avatar.head)
    assert speaks_arkit(avatar.head)
    assert not speaks_arkit(head)
    coefficients = a_motion(4, neutral=0.1, reach=0.8).arkit[::20]
    found = to_arkit(head, (coefficients @ mix).astype(np.float32))
    assert found.min() >= 0
    assert found.max() <= 1
    count = len(found)
    still, zero = torch.eye(3).expand(count, 3, 3), torch.zeros(count, 3)
    model = HeadModel(avatar.head)
    one, other = (
        model.pose(torch.from_numpy(c.astype(np.float32)), still, zero, still, zero) for c in (coefficients, found)
    )
    error = (one - other)[:, avatar.head.regions["face"]].norm(dim=-1)
    assert float(error.max()) < 0.0006  # measured 0.00028 m
    assert float(error.mean()) < 0.00006  # measured 0.00002 m


def test_csv_turns_about_the_neck(tmp_path: Path) -> None:
    sent = replace(a_motion(6, 0.1, 0.5), rotation=np.tile([0.0, 0.0, 0.3], (120, 1)))
    write_csv(sent, tmp_path / "x.csv")
    motion = motion_of_csv(tmp_path / "x.csv")
    turn = Rotation.from_rotvec(motion.rotation)
    pivot = np.array([0.0, -0.1, -0.02])
    np.testing.assert_allclose(turn.apply(pivot) + motion.translation, np.tile(pivot, (120, 1)), atol=1e-9)
    assert motion.translation[0, 0] < -0.02  # tilting to the right shoulder takes the head there


def test_resampling_keeps_what_was_there() -> None:
    sent = a_motion(8, 0.2, 0.7)
    fine = resample(replace(sent, times=sent.times + 3.0), 50.0)
    assert fine.times[0] == 0
    np.testing.assert_allclose(np.diff(fine.times), 0.02, atol=1e-9)
    np.testing.assert_allclose(fine.arkit[::2], sent.arkit, atol=1e-9)
    np.testing.assert_allclose(fine.rotation[::2], sent.rotation, atol=1e-9)
    np.testing.assert_allclose(fine.translation[::2], sent.translation, atol=1e-9)
    assert len(resample(sent, 10.0).times) == 48


def test_gaps_are_bridged() -> None:
    sent = a_motion(8, 0.2, 0.7)
    keep = np.r_[0:50, 70:120]
    holed = Motion(*(getattr(sent, name)[keep] for name in ("times", "arkit", "rotation", "translation")))
    whole = resample(holed, 25.0)
    assert len(whole.times) == 120
    np.testing.assert_allclose(whole.arkit[59], (sent.arkit[49] * 11 + sent.arkit[70] * 10) / 21, atol=1e-9)


def test_motion_files(tmp_path: Path) -> None:
    sent = a_motion(9, 0.2, 0.7)
    save_motion(tmp_path / "m.safetensors", sent)
    np.testing.assert_array_equal(load_motion(tmp_path / "m.safetensors").arkit, sent.arkit)
    (tmp_path / "m.safetensors").write_bytes(b"nothing")
    with pytest.raises(FileFormatError):
        load_motion(tmp_path / "m.safetensors")
