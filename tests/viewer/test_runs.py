"""A run seen from its files, while it trains and after."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from avatars.errors import FileFormatError, InputError
from avatars.splats.model import Pose
from avatars.training import checkpoint
from avatars.training.loop import Trainer
from avatars.viewer.app import Options, Viewer
from avatars.viewer.figure import Figure
from avatars.viewer.person import Face
from avatars.viewer.runs import Watched
from avatars.viewer.wipe import compose, place

from .conftest import difference
from .page import Page
from .patience import until


def test_a_checkpoint_becomes_the_avatar_it_holds(run: tuple[Path, Trainer, Path]) -> None:
    directory, trainer, training = run
    before = (training / checkpoint.NAME).read_bytes()
    watched = Watched(directory)
    assert watched.changed()
    progress = watched.load()
    avatar = progress.avatar
    assert not watched.changed()
    avatar.validate()
    for name, value in trainer.model.parameters.items():
        np.testing.assert_array_equal(getattr(avatar.splats, name), value.detach().numpy(), err_msg=name)
    flat = torch.cat([p.detach().reshape(-1) for p in avatar.network.net.parameters()])
    assert torch.equal(flat, trainer.optimizer.network)
    np.testing.assert_array_equal(avatar.track.expression, trainer.poses.pose.expression.numpy())
    pose = trainer.poses.row(5)
    want = trainer.model.render(pose, trainer.camera).color
    got = avatar.model().render(Pose.of_track(avatar.track, [5]), avatar.camera).color
    # The same splats, network and pose; rotations went through axis-angle and back.
    assert float((want - got).detach().abs().max()) < 1e-3
    assert (progress.iteration, progress.iterations) == (3, 40)
    np.testing.assert_array_equal(progress.history, [[3, 0.5]])
    np.testing.assert_array_equal(progress.peeks, [[3, 21.5]])
    assert (training / checkpoint.NAME).read_bytes() == before, "looking changes nothing"
    assert {path.name for path in training.iterdir()} == {checkpoint.NAME, checkpoint.START}


def test_the_page_follows_the_training(run: tuple[Path, Trainer, Path]) -> None:
    directory, trainer, training = run
    with Viewer(None, Options(port=0, livelink_port=0), Watched(directory)) as viewer:
        assert viewer.name == "alice"
        first = viewer.stage.avatar
        page = Page(viewer.server.port, viewer.stage.front())
        try:
            page.picture()
            for _ in range(4):
                trainer.step()
            checkpoint.save(training, trainer)
            page.wait(lambda: viewer.stage.avatar is not first, "the newer avatar")
            color = trainer.model.parameters["color"].detach().numpy()
            np.testing.assert_array_equal(viewer.stage.avatar.splats.color, color)
            count = page.pictures
            page.wait(lambda: page.pictures > count + 2, "pictures of it")
        finally:
            page.close()


def test_a_run_without_training_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No training"):
        Watched(tmp_path)
    with pytest.raises(InputError, match="No such run"):
        Watched(tmp_path / "nobody.run")


def test_a_training_of_an_older_program_is_a_clear_error(run: tuple[Path, Trainer, Path], tmp_path: Path) -> None:
    _, _, training = run
    copy = tmp_path / "old.run" / training.name
    copy.mkdir(parents=True)
    (copy / checkpoint.NAME).write_bytes((training / checkpoint.NAME).read_bytes())
    with pytest.raises(FileFormatError, match="older program"):
        Watched(tmp_path / "old.run").load()


def test_a_training_is_shown_before_its_first_checkpoint(run: tuple[Path, Trainer, Path], tmp_path: Path) -> None:
    _, trainer, training = run
    copy = tmp_path / "new.run" / training.name
    shutil.copytree(training / checkpoint.START, copy / checkpoint.START)
    found = Watched(tmp_path / "new.run").load()
    assert (found.iteration, found.iterations) == (0, 40)
    np.testing.assert_array_equal(found.avatar.splats.mean, trainer.seeded.mean)


def test_a_damaged_checkpoint_is_a_clear_error(run: tuple[Path, Trainer, Path], tmp_path: Path) -> None:
    _, _, training = run
    copy = tmp_path / "cut.run" / training.name
    shutil.copytree(training, copy)
    data = (copy / checkpoint.NAME).read_bytes()
    (copy / checkpoint.NAME).write_bytes(data[: len(data) // 2])
    with pytest.raises(FileFormatError):
        Watched(tmp_path / "cut.run").load()


def test_the_film_lies_beside_the_avatar(run: tuple[Path, Trainer, Path]) -> None:
    directory, trainer, _ = run
    watched = Watched(directory)
    found = watched.load()
    film = watched.film(found.avatar)
    assert film is not None
    camera = found.avatar.camera
    assert film.held == set(range(len(found.avatar.track.frame))) - set(trainer.rows.tolist())
    figure = Figure(found.avatar.model(), Face.of(Pose.of_track(found.avatar.track, [7])))
    canvas = (2 * camera.width, camera.height)  # wider than what was filmed
    color = np.array([10, 20, 30], np.uint8)
    image = compose(figure, film, 7, camera, canvas, 0.5, color)
    left, middle = (canvas[0] - camera.width) // 2, canvas[0] // 2
    assert (image[:, :left] == color).all()
    assert (image[:, left + camera.width :] == color).all()
    assert (image[:, middle - 1 : middle + 1] == 255).all(), "a line between the two"
    filmed = film.picture(7, camera.width, camera.height)
    np.testing.assert_array_equal(image[:, left : middle - 1], filmed[:, : camera.width // 2 - 1])
    plate = film.plate(camera.width, camera.height)
    behind = np.broadcast_to(color, filmed.shape) if plate is None else plate
    drawn, _ = figure.picture(camera, behind.astype(np.float32) / 255)
    right = image[:, middle + 1 : left + camera.width]
    np.testing.assert_array_equal(right, drawn[:, camera.width // 2 + 1 :])


def test_a_page_compares_with_the_film(run: tuple[Path, Trainer, Path]) -> None:
    directory, _, _ = run
    with Viewer(None, Options(port=0, livelink_port=0), Watched(directory)) as viewer:
        page = Page(viewer.server.port, viewer.stage.front())
        try:
            page.picture()
            page.set("Side by side", True)
            recording = viewer.stage.recording
            assert recording is not None
            until(lambda: recording.stepping)
            # A page answers the camera that it is sent; this one is no browser.
            page.wait(lambda: any(m["type"] == "SetCameraPositionMessage" for m in page.notes), "a moved camera")
            (visitor,) = viewer.stage.renderer.visitors.values()
            camera = viewer.stage.avatar.camera
            assert visitor.viewpoint is not None
            page.look(place(camera, visitor.viewpoint, 0.8))
            recording.clock.pause(time.monotonic())
            page.set("Wipe", 1.0)
            until(lambda: visitor.share == 1.0)
            assert viewer.stage.film is not None
            want = viewer.stage.film.picture(recording.row(time.monotonic()), 256, 256)
            # JPEG: 1 level measured; another frame or the avatar differs by far more.
            page.sharp(256, lambda image: difference(image, want) < 3, "the film")
            page.set("Wipe", 0.0)
            page.sharp(256, lambda image: difference(image, want) > 3, "the avatar")
            assert visitor.share == 0.0
            page.set("Side by side", False)
            until(lambda: visitor.share is None)
            until(lambda: not recording.stepping)
        finally:
            page.close()
