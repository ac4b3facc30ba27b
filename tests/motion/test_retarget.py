from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatars.data import Motion
from avatars.heads.arkit import INDEX, NAMES
from avatars.heads.still import still_landmarks
from avatars.motion.retarget import FULL, LIDS, PARTED, PLAIN, Manner, Retarget, calm, soften
from avatars.motion.sources import motion_of_track
from avatars.splats.avatar import Avatar
from avatars.splats.model import Pose
from tests.motion.making import a_motion, an_avatar


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return an_avatar()


@pytest.fixture(scope="module")
def driver() -> Motion:
    return a_motion(2, neutral=0.3, reach=0.9, turn=(0.1, -0.4, 0.05))


def one(motion: Motion, row: int) -> Motion:
    return Motion(*(getattr(motion, name)[row : row + 1] for name in ("times", "arkit", "rotation", "translation")))


def holding(arkit: np.ndarray) -> Motion:
    count = len(arkit)
    return Motion(np.arange(count) / 25.0, arkit, np.zeros((count, 3)), np.zeros((count, 3)))


def test_driving_oneself_changes_nothing(avatar: Avatar) -> None:
    own = motion_of_track(avatar.track, avatar.head)
    pose, track = Retarget(avatar, Manner.of(own))(own), Pose.of_track(avatar.track)
    np.testing.assert_allclose(pose.expression, track.expression, atol=1e-6)
    np.testing.assert_allclose(pose.rotation, track.rotation, atol=1e-6)
    np.testing.assert_allclose(pose.translation, track.translation, atol=1e-6)


def test_the_neutral_becomes_the_subjects(avatar: Avatar, driver: Motion) -> None:
    manner = Manner.of(driver)
    retarget = Retarget(avatar, manner)
    own = motion_of_track(avatar.track, avatar.head)
    neutral = np.median(avatar.track.expression[calm(own)], axis=0)
    np.testing.assert_allclose(retarget.expression(manner.neutral[None])[0], neutral, atol=1e-6)
    rest = Motion(
        np.zeros(1),
        manner.neutral[None],
        Rotation.from_matrix(manner.rotation).as_rotvec()[None],
        manner.translation[None],
    )
    usual = Rotation.from_matrix(Pose.of_track(avatar.track).rotation.numpy()).mean()
    pose = retarget(rest)
    assert (Rotation.from_matrix(pose.rotation.numpy()) * usual.inv()).magnitude()[0] < 1e-5
    np.testing.assert_allclose(pose.translation[0], np.median(avatar.track.translation, axis=0), atol=1e-6)


def test_speech_looks_straight_for_somebody_who_squints_throughout_their_film(avatar: Avatar) -> None:
    expression = avatar.track.expression.copy()
    inwards = [avatar.head.expression_names.index(f"eyeLookIn{side}") for side in ("Left", "Right")]
    outwards = [avatar.head.expression_names.index(f"eyeLookOut{side}") for side in ("Left", "Right")]
    expression[:, outwards], expression[:, inwards], expression[:4, inwards] = 0, 0.8, 0
    squinting = replace(avatar, track=replace(avatar.track, expression=expression))
    spoken = Retarget(squinting).expression(np.zeros((1, 52)))[0]
    np.testing.assert_allclose(spoken[inwards], 0.15, atol=1e-6)
    own = motion_of_track(squinting.track, squinting.head)
    again = Retarget(squinting, Manner.of(own)).expression(own.arkit)
    np.testing.assert_allclose(again[:, inwards], expression[:, inwards], atol=1e-6)  # but may squint as they do


@pytest.mark.parametrize("manner", [True, False])
def test_full_range_stays_within_limits(avatar: Avatar, driver: Motion, manner: bool) -> None:
    """Each of the 52 at 1, all at 1, and random ones, of a driver with a manner and of one without."""
    rng = np.random.default_rng(0)
    faces = np.concatenate([np.eye(52), np.ones((1, 52)), rng.uniform(size=(200, 52)), np.zeros((1, 52))])
    retarget = Retarget(avatar, Manner.of(driver) if manner else PLAIN)
    out = retarget.coefficients(faces)
    assert out.min() >= 0
    assert out.max() <= 1
    top = motion_of_track(avatar.track, avatar.head).arkit.max(0)
    limited = [i for i in range(52) if i not in FULL]
    assert (out[:, limited] <= top[limited] + 0.35 + 1e-9).all()
    expression = retarget.expression(faces)
    assert (expression >= avatar.head.expression_low - 1e-6).all()
    assert (expression <= avatar.head.expression_high + 1e-6).all()
    close, jaw = INDEX["mouthClose"], INDEX["jawOpen"]
    assert (out[:, close] <= out[:, jaw] + 1e-6).all()


def closed(face: np.ndarray) -> np.ndarray:
    """[..., 2] how far lids are closed by a face [..., 52]."""
    return np.stack([sum(face[..., INDEX[name + s]] * v for name, v in LIDS.items()) for s in ("Left", "Right")], -1)


@pytest.mark.parametrize("manner", [True, False])
def test_lids_meet_and_go_no_further(avatar: Avatar, driver: Motion, manner: bool) -> None:
    """At the end of a blink they are as far shut as the subject's ever were, or as lids meet."""
    who = Manner.of(driver) if manner else PLAIN
    retarget = Retarget(avatar, who)
    own = motion_of_track(avatar.track, avatar.head).arkit
    blinks = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
    faces = np.repeat(who.neutral[None], 2, 0)
    faces[0, blinks] = 1
    faces[1, blinks] = 0.97
    out = retarget.coefficients(faces)
    met = np.maximum(np.maximum(0.88, closed(own).max(0)), closed(out[0]) - out[0, blinks] + own[:, blinks].max(0))
    assert closed(out[0]) == pytest.approx(met, abs=1e-6)
    assert (out[1, blinks] <= out[0, blinks] + 1e-9).all()


@pytest.mark.parametrize("name", ["jawOpen", "eyeLookUpLeft"])
def test_jaw_and_gaze_reach_the_end(avatar: Avatar, driver: Motion, name: str) -> None:
    manner = Manner.of(driver)
    face = manner.neutral.copy()
    face[INDEX[name]] = 1.0
    assert Retarget(avatar, manner).coefficients(face[None])[0, INDEX[name]] == pytest.approx(1.0, abs=1e-9)


def test_lips_part_as_far_as_those_that_rested_closed_over_an_open_jaw(avatar: Avatar, driver: Motion) -> None:
    """The driver's jaw falls by 0.2 while the lips let go of 0.35: 0.55 in all, of whoever's lips."""
    close, jaw = INDEX["mouthClose"], INDEX["jawOpen"]
    manner = Manner.of(driver)
    manner.neutral[[jaw, close]] = 0.25, 0.35
    faces = np.repeat(manner.neutral[None], 2, 0)
    faces[1, [jaw, close]] = 0.45, 0.0
    retarget = Retarget(avatar, manner)
    out = retarget.coefficients(faces)
    opening = out[:, jaw] - out[:, close]
    assert opening[1] - opening[0] == pytest.approx(0.55 * retarget._scale[jaw], abs=0.02)


def test_eyes_that_shut_shut_the_avatars(avatar: Avatar, driver: Motion) -> None:
    """A tracker that calls half of a blink a glance and a squint: the avatar's lids fall as far as they ever do."""

    sides = ("Left", "Right")
    motion = replace(driver, arkit=driver.arkit.copy())
    motion.arkit[:, [INDEX[name + side] for name in LIDS for side in sides]] *= 0.2
    for name, value in (("eyeBlink", 0.5), ("eyeLookDown", 0.6), ("eyeSquint", 0.4), ("eyeWide", 0.0)):
        motion.arkit[40, [INDEX[name + side] for side in sides]] = value
    manner = Manner.of(motion)
    assert manner.shut == pytest.approx(closed(motion.arkit[40]))
    retarget = Retarget(avatar, manner)
    faces = np.stack([motion.arkit[40], manner.neutral])
    shut, open_ = retarget.coefficients(faces)
    assert (closed(shut) >= retarget.subject.shut - 1e-6).all()
    assert closed(open_) == pytest.approx(closed(retarget.subject.neutral), abs=1e-6)
    awake = replace(motion, arkit=motion.arkit * 0.2)
    assert Manner.of(awake).shut == pytest.approx(1)  # who never blinked may have small eyes


def test_more_of_the_driver_is_never_less_of_the_avatar(avatar: Avatar, driver: Motion) -> None:
    manner = Manner.of(driver)
    retarget = Retarget(avatar, manner)
    for name in NAMES:
        if name == "mouthClose":  # cannot exceed the open jaw
            continue
        faces = np.repeat(manner.neutral[None], 30, 0)
        faces[:, INDEX[name]] = np.linspace(0, 1, 30)
        assert (np.diff(retarget.coefficients(faces)[:, INDEX[name]]) >= -1e-9).all(), name


def test_ranges_are_matched(avatar: Avatar) -> None:
    """A timid driver moves the avatar further than a lively one does with the same face."""
    timid, lively = (Manner.of(a_motion(5, neutral=0.1, reach=r)) for r in (0.35, 1.0))
    face = timid.neutral.copy()
    face[INDEX["mouthSmileLeft"]] += 0.2
    rise = [Retarget(avatar, manner).coefficients(face[None])[0, INDEX["mouthSmileLeft"]] for manner in (timid, lively)]
    assert rise[0] > rise[1] + 0.01


def test_live_is_the_same_as_all_at_once(avatar: Avatar, driver: Motion) -> None:
    retarget = Retarget(avatar, Manner.of(driver))
    whole = retarget(driver)
    for row in (0, 17, 80):
        alone = retarget(one(driver, row))
        for name in Pose.__dataclass_fields__:
            np.testing.assert_allclose(getattr(alone, name)[0], getattr(whole, name)[row], atol=1e-5)


def test_large_turns_and_shifts_are_limited(avatar: Avatar) -> None:
    wild = Motion(
        np.arange(2) / 25.0, np.zeros((2, 52)), np.array([[0, 2.5, 0], [0, 0.1, 0]]), np.array([[0.5, 0, 0], [0, 0, 0]])
    )
    retarget = Retarget(avatar, PLAIN)
    pose = retarget(wild)
    usual = Rotation.from_matrix(Pose.of_track(avatar.track).rotation.numpy()).mean()
    angle = (usual.inv() * Rotation.from_matrix(pose.rotation.numpy())).magnitude()
    assert angle[0] < 0.96  # begins to be limited at 0.6 rad, at most 0.35 more
    assert angle[1] == pytest.approx(0.1, abs=1e-5)
    shift = np.abs(pose.translation.numpy()[0] - np.median(avatar.track.translation, axis=0))
    assert shift.max() < 0.15


def test_the_torso_goes_along_when_the_head_leaves(avatar: Avatar) -> None:
    """The neck stretches no further than the film ever showed."""
    track = Pose.of_track(avatar.track)
    neck = avatar.head.joints[0]

    def stretch(pose: Pose) -> np.ndarray:
        return (pose.rotation.numpy() @ neck + pose.translation.numpy()) - (neck + pose.torso_translation.numpy())

    seen = stretch(track)
    far = replace(holding(np.zeros((3, 52))), translation=np.array([[0.08, 0, 0], [0, -0.08, 0], [0, 0, 0.1]]))
    moved = stretch(Retarget(avatar, PLAIN)(far))
    assert (moved >= seen.min(0) - 1e-5).all()
    assert (moved <= seen.max(0) + 1e-5).all()


def test_calm_frames_have_closed_lips() -> None:
    motion = a_motion(7, neutral=0.2, reach=0.8)
    talking = motion.arkit.copy()
    talking[:, INDEX["jawOpen"]] = 0.5
    closed = np.arange(40, 52)
    talking[closed, INDEX["jawOpen"]] = 0.02
    talking[closed, INDEX["mouthClose"]] = 0.02
    for name in ("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight"):
        talking[closed, INDEX[name]] = 0.0
    assert set(calm(replace(motion, arkit=talking))) <= set(closed)


def test_soften() -> None:
    x = np.linspace(0, 3, 400)
    y = soften(x, 0.5, 0.2)
    np.testing.assert_array_equal(y[x <= 0.5], x[x <= 0.5])
    assert (y <= 0.7).all()
    assert (np.diff(y) >= 0).all()
    assert np.abs(np.diff(y, 2)).max() < 5e-4  # no kink


def test_lips_that_rest_ajar_shut_where_nothing_parts_them(avatar: Avatar, driver: Motion) -> None:
    """Speech and sliders: p, b, m and silence close the mouth, whatever the subject's own rest shows of the teeth."""
    retarget, bare = Retarget(avatar, PLAIN), Retarget(avatar, PLAIN)
    assert Retarget(avatar, Manner.of(driver)).press == 0
    assert 0 < retarget.press < 0.3
    bare.press = 0.0
    faces = np.zeros((5, 52))
    jaw, close = INDEX["jawOpen"], INDEX["mouthClose"]
    faces[1, [jaw, close]] = 0.3  # p, b or m over a dropped jaw
    faces[2, jaw] = 0.6 * PARTED / 2
    faces[3, jaw] = 0.6 * PARTED
    faces[4, close] = 0.4  # more than shut is not asked for twice

    def apart(of: Retarget) -> np.ndarray:
        """[5] m from the lower up to the upper lip."""
        points = still_landmarks(avatar.head, of.expression(faces).astype(np.float32))
        return (points[:, 13] - points[:, 14])[:, 1]

    shut, ajar = apart(retarget), apart(bare)
    assert ajar[:2].min() > -0.001
    assert shut[:2].max() < -0.0009
    assert shut[2] < ajar[2] - 0.0003
    np.testing.assert_allclose(shut[3], ajar[3], atol=1e-6)
    assert shut[4] == pytest.approx(min(ajar[4], shut[0]), abs=1e-4)
    rise = np.zeros((50, 52))
    rise[:, jaw] = np.linspace(0, 0.3, 50)
    points = still_landmarks(avatar.head, retarget.expression(rise).astype(np.float32))
    assert (np.diff((points[:, 13] - points[:, 14])[:, 1]) > 0).all()  # a jaw that opens parts them all the way
