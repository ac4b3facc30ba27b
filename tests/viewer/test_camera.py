"""A face before a camera: landmarks become the avatar's face, a film stands in for a camera."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatars.capture.lids import opening
from avatars.errors import InputError
from avatars.heads.arkit import INDEX
from avatars.splats.avatar import Avatar
from avatars.tracking.camera import FOCAL_PRIOR
from avatars.tracking.residuals import LandmarkModel
from avatars.viewer.app import Options, Viewer
from avatars.viewer.person import Face, Person
from avatars.viewer.sources.actor import CALM, Actor
from avatars.viewer.sources.camera import Camera, parse
from avatars.viewer.sources.lids import closing
from avatars.viewer.sources.steady import OneEuro

from .page import Page
from .patience import until

SIZE = (512, 512)
CLIPS = Path(__file__).resolve().parents[3] / "shared" / "clips"


class Stranger:
    """Landmarks of somebody else's face as a detector moves them: the same head, every feature moved a little, px."""

    def __init__(self, avatar: Avatar) -> None:
        rng = np.random.default_rng(0)
        seen = LandmarkModel.detected(avatar.head)
        self._model = replace(LandmarkModel.of(avatar.head), expression=seen.expression)
        self._offsets = rng.normal(0, 0.0015, self._model.mean.shape)
        self._noise = rng

    def points(self, expression: np.ndarray, turn: tuple[float, ...] = (0, 0, 0)) -> np.ndarray:
        """[478, 3] as a detector gives them, with a quarter of a pixel of noise."""
        head = self._model.points(np.zeros(0), expression[None], self._offsets)[0]
        facing = Rotation.from_rotvec([np.pi, 0, 0]) * Rotation.from_rotvec(turn)
        at = facing.apply(head) + np.array([0.02, -0.01, 0.7])
        focal = FOCAL_PRIOR * max(SIZE)
        flat = at[:, :2] / at[:, 2:] * focal + np.array(SIZE) / 2
        deep = (at[:, 2:] - 0.7) * focal / 0.7
        return np.concatenate([flat, deep], 1) + self._noise.normal(0, 0.25, (len(flat), 3))


@pytest.fixture
def stranger(avatar: Avatar) -> Stranger:
    return Stranger(avatar)


@pytest.fixture
def person(avatar: Avatar) -> Person:
    return Person(avatar)


def pose(**values: float) -> np.ndarray:
    out = np.zeros(52)
    for name, value in values.items():
        out[INDEX[name]] = value
    return out


def calmed(person: Person, stranger: Stranger) -> Actor:
    """An actor whose resting face is known."""
    actor = Actor(person, SIZE)
    for i in range(CALM):
        assert actor.learned == i / CALM
        face = actor.see(stranger.points(pose()), i / 25)
    assert face is not None
    return actor


def hold(
    actor: Actor, stranger: Stranger, expression: np.ndarray, turn: tuple[float, float, float] = (0, 0, 0)
) -> Face:
    """The face after half a second of one expression."""
    face = None
    for i in range(13):
        face = actor.see(stranger.points(expression, turn), 2 + i / 25)
    assert face is not None
    return face


def test_a_calm_stranger_is_the_avatar_at_rest(person: Person, stranger: Stranger) -> None:
    face = hold(calmed(person, stranger), stranger, pose())
    # A quarter of a pixel of noise is 0.1 of a coefficient or two (measured).
    assert np.abs(face.expression - person.rest.expression).max() < 0.2
    assert (person.rest.rotation.inv() * face.rotation).magnitude() < np.radians(1)
    np.testing.assert_allclose(face.translation, person.rest.translation, atol=0.003)


def test_a_stranger_s_mouth_and_brows_are_the_avatar_s(person: Person, stranger: Stranger) -> None:
    asked = pose(jawOpen=0.6, mouthSmileLeft=0.5, mouthSmileRight=0.5, browInnerUp=0.6)
    moved = hold(calmed(person, stranger), stranger, asked).expression - person.rest.expression
    for name in ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "browInnerUp"):
        # The solver's prior pulls what it is unsure of towards rest: 0.75 to 1.0 of it measured.
        assert 0.5 * asked[INDEX[name]] < moved[INDEX[name]] < 1.3 * asked[INDEX[name]], name
    rest = [i for i in range(52) if asked[i] == 0]
    assert np.abs(moved[rest]).max() < 0.35


def test_a_stranger_s_head_turns_the_avatar_s(person: Person, stranger: Stranger) -> None:
    face = hold(calmed(person, stranger), stranger, pose(), (0.1, 0.25, 0.0))
    turn = (person.rest.rotation.inv() * face.rotation).as_rotvec()
    np.testing.assert_allclose(turn, [0.1, 0.25, 0.0], atol=0.03)


def test_eyes_shut_whoever_they_are(person: Person, stranger: Stranger) -> None:
    actor = calmed(person, stranger)
    shut = pose(eyeBlinkLeft=1.0, eyeBlinkRight=1.0)
    face = hold(actor, stranger, shut)
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        assert face.expression[INDEX[name]] > 0.8, name


def test_lids_are_measured_against_the_eye_s_own_width() -> None:
    points = np.zeros((478, 3))
    for upper, lower, outer, inner in ((386, 374, 263, 362), (159, 145, 33, 133)):
        points[outer, 0], points[inner, 0] = 15.0, -15.0
        for side in ((385, 380), (387, 373), (158, 153), (160, 144), (upper, lower)):
            points[side[0], 1], points[side[1], 1] = 4.5, -4.5
    rest = opening(points)
    np.testing.assert_allclose(rest, 0.3)
    np.testing.assert_allclose(opening(3 * points @ Rotation.from_rotvec([0, 0.5, 0]).as_matrix()), rest)
    np.testing.assert_array_equal(closing(rest, rest), 0)
    np.testing.assert_array_equal(closing(rest * 0.4, rest), 1)
    assert 0.2 < closing(rest * 0.65, rest)[0] < 0.7
    assert np.isfinite(closing(np.zeros(2), np.zeros(2))).all()


def test_the_resting_face_can_be_learned_anew(person: Person, stranger: Stranger) -> None:
    actor = calmed(person, stranger)
    frown = pose(browDownLeft=0.6, browDownRight=0.6)
    actor.begin()
    for i in range(CALM):
        actor.see(stranger.points(frown), 5 + i / 25)
    face = actor.see(stranger.points(frown), 7.0)
    assert face is not None
    assert np.abs(face.expression - person.rest.expression).max() < 0.2, "a frown is now the rest"


def test_what_trembles_is_calmed_and_what_moves_is_not_late() -> None:
    rng, euro = np.random.default_rng(0), OneEuro()
    still = np.stack([euro(rng.normal(0, 0.02, 58), i / 30) for i in range(90)])
    # A mean difference of 1.13 deviations goes in; 0.4 of that came out (measured).
    assert np.abs(np.diff(still[30:], axis=0)).mean() < 0.5 * 0.02 * 2 / np.sqrt(np.pi)
    euro = OneEuro()
    step = np.stack([euro(np.full(58, float(i >= 30)), i / 30) for i in range(36)])
    jaw = INDEX["jawOpen"]
    assert step[31, jaw] > 0.6, "two pictures after a jaw drops, most of it shows"
    assert step[30, INDEX["eyeBlinkLeft"]] > 0.9, "a blink shows at once"


def test_no_camera_is_one_clear_error(person: Person) -> None:
    with pytest.raises(InputError, match="Camera 97 cannot be opened"):
        Camera(person, 97, print, print)


def test_a_camera_that_fails_is_a_notification_in_the_page(avatar: Avatar) -> None:
    with Viewer(avatar, Options(port=0, livelink_port=0, camera="97")) as viewer:
        page = Page(viewer.server.port, viewer.stage.front())
        try:
            page.set("Driven by", "Camera 97")
            page.wait(lambda: any(m["type"].startswith("Notification") for m in page.notes), "a notification")
            note = next(m for m in page.notes if m["type"].startswith("Notification"))
            assert "Camera 97 cannot be opened" in str(note)
            assert viewer.stage.name == "Captured motion", "the source before goes on"
        finally:
            page.close()


def test_a_device_is_read_mirrored_and_its_end_is_said(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        def __init__(self, number: int) -> None:
            self.number, self.left, self.released = number, 5, False
            opened.append(self)

        def isOpened(self) -> bool:
            return True

        def set(self, *_: object) -> None: ...

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.left -= 1
            image = np.zeros((480, 640, 3), np.uint8)
            image[:, :200] = (0, 0, 255)  # red on the left, in OpenCV's order
            return (True, image) if self.left >= 0 else (False, None)

        def release(self) -> None:
            self.released = True

    opened: list[Device] = []
    monkeypatch.setattr("cv2.VideoCapture", Device)
    said: list[str] = []
    seen: list[np.ndarray] = []
    camera = Camera(person, 2, said.append, seen.append)
    try:
        until(lambda: said[-1:] == ["The camera stopped"])
        assert "No face in view" in said
        assert opened[0].number == 2
        assert opened[0].released
        assert (seen[0][75, -10] == (255, 0, 0)).all(), "as in a mirror"
        assert (seen[0][75, 10] == 0).all()
        now = time.monotonic()
        np.testing.assert_allclose(camera.face(now).expression, person.rest.expression, atol=1e-6)
        assert not camera.moving(now)
    finally:
        camera.close()


def test_what_is_no_film_is_one_clear_error(tmp_path: Path) -> None:
    assert parse("3") == 3
    with pytest.raises(InputError):
        parse(str(tmp_path / "nothing.mp4"))
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    with pytest.raises(InputError):
        parse(str(text))


@pytest.mark.footage
def test_a_film_drives_like_a_camera(person: Person) -> None:
    film = CLIPS / "talk_katie_512.mp4"
    if not film.exists():
        pytest.skip("the clips are not beside the checkout")
    said: list[str] = []
    seen: list[np.ndarray] = []
    camera = Camera(person, film, said.append, seen.append)
    try:
        until(lambda: camera.count > 40, 120)
        jaw = INDEX["jawOpen"]
        shown = []
        for _ in range(60):
            shown.append(camera.face(time.monotonic()).expression[jaw])
            time.sleep(0.05)
        assert np.ptp(shown) > 0.1, "she talks"
        assert camera.moving(time.monotonic())
        assert any("calm face" in text for text in said)
        assert "Following the face" in said
        assert seen
        assert seen[-1].shape[0] == 150
    finally:
        camera.close()
    assert not camera._thread.is_alive()
