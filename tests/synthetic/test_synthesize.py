"""The film and its truth agree with each other, and with what a face detector sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter

from avatars.capture import faces
from avatars.capture.audio import read_audio
from avatars.capture.probe import probe
from avatars.data import Camera
from avatars.errors import FileFormatError, InputError
from avatars.heads.head import Head, HeadModel
from avatars.synthetic.look import draw_look
from avatars.synthetic.synthesize import Settings, _Scene, synthesize
from avatars.synthetic.truth import GroundTruth, orbit

from .conftest import SHORT


def _project(points: np.ndarray, camera: Camera) -> np.ndarray:
    view = camera.camera_from_world
    seen = points @ view[:3, :3].T + view[:3, 3]
    return seen[..., :2] / seen[..., 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]


def _frames(path: Path) -> list[np.ndarray]:
    import av

    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def test_film_has_the_frames_the_size_and_the_sound_asked_for(short_film: tuple[Path, GroundTruth]) -> None:
    path, truth = short_film
    info = probe(path)
    assert (info.width, info.height, info.rate) == (256, 256, 15)
    assert len(_frames(path)) == len(truth.track.frame) == 12
    sound = read_audio(path)
    assert sound is not None
    assert abs(len(sound) / 16000 - 0.8) < 0.1  # AAC pads to whole blocks of 1024 samples
    assert np.abs(sound).max() > 0.05


def test_same_seed_same_pictures_and_another_seed_another_person(
    short_film: tuple[Path, GroundTruth], default_head: Head
) -> None:
    film, truth = short_film
    scene = _Scene.prepare(default_head, replace(SHORT, sound=False))
    picture, matte = scene.film(5)
    np.testing.assert_array_equal(matte, truth.mattes[5])
    np.testing.assert_array_equal(scene.film(5)[0], picture)
    coded = _frames(film)[5].astype(int)
    assert np.abs(coded - picture).mean() < 2.5  # the codec and its halved colour
    other = _Scene.prepare(default_head, replace(SHORT, seed=2))
    assert np.abs(other.film(5)[0].astype(int) - picture).mean() > 10


def test_a_look_comes_from_its_seed_and_from_what_is_given() -> None:
    looks = [draw_look(np.random.default_rng([3, 0]), 0.4, None, None) for _ in range(2)]
    assert looks[0] == looks[1]
    assert draw_look(np.random.default_rng([3, 0]), 0.4, (0, 0, -2), 2.0).light == (0, 0, -1)


def test_matte_covers_exactly_the_projected_head(short_film: tuple[Path, GroundTruth], default_head: Head) -> None:
    _, truth = short_film
    vertices = truth.vertices(default_head)
    for row in (0, 6, 11):
        pixels = np.floor(_project(vertices[row], truth.track.camera)).astype(int)
        inside = ((pixels >= 1) & (pixels < 255)).all(1)
        around = maximum_filter(truth.mattes[row], 3)  # vertices on the outline
        assert (around[pixels[inside, 1], pixels[inside, 0]] > 0).all()
        assert truth.mattes[row][0].max() == 0  # nobody's head touches the top


@pytest.mark.slow
def test_the_detector_finds_the_face_where_it_is(short_film: tuple[Path, GroundTruth], default_head: Head) -> None:
    path, truth = short_film
    model = HeadModel(default_head.shape(truth.track.identity))
    points = model.landmarks(torch.from_numpy(truth.vertices(default_head))).numpy()
    with faces.FaceMesh(static=True) as detector:
        for row, picture in enumerate(_frames(path)):
            found = detector.detect(picture)
            assert len(found) == 1
            expected = _project(points[row].astype(float), truth.track.camera)
            apart = np.linalg.norm(found[0, :, :2] - expected, axis=1)
            size = np.ptp(expected, axis=0).max()
            # A detector has its own idea of where landmarks sit; median measured: 1.5 to 2.5 % of the face.
            assert np.median(apart) < 0.04 * size
            eyes, lips = list(faces.EYE_L + faces.EYE_R), list(faces.LIPS)
            assert np.median(apart[eyes]) < 0.025 * size
            assert np.median(apart[lips]) < 0.035 * size


def test_truth_survives_the_disk(short_film: tuple[Path, GroundTruth]) -> None:
    path, truth = short_film
    read = GroundTruth.load(path.with_suffix(".truth"))
    for name in ("identity", "expression", "rotation", "translation", "torso_rotation", "torso_translation", "times"):
        np.testing.assert_array_equal(getattr(read.track, name), getattr(truth.track, name))
    np.testing.assert_array_equal(read.mattes, truth.mattes)
    assert read.track.camera.to_json() == truth.track.camera.to_json()
    assert [(v.frame, v.yaw_deg) for v in read.views] == [(v.frame, v.yaw_deg) for v in truth.views]
    np.testing.assert_array_equal(read.views[0].image, truth.views[0].image)
    assert SHORT.made(read.settings)
    assert not replace(SHORT, seed=2).made(read.settings)


def test_truth_that_is_damaged_or_of_another_head_is_refused(
    short_film: tuple[Path, GroundTruth], default_head: Head, tmp_path: Path
) -> None:
    _, truth = short_film
    with pytest.raises(FileFormatError, match="another head"):
        truth.vertices(replace(default_head, sha256="0" * 64))
    truth.save(tmp_path / "x.truth")
    next((tmp_path / "x.truth").glob("view*.png")).unlink()
    with pytest.raises(FileFormatError, match="novel view"):
        GroundTruth.load(tmp_path / "x.truth")
    (tmp_path / "x.truth" / "truth.json").write_text("{}")
    with pytest.raises(FileFormatError, match="incomplete"):
        GroundTruth.load(tmp_path / "x.truth")


def test_side_views_show_the_side_they_name(short_film: tuple[Path, GroundTruth], default_head: Head) -> None:
    _, truth = short_film
    ears = default_head.regions["ears"]
    left = ears & (default_head.template[:, 0] > 0)
    for view in truth.views:
        vertices = truth.vertices(default_head, [view.frame])[0].astype(float)
        middle = truth.track.translation[view.frame]
        eye = np.asarray(view.camera.world_from_camera)[:3, 3]
        # The camera keeps its distance, and stands nearer to the ear whose side it is on.
        assert np.linalg.norm(eye - middle) == pytest.approx(np.linalg.norm(middle), rel=1e-6)
        to_left = np.linalg.norm(vertices[left] - eye, axis=1).mean()
        to_right = np.linalg.norm(vertices[ears & ~left] - eye, axis=1).mean()
        assert (to_left < to_right) == (view.yaw_deg > 0)
        pixels = np.floor(_project(vertices[default_head.regions["face"]], view.camera)).astype(int)
        assert (maximum_filter(view.image[..., 3], 3)[pixels[:, 1], pixels[:, 0]] > 0).all()


def test_orbit_turns_by_the_angle_and_keeps_looking_at_the_centre() -> None:
    camera = Camera(500.0, 500.0, 128, 128, 256, 256)
    center = np.array([0.05, -0.02, 0.9])
    moved = orbit(camera, center, 30.0)
    assert np.allclose(_project(center[None], moved), _project(center[None], camera))
    a, b = -center, np.asarray(moved.world_from_camera)[:3, 3] - center
    flat = [v[[0, 2]] / np.linalg.norm(v[[0, 2]]) for v in (a, b)]
    assert np.degrees(np.arccos(flat[0] @ flat[1])) == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"size": 255}, "odd"),
        ({"seconds": float("nan")}, "seconds"),
        ({"fps": 0}, "fps"),
        ({"light": (0, 0, 0)}, "light"),
    ],
)
def test_wild_settings_are_refused(change: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        replace(Settings(), **change).validate()


def test_nothing_is_replaced_unasked(default_head: Head, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"precious")
    with pytest.raises(InputError, match="exists"):
        synthesize(tmp_path / "a.mp4", default_head, SHORT)
    assert (tmp_path / "a.mp4").read_bytes() == b"precious"
    with pytest.raises(InputError, match="mp4"):
        synthesize(tmp_path / "a.avi", default_head, SHORT)
