from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from avatars import geometry
from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.splats.model import Pose
from avatars.training import corrections
from tests.training.scene import make_scene


def _moved(pose: Pose, seed: int) -> tuple[Pose, Pose]:
    """Poses before and after a correction that depends on them linearly."""
    gain = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 3)).astype(np.float32)) * 0.05
    turn = geometry.rotvec_from_matrix(pose.rotation @ pose.rotation[:1].transpose(-1, -2))
    after = Pose(
        pose.expression.clone(),
        pose.rotation,
        pose.translation + turn @ gain + 0.002,
        pose.torso_rotation,
        pose.torso_translation + 0.1 * (pose.translation - pose.translation.mean(0)),
    )
    return pose, after


def test_a_linear_correction_is_learnt_and_carries_to_new_frames() -> None:
    head, _, track = make_scene(frames=80, size=16)
    before, after = _moved(Pose.of_track(track), 0)
    learned = corrections.fit(before, after, np.arange(64), head.expression_names)
    found = corrections.apply(learned, before, head.expression_low, head.expression_high)
    error = (found.translation - after.translation)[64:].norm(dim=1)
    none = (before.translation - after.translation)[64:].norm(dim=1)
    assert float(error.mean()) < 0.3 * float(none.mean())
    torso = (found.torso_translation - after.torso_translation)[64:].norm(dim=1)
    assert float(torso.mean()) < 0.5 * float(
        (before.torso_translation - after.torso_translation)[64:].norm(dim=1).mean()
    )


def test_noise_is_not_learnt() -> None:
    head, _, track = make_scene(frames=80, size=16)
    before = Pose.of_track(track)
    noise = torch.from_numpy(np.random.default_rng(1).normal(size=(80, 3)).astype(np.float32)) * 0.003
    after = Pose(
        before.expression, before.rotation, before.translation + noise, before.torso_rotation, before.torso_translation
    )
    learned = corrections.fit(before, after, np.arange(80), head.expression_names)
    found = corrections.apply(learned, before, head.expression_low, head.expression_high)
    assert float((found.translation - before.translation).norm(dim=1).mean()) < 0.0025


def test_nothing_learnt_changes_nothing(scene: tuple[Head, Clip, Track]) -> None:
    head, _, track = scene
    pose = Pose.of_track(track)
    assert corrections.apply({}, pose, head.expression_low, head.expression_high) is pose
    learned = corrections.fit(pose, pose, np.arange(len(pose)), head.expression_names)
    found = corrections.apply(learned, pose, head.expression_low, head.expression_high)
    torch.testing.assert_close(found.rotation, pose.rotation, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.expression, pose.expression, atol=1e-5, rtol=0)


def test_eyes_do_not_pay_for_the_lips() -> None:
    """Noise in the gaze beside a lawful lip: the lip is corrected and the gaze left alone."""
    head, _, track = make_scene(frames=80, size=16)
    before = Pose.of_track(track)
    names = head.expression_names
    gaze, lip = names.index("eyeLookUpLeft"), names.index("mouthFunnel")
    expression = before.expression.clone()
    expression[:, lip] += 0.2 + 0.5 * before.expression[:, names.index("jawOpen")]
    expression[:, gaze] += torch.from_numpy(np.random.default_rng(2).normal(size=80).astype(np.float32)) * 0.05
    after = Pose(expression, before.rotation, before.translation, before.torso_rotation, before.torso_translation)
    learned = corrections.fit(before, after, np.arange(80), names)
    found = corrections.apply(learned, before, head.expression_low - 1, head.expression_high + 1)
    assert float((found.expression - after.expression)[:, lip].abs().mean()) < 0.01
    moved = (found.expression - before.expression)[:, gaze]
    assert float(moved.abs().mean()) < 0.005  # of noise of 0.04; 0.003 measured


def test_poses_beyond_the_training_are_corrected_as_its_outermost_ones() -> None:
    """Squares of a turn fit within the footage; twice as far they would ask for four times as much."""
    head, _, track = make_scene(frames=80, size=16)
    before = Pose.of_track(track)
    turn = geometry.rotvec_from_matrix(before.rotation @ before.rotation[:1].transpose(-1, -2))
    after = replace(before, translation=before.translation + 0.3 * turn**2)
    learned = corrections.fit(before, after, np.arange(80), head.expression_names)
    far = replace(before, rotation=geometry.matrix_from_rotvec(4 * turn) @ before.rotation[:1])
    low, high = head.expression_low, head.expression_high
    moved = corrections.apply(learned, far, low, high).translation - far.translation
    most = (corrections.apply(learned, before, low, high).translation - before.translation).abs().amax(0)
    assert bool((moved.abs().amax(0) < 2.5 * most + 1e-4).all())  # 16 times as much without


def test_a_little_more_noise_makes_no_other_face() -> None:
    """What two strengths explain alike must not be decided between them by a hair."""
    head, _, track = make_scene(frames=80, size=16)
    before = Pose.of_track(track)
    rng = np.random.default_rng(0)
    lips = [i for i, name in enumerate(head.expression_names) if name.startswith("mouth")]
    gain = torch.from_numpy(rng.normal(size=(before.expression.shape[1], len(lips))).astype(np.float32))
    found = []
    noise = torch.from_numpy(rng.normal(size=(80, len(lips))).astype(np.float32))
    for size in np.linspace(0.05, 0.5, 46):
        expression = before.expression.clone()
        expression[:, lips] += 0.1 * before.expression @ gain + float(size) * noise
        learned = corrections.fit(before, replace(before, expression=expression), np.arange(80), head.expression_names)
        found.append(corrections.apply(learned, before, head.expression_low - 9, head.expression_high + 9).expression)
    steps = torch.stack([(b - a).square().mean().sqrt() for a, b in pairwise(found)])
    assert float(steps.max()) < 3 * float(steps.median())  # 1.8; with the best strength alone 55


def test_what_a_place_travels_is_what_a_small_movement_does() -> None:
    rng = np.random.default_rng(3)
    places, turned = rng.normal(size=(5, 3)) * 0.1, Rotation.from_rotvec(rng.normal(size=3))
    small = 1e-5 * rng.normal(size=6)
    before = turned.apply(places)
    after = (Rotation.from_rotvec(small[:3]) * turned).apply(places) + small[3:]
    found = small @ corrections._travel(places, turned.as_matrix())
    np.testing.assert_allclose(found.reshape(-1, 3), (after - before) * [1, 1, corrections._DEPTH], atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_turn_is_never_believed_without_the_shift_that_goes_with_it(seed: int) -> None:
    """Refined heads turn about a point that is not their origin: half of such a movement is worse than none."""
    head, _, track = make_scene(frames=80, size=16)
    before, rng = Pose.of_track(track), np.random.default_rng(seed)
    lawful = 0.05 * before.expression[:, [head.expression_names.index("jawOpen")]]
    turn = lawful * torch.tensor([1.0, 0, 0]) + torch.from_numpy(0.05 * rng.normal(size=(80, 3)).astype(np.float32))
    spin = geometry.matrix_from_rotvec(turn)
    pivot = before.rotation @ torch.tensor([0.0, 0, 0.1]) + before.translation  # the face, before the origin
    after = Pose(
        before.expression, spin @ before.rotation, (spin @ (before.translation - pivot)[..., None])[..., 0] + pivot,
        before.torso_rotation, before.torso_translation,
    )  # fmt: skip
    learned = corrections.fit(before, after, np.arange(80), head.expression_names)
    assert learned["weight"][:, :3].any() == learned["weight"][:, 3:6].any()
    found = corrections.apply(learned, before, head.expression_low, head.expression_high)
    face = found.rotation @ torch.tensor([0.0, 0, 0.1]) + found.translation
    assert float((face - pivot).norm(dim=1).mean()) < 0.0015  # it never moved; turned about the origin it does by 7 mm
