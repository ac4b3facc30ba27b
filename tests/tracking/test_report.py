from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.tracking.habit import aspects
from avatars.tracking.report import MOVES, landmark_points, quality
from avatars.tracking.residuals import LandmarkModel
from tests.training.scene import make_scene


@pytest.fixture(scope="module")
def scene() -> tuple[Head, Clip, Track]:
    return make_scene(frames=40, size=64)


def shifted(clip: Clip, by: np.ndarray) -> Clip:
    return replace(clip, landmarks=clip.landmarks + by.astype(np.float32))


def test_a_true_track_fits(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    found = quality(track, clip, head.shape(track.identity))
    # The clip was drawn with the generic head, whose blinks the personal one rescales.
    assert found["landmark_rmse_px"]["all"] < 0.5
    assert found["landmark_rmse_px"]["lips"] < 0.05
    assert found["frames"] == 40


@pytest.mark.parametrize("size", [64, 128])
def test_errors_are_counted_at_512(scene: tuple[Head, Clip, Track], size: int) -> None:
    head, clip, track = scene
    person = head.shape(track.identity)
    camera = track.camera.resized(size, size)
    found = quality(replace(track, camera=camera), shifted(clip, np.array([0.5, 0.0, 0.0])), person)
    # Half a pixel at 64 is four at 512.
    assert found["landmark_rmse_px"]["lips"] == pytest.approx(4.0, abs=0.02)


def test_offsets_and_joints_agree_with_the_solvers_model(scene: tuple[Head, Clip, Track]) -> None:
    head, _, track = scene
    person = head.shape(track.identity)
    rng = np.random.default_rng(0)
    track = replace(track, landmark_offsets=(0.003 * rng.normal(size=(478, 3))).astype(np.float32))
    track.expression[:, person.expression_names.index("eyeLookUpLeft")] = 0.7
    points = landmark_points(track, person)
    model = LandmarkModel.detected(person)
    still = model.points(np.zeros(0), track.expression.astype(float), track.landmark_offsets.astype(float))
    rotation = Rotation.from_rotvec(track.rotation).as_matrix()
    still += np.tensordot(aspects(rotation, track.translation), model.aspect, 1)
    posed = still @ rotation.transpose(0, 2, 1) + track.translation[:, None]
    corners = person.faces[person.landmark_faces.clip(0)]
    face = model.valid & (person.skinning[corners, 0].max(1) < 1e-6)  # the solver leaves the torso out
    assert face.sum() > 400
    # The solver's model blends skinning at the landmark, the mesh at its corners.
    assert np.nanmax(np.abs(points - posed)[:, face]) < 3e-4


def test_jitter_is_what_was_put_in(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    person = head.shape(track.identity)
    count = 400
    rows = np.zeros(count, int)
    arrays = ("frame", "expression", "rotation", "translation", "torso_rotation", "torso_translation", "confidence")
    still = replace(track, **{name: getattr(track, name)[rows] for name in arrays}, times=np.arange(count) / 25.0)
    assert quality(still, clip, person)["jitter_px"] < 0.01
    noise = 0.3 / 8 * np.random.default_rng(0).normal(size=(count, 3)) * np.array([1, 1, 0])  # px at 64
    depth = still.translation[:, 2:]
    moved = replace(still, translation=(still.translation + noise * depth / still.camera.fx).astype(np.float32))
    # The slowest quarter of the frames is also the quarter with the least noise.
    assert 0.15 < quality(moved, clip, person)["jitter_px"] < 0.4


def test_angles_have_the_right_signs(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    facing = Rotation.from_rotvec([np.pi, 0, 0])
    turned = facing * Rotation.from_rotvec([0, 0.5, 0])  # to the subject's left, the picture's right
    rotation = np.tile(turned.as_rotvec(), (40, 1)).astype(np.float32)
    found = quality(replace(track, rotation=rotation), clip, head.shape(track.identity))
    assert found["yaw_deg"] == pytest.approx([28.6, 28.6], abs=0.1)
    assert found["yaw_histogram"]["+30"] == 40
    assert "turn slowly to left by" in " ".join(found["advice"])
    nodding = facing * Rotation.from_rotvec([-0.2, 0, 0])  # chin up
    rotation = np.tile(nodding.as_rotvec(), (40, 1)).astype(np.float32)
    found = quality(replace(track, rotation=rotation), clip, head.shape(track.identity))
    assert found["pitch_deg"] == pytest.approx([11.5, 11.5], abs=0.1)


@pytest.mark.parametrize(
    ("move", "names"),
    [
        ("mouth opening", ("jawOpen",)),
        ("mouth widening", ("mouthSmileLeft", "mouthSmileRight")),
        ("mouth narrowing", ("mouthPucker",)),
        ("brow raising", ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")),
        ("eyes closing", ("eyeBlinkLeft", "eyeBlinkRight")),
        ("gaze sideways", ("eyeLookOutLeft", "eyeLookInRight")),
        ("gaze up and down", ("eyeLookUpLeft", "eyeLookUpRight")),
    ],
)
def test_moves_are_seen_and_missed(scene: tuple[Head, Clip, Track], move: str, names: tuple[str, ...]) -> None:
    head, clip, track = scene
    person = head.shape(track.identity)
    expression = np.zeros_like(track.expression)
    found = quality(replace(track, expression=expression), clip, person)
    assert found["coverage"][move] < 0.05
    assert any(MOVES[move][1] in line for line in found["advice"])
    for name in names:
        expression[10:14, person.expression_names.index(name)] = 1.0
    found = quality(replace(track, expression=expression), clip, person)
    assert found["coverage"][move] > 0.6, found["moves_mm"]
    assert not any(MOVES[move][1] in line for line in found["advice"])


def test_the_captures_advice_is_passed_on(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    clip = replace(clip, source={"quality": {"advice": ["dark: turn to a window"]}})
    assert quality(track, clip, head)["advice"][0] == "The footage is dark: turn to a window."
