"""The tracker against films whose every parameter is known, in degrees and millimetres.

Two kinds of error are told apart. With the true landmarks in place of detected ones, what is left is the tracker's
own; with detected ones, the detector's idea of where landmarks sit on a face comes on top.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from avatars.capture.clip import capture
from avatars.data import Clip, Track
from avatars.errors import FileFormatError, InputError
from avatars.heads.head import Head, HeadModel
from avatars.synthetic.accuracy import align, tracking_errors
from avatars.synthetic.synthesize import Settings, synthesize
from avatars.synthetic.truth import GroundTruth, vertices_of
from avatars.tracking.habit import Habit
from avatars.tracking.track import track

SEEDS = (1, 2)
ROTATION_DEG, TRANSLATION_PERCENT, VERTICES_MM = 1.5, 1.5, 3.0
"""What is asked of the tracker; rotation besides a constant turn, as place besides a common scale."""


@dataclass(frozen=True)
class Case:
    truth: GroundTruth
    clip: Clip
    detected: dict[str, float]
    exact: dict[str, float]


def exact_landmarks(truth: GroundTruth, head: Head) -> np.ndarray:
    """[T, 478, 3] px: where a detector without any error but its habit would see the true head's landmarks, with depth
    in the same scale."""
    vertices = torch.from_numpy(truth.vertices(head))
    points = HeadModel(head.shape(truth.track.identity)).landmarks(vertices).numpy().astype(float)
    rotation = Rotation.from_rotvec(truth.track.rotation).as_matrix()
    moves = Habit.of(head).moves(truth.track.expression, rotation, truth.track.translation)
    points += moves @ rotation.transpose(0, 2, 1)
    camera, depth = truth.track.camera, truth.track.translation[:, None, 2:].astype(float)
    pixels = points[..., :2] / points[..., 2:] * camera.fx + (camera.cx, camera.cy)
    return np.concatenate([pixels, (points[..., 2:] - depth) * camera.fx / depth], -1).astype(np.float32)


@pytest.fixture(scope="module", params=SEEDS, ids=lambda seed: f"seed {seed}")
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, default_head: Head) -> Case:
    """A film of 60 frames at 320 px, captured and tracked."""
    folder = tmp_path_factory.mktemp("accuracy")
    settings = Settings(seed=request.param, seconds=4.0, fps=15, size=320, sound=False, views=0)
    truth = synthesize(folder / "film.mp4", default_head, settings)
    clip = capture(folder / "film.mp4", folder / "clip")
    assert clip.used.all()
    detected = tracking_errors(track(clip, default_head), truth, default_head)
    placed = replace(clip, landmarks=exact_landmarks(truth, default_head))
    exact = tracking_errors(track(placed, default_head), truth, default_head)
    out = Case(truth, clip, detected.summary(), exact.summary())
    for name, figures in (("detected", out.detected), ("true", out.exact)):
        words = ", ".join(f"{key} {value:.3f}" for key, value in figures.items())
        print(f"seed {request.param}, {name} landmarks: {words}")
    return out


@pytest.mark.slow
def test_the_tracker_itself_is_accurate(case: Case) -> None:
    """Measured with true landmarks: 0.1 to 0.5 degrees, 0.2 to 0.5 %, 0.2 to 0.3 mm over seeds 1, 2, 3."""
    assert case.exact["rotation_deg"] <= ROTATION_DEG / 2
    assert case.exact["translation_percent"] <= TRANSLATION_PERCENT / 2
    assert case.exact["vertices_mm"] <= VERTICES_MM / 4


@pytest.mark.slow
def test_place_and_shape_from_detected_landmarks(case: Case) -> None:
    """Measured over seeds 1, 2, 3, 5: 0.52, 0.78, 0.57, 0.42 %; 1.7, 1.6, 1.7, 1.7 mm."""
    assert case.detected["translation_percent"] <= TRANSLATION_PERCENT
    assert case.detected["vertices_mm"] <= VERTICES_MM
    assert case.detected["vertices_mm"] <= 2.5  # the detector's habit is known; 2.0 to 2.7 without that


@pytest.mark.slow
def test_rotation_from_detected_landmarks(case: Case) -> None:
    """Measured over seeds 1, 2, 3, 5: 1.19, 0.93, 0.87, 0.65 degrees besides a constant turn of a person's face.

    That turn (1.9, 1.3, 0.5, 1.1 degrees, nearly all of it a nod) is the detector's idea of where this face's landmarks
    sit; one camera cannot tell it from another shape, and specks of skin followed through the film did not either.
    """
    assert case.detected["wobble_deg"] <= ROTATION_DEG
    assert case.detected["rotation_deg"] <= 2 * ROTATION_DEG


@pytest.fixture(scope="module")
def short(short_film: tuple[Path, GroundTruth]) -> GroundTruth:
    return short_film[1]


def test_the_truth_has_no_error(short: GroundTruth, default_head: Head) -> None:
    for value in tracking_errors(short.track, short, default_head).summary().values():
        assert value == pytest.approx(0, abs=2e-3) or value == pytest.approx(1, abs=1e-6)


def test_known_errors_are_measured(short: GroundTruth, default_head: Head) -> None:
    turn = Rotation.from_euler("y", 2.0, degrees=True)
    turned = (Rotation.from_rotvec(short.track.rotation) * turn).as_rotvec().astype(np.float32)
    found = tracking_errors(replace(short.track, rotation=turned), short, default_head)
    assert found.bone_deg == pytest.approx(2.0, abs=1e-3)
    # The lower neck and the ears' surroundings, which follow the torso in part, belong to the face region: nearly 2.
    assert found.rotation_deg == pytest.approx(2.0, abs=0.1)
    assert found.wobble_deg == pytest.approx(0.0, abs=0.1)
    farther = replace(
        short.track,
        translation=short.track.translation * np.float32(1.1),
        torso_translation=short.track.torso_translation * np.float32(1.1),
    )
    assert tracking_errors(farther, short, default_head).translation.max() < 0.01  # a common scale is no error


def test_a_glance_is_measured_where_the_eyes_look(short: GroundTruth, default_head: Head) -> None:
    """Eyes that look elsewhere by a joint's known angle, and a head turned under them: both count, as directions do."""
    name = default_head.expression_names.index("eyeLookUpLeft")
    eye = default_head.joint_names.index("eye_l")
    angle = np.degrees(np.linalg.norm(default_head.joint_from_expression[name, eye])) * 0.5
    glancing = short.track.expression.copy()
    glancing[:, name] = 0
    still = GroundTruth(replace(short.track, expression=glancing.copy()), short.mattes, short.views)
    glancing[:, name] = 0.5
    found = tracking_errors(replace(short.track, expression=glancing), still, default_head)
    # Turns about several axes do not add up exactly where an eye already looks aside.
    assert found.gaze_deg[:, 0] == pytest.approx(angle, rel=0.1)
    assert found.gaze_deg[:, 1] == pytest.approx(0, abs=0.05)
    turn = Rotation.from_euler("y", 4.0, degrees=True)
    turned = (Rotation.from_rotvec(short.track.rotation) * turn).as_rotvec().astype(np.float32)
    found = tracking_errors(replace(short.track, rotation=turned), short, default_head)
    assert found.gaze_deg.max() < 4.05
    assert found.gaze_deg.mean() > 3.5  # a glance up lies nearer to the axis of the turn


def test_a_common_rigid_move_is_all_rotation_and_no_shape(short: GroundTruth, default_head: Head) -> None:
    tilt = Rotation.from_euler("x", 3.0, degrees=True)
    neck = default_head.shape(short.track.identity).joints[0].astype(float)
    head = (tilt * Rotation.from_rotvec(short.track.rotation)).as_rotvec()
    torso = (tilt * Rotation.from_rotvec(short.track.torso_rotation)).as_rotvec()
    # The torso turns about its neck: x -> R (x - n) + n + t.
    place = tilt.apply(short.track.torso_translation + neck) - neck
    moved = replace(
        short.track,
        rotation=head.astype(np.float32),
        translation=tilt.apply(short.track.translation).astype(np.float32),
        torso_rotation=torso.astype(np.float32),
        torso_translation=place.astype(np.float32),
    )
    np.testing.assert_allclose(
        vertices_of(moved, default_head)[3], tilt.apply(short.vertices(default_head, [3])[0]), atol=1e-5
    )
    found = tracking_errors(moved, short, default_head)
    assert found.rotation_deg == pytest.approx(3.0, abs=1e-2)
    assert found.vertices_m == pytest.approx(0.0, abs=1e-5)


def test_alignment_finds_a_known_similarity() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 3))
    rotation = Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix()
    move = align(points, 1.7 * points @ rotation.T + [1, 2, 3])
    np.testing.assert_allclose(move.rotation, rotation, atol=1e-12)
    assert move.scale == pytest.approx(1.7)
    np.testing.assert_allclose(move.translation, [1, 2, 3], atol=1e-12)


def test_a_track_of_something_else_is_refused(short: GroundTruth, default_head: Head) -> None:
    other: Track = replace(short.track, frame=short.track.frame + 100)
    with pytest.raises(InputError, match="not of this video"):
        tracking_errors(other, short, default_head)
    with pytest.raises(FileFormatError, match="another head"):
        tracking_errors(replace(short.track, head={"sha256": "x"}), short, default_head)
