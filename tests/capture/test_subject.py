"""One person is chosen by the stated rule and never swapped: on made-up sightings, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from avatars.capture.crop import choose_box
from avatars.capture.sightings import Face, Look
from avatars.capture.subject import Person, choose_subject, likeness
from avatars.errors import InputError

SHAPE = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 3)).astype(np.float32)
SHAPE[:4, :2] = [[-0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [0.5, -0.5]]


def portrait(seed: int) -> np.ndarray:
    """[48, 48, 3] Lab of a made-up face."""
    random = np.random.default_rng(seed)
    light = cv2.GaussianBlur(random.normal(size=(48, 48)).astype(np.float32), (0, 0), 4)
    tint = random.uniform(5, 25, 2)
    return np.dstack([60 + 100 * light, np.full_like(light, tint[0]), np.full_like(light, tint[1])])


def face(x: float, y: float, size: float, who: int, noise: int = 0) -> Face:
    grain = np.random.default_rng(1000 + noise).normal(0, 4, (48, 48, 3)).astype(np.float32)
    return Face(SHAPE * size + np.array([x, y, 0], np.float32), portrait(who) + grain)


def looks(count: int, make: Callable[[int], list[Face]]) -> list[Look]:
    return [Look(3 * i, i / 10, tuple(make(i))) for i in range(count)]


def identities(person: Person) -> set[int]:
    """Which portraits a person's sightings carry."""
    return {max((1, 2, 3), key=lambda who: likeness(f.patch, portrait(who))) for _, f in person.seen}


def test_likeness_tells_people_apart() -> None:
    assert likeness(portrait(1), portrait(1)) == pytest.approx(1, abs=1e-4)
    assert likeness(face(0, 0, 1, 1, 5).patch, face(0, 0, 1, 1, 6).patch) > 0.7
    assert likeness(portrait(1), portrait(2)) < 0.3


def test_one_person() -> None:
    subject, others = choose_subject(looks(30, lambda i: [face(100 + 3 * i, 100, 80, 1, i)]))
    assert len(subject.seen) == 30
    assert others == []


def test_largest_and_most_persistent_is_the_subject() -> None:
    """Larger than a bystander who is always there, and than a giant who passes."""

    def make(i: int) -> list[Face]:
        found = [face(300, 100, 40, 2, i), face(100, 100, 80, 1, i + 100)]
        return [*found, face(500, 100, 150, 3, i + 200)] if 10 <= i < 14 else found

    subject, others = choose_subject(looks(40, make))
    assert identities(subject) == {1}
    assert len(subject.seen) == 40
    assert len(others) == 2


def test_two_similar_faces_are_a_question() -> None:
    both = looks(30, lambda i: [face(100, 100, 80, 1, i), face(400, 110, 70, 2, i + 50)])
    with pytest.raises(InputError) as error:
        choose_subject(both)
    assert all(part in str(error.value) for part in ("80 px", "70 px", "x = 100", "x = 400", "--subject"))
    assert identities(choose_subject(both, "left")[0]) == {1}
    assert identities(choose_subject(both, "right")[0]) == {2}
    assert identities(choose_subject(both, "largest")[0]) == {1}
    with pytest.raises(InputError, match="'middle'"):
        choose_subject(both, "middle")


@pytest.mark.parametrize("vanish", [False, True])
def test_crossing_faces_are_never_swapped(vanish: bool) -> None:
    """They walk through each other; while they overlap both are seen, or only the one in front."""

    def make(i: int) -> list[Face]:
        left, right = face(100 + 4 * i, 100, 80, 1, i), face(500 - 4 * i, 105, 60, 2, i + 300)
        hidden = vanish and abs(left.center[0] - right.center[0]) < 60
        return [left] if hidden else [left, right]

    subject, others = choose_subject(looks(100, make), "largest")
    assert identities(subject) == {1}
    assert all(identities(other) == {2} for other in others)
    assert len(subject.seen) > 70  # the rest is when they touch


def test_a_stranger_taking_the_place_is_not_followed() -> None:
    """A cut: from one frame to the next another face is where the first was."""
    cut = looks(60, lambda i: [face(200, 100, 80, 1 if i < 45 else 2, i)])
    subject, others = choose_subject(cut)
    assert identities(subject) == {1}
    assert len(subject.seen) == 45
    assert len(others) == 1


@pytest.mark.parametrize("gap", [1, 10, 30])
def test_who_leaves_and_returns_is_the_same(gap: int) -> None:
    """Also on the other side of the picture."""

    def make(i: int) -> list[Face]:
        if 20 <= i < 20 + gap:
            return []
        return [face(150 if i < 20 else 450, 100, 80, 1, i)]

    subject, others = choose_subject(looks(60, make))
    assert len(subject.seen) == 60 - gap
    assert others == []


def test_no_face_says_how_many_pictures_were_tried() -> None:
    with pytest.raises(InputError, match="any of the 25 pictures"):
        choose_subject(looks(25, lambda i: []))


def person_at(x: float, y: float, size: float, sway: float = 0.0) -> Person:
    made = looks(30, lambda i: [face(x + sway * np.sin(i / 3), y, size, 1, i)])
    return choose_subject(made)[0]


def test_small_face_is_cropped_with_head_and_shoulders() -> None:
    (x, y, w, h), size = choose_box(person_at(900, 400, 120, 20), 1920, 1080, 512)
    assert x <= 900 - 20 - 1.4 * 120
    assert x + w >= 900 + 20 + 1.4 * 120
    assert y <= 400 - 1.1 * 120
    assert y + h >= 400 + 1.6 * 120
    assert w == h < 512
    assert size == (w, h)  # never enlarged
    assert x % 2 == y % 2 == w % 2 == h % 2 == 0


def test_crop_is_scaled_to_the_working_size() -> None:
    (_, _, w, h), size = choose_box(person_at(2000, 1000, 400), 3840, 2160, 512)
    assert max(size) == 512
    assert w / h == pytest.approx(size[0] / size[1], rel=0.01)


@pytest.mark.parametrize(("width", "height", "face_size"), [(512, 512, 240), (640, 480, 130), (480, 480, 310)])
def test_large_face_keeps_the_whole_frame(width: int, height: int, face_size: float) -> None:
    box, size = choose_box(person_at(width / 2, height / 2, face_size), width, height, 512)
    scale = min(1.0, 512 / max(width, height))
    assert box == (0, 0, width, height)
    assert size == (round(width * scale), round(height * scale))


def test_long_pictures_are_cropped_when_that_helps() -> None:
    """A phone held upright, a wide webcam: the whole frame at 512 px would show the face a quarter smaller."""
    box, _ = choose_box(person_at(640, 360, 300), 1280, 720, 512)
    assert box[3] == 720
    assert 720 <= box[2] < 1024
    box, size = choose_box(person_at(540, 900, 500), 1080, 1920, 512)
    assert box[2] == 1080
    assert 1080 <= box[3] < 1920
    assert max(size) == 512


def test_box_stays_inside_and_odd_frames_are_kept_whole() -> None:
    for x, y in ((10, 10), (1910, 1070), (10, 1070)):
        (bx, by, w, h), _ = choose_box(person_at(x, y, 100), 1920, 1080, 512)
        assert bx >= 0
        assert by >= 0
        assert bx + w <= 1920
        assert by + h <= 1080
    assert choose_box(person_at(48, 30, 40), 97, 65, 512) == ((0, 0, 97, 65), (97, 65))
