"""Side views of an avatar against a truth that was drawn from that very avatar, in coordinates of another scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from avatars.data import Camera, Splats, Track
from avatars.errors import InputError
from avatars.heads.head import Head
from avatars.splats.avatar import Avatar, Subject
from avatars.splats.bases import BasisNetwork, StateScale
from avatars.splats.model import Pose
from avatars.synthetic.accuracy import Similarity
from avatars.synthetic.truth import GroundTruth, NovelView, orbit
from avatars.training.novel_views import novel_view_psnr, seen_through

SIZE, SPLATS, LARGER = 128, 4000, 1.1


def _track(head: Head, identity: np.ndarray, scale: float) -> Track:
    count = 3
    neck = head.joints[0].astype(float) * scale
    turn = np.stack([np.full(count, np.pi), np.zeros(count), np.zeros(count)], 1)
    facing = Rotation.from_rotvec(turn)
    place = np.array([[0.0, 0.0, 0.8], [0.01, 0.0, 0.82], [0.0, 0.02, 0.8]]) * scale
    expression = np.zeros((count, len(head.expression_names)), np.float32)
    expression[1, head.expression_names.index("jawOpen")] = 0.6
    return Track(
        identity=identity,
        camera=Camera(2.2 * SIZE, 2.2 * SIZE, SIZE / 2, SIZE / 2, SIZE, SIZE),
        frame=np.arange(count),
        times=np.arange(count) / 25.0,
        expression=expression,
        rotation=turn.astype(np.float32),
        translation=place.astype(np.float32),
        torso_rotation=turn.astype(np.float32),
        torso_translation=(facing.apply(neck) + place - neck).astype(np.float32),
        landmark_offsets=np.zeros((478, 3), np.float32),
        confidence=np.ones(count, np.float32),
        head={"name": head.name, "version": head.version, "sha256": head.sha256},
    )


def _grown(head: Head, scale: float) -> Head:
    names = ("template", "joints", "expression_basis")
    return replace(head, **{name: (getattr(head, name) * scale).astype(np.float32) for name in names})


def _splats(head: Head, scale: float) -> Splats:
    rng = np.random.default_rng(2)
    corners = head.template[head.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    triangle = rng.choice(len(area), SPLATS, p=area / area.sum()).astype(np.int32)
    shade = 0.5 + 0.3 * np.sin(50 * corners[triangle].mean(1) + [0, 1, 2])
    columns = (
        np.full((SPLATS, 3), 1 / 3), np.full(SPLATS, 0.005 * scale), np.zeros((SPLATS, 3)),
        rng.normal(size=(SPLATS, 4)),
        np.zeros((SPLATS, 3)), np.full(SPLATS, 3.0), shade, np.zeros((SPLATS, 9, 0)),
    )  # fmt: skip
    return Splats(triangle, *(x.astype(np.float32) for x in columns))


@pytest.fixture(scope="module")
def world(default_head: Head) -> tuple[Avatar, GroundTruth]:
    """An avatar, and the truth of a smaller world in which it looks the same."""
    rng = np.random.default_rng(1)
    identity = rng.normal(0, 0.5, len(default_head.identity_basis)).astype(np.float32)
    person = default_head.shape(identity)
    true_track, track = (_track(person, identity, scale) for scale in (1.0, LARGER))
    pose = Pose.of_track(track)
    torch.manual_seed(0)
    scale = StateScale.fit(pose.expression, pose.rotation, pose.translation, pose.torso_rotation)
    network = BasisNetwork(len(person.expression_names), 0, scale)
    avatar = Avatar(_grown(person, LARGER), _splats(person, LARGER), network, track, Subject.of_track(track, person))
    smaller = Avatar(person, _splats(person, 1.0), network, true_track, Subject.of_track(true_track, person)).model()
    views = []
    for row in (0, 1):
        for yaw in (-30.0, 30.0):
            camera = orbit(true_track.camera, true_track.translation[row].astype(float), yaw)
            drawn = smaller.render(Pose.of_track(true_track, [row]), camera)
            color, alpha = drawn.color[0].permute(1, 2, 0), drawn.alpha[0].permute(1, 2, 0)
            straight = torch.cat([color / alpha.clamp_min(1e-4), alpha], 2).clamp(0, 1)
            views.append(NovelView(row, yaw, camera, (straight.numpy() * 255).round().astype(np.uint8)))
    mattes = np.zeros((3, SIZE, SIZE), np.uint8)
    return avatar, GroundTruth(true_track, mattes, views)


def test_the_avatar_that_the_truth_was_drawn_from_scores_as_high_as_bytes_allow(
    world: tuple[Avatar, GroundTruth], default_head: Head
) -> None:
    figures = novel_view_psnr(*world, default_head)
    assert set(figures) == {-30.0, 30.0}
    assert min(figures.values()) > 42


def test_another_colour_scores_what_its_difference_is_worth(
    world: tuple[Avatar, GroundTruth], default_head: Head
) -> None:
    avatar, truth = world
    paler = replace(avatar, splats=replace(avatar.splats, color=avatar.splats.color + np.float32(0.1)))
    # 20 dB where the head is, and the box around it holds some background, which is right.
    for value in novel_view_psnr(paler, truth, default_head).values():
        assert 20 <= value < 24


def test_a_truth_without_views_of_the_avatars_frames_is_refused(
    world: tuple[Avatar, GroundTruth], default_head: Head
) -> None:
    avatar, truth = world
    with pytest.raises(InputError, match="side view"):
        novel_view_psnr(avatar, replace(truth, views=[]), default_head)


def test_a_camera_seen_through_a_similarity_sees_the_same_pixels() -> None:
    rng = np.random.default_rng(0)
    camera = orbit(Camera(300.0, 310.0, 60, 66, 128, 128), np.array([0.0, 0.1, 1.0]), 25.0)
    move = Similarity(1.3, Rotation.from_rotvec([0.1, 0.4, -0.2]).as_matrix(), np.array([0.05, -0.1, 0.9]))
    points = rng.normal(0, 0.1, (20, 3))

    def pixels(at: np.ndarray, through: Camera) -> np.ndarray:
        view = through.camera_from_world
        seen = at @ view[:3, :3].T + view[:3, 3]
        return seen[:, :2] / seen[:, 2:] * (through.fx, through.fy) + (through.cx, through.cy)

    np.testing.assert_allclose(pixels(points, seen_through(camera, move)), pixels(move(points), camera), atol=1e-6)
