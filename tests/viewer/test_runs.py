"""A run seen from its files, while it trains and after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatars.capture.store import save_clip
from avatars.errors import InputError
from avatars.heads.anny import default_head
from avatars.heads.head import Head
from avatars.tracking.track import save_track
from avatars.training import build, checkpoint
from avatars.training.frames import split
from avatars.training.loop import Trainer
from avatars.training.presets import load_preset
from avatars.viewer.app import Options, Viewer
from avatars.viewer.runs import Watched
from tests.training.scene import make_scene

from .page import Page


def find_head(_: dict[str, str]) -> Head:
    return default_head()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trainer, Path]:
    """(run directory, its trainer, the training's directory), three steps in."""
    head, clip, track = make_scene()
    directory = tmp_path_factory.mktemp("runs") / "alice.run"
    preset = replace(load_preset("tiny"), splats=600, size=96, iterations=40)
    save_clip(clip, directory / "clip")
    save_track(track, directory / "track.safetensors")
    thinned = build.thin(track, preset.frames)
    rows, _ = split(thinned.times, "fifth")
    trainer = Trainer(head.shape(track.identity), clip, thinned, rows, preset)
    training = directory / build._training_name(preset, "fifth")
    for _ in range(3):
        trainer.step()
    trainer.history.append((3, 0.5))
    checkpoint.save(training, trainer)
    return directory, trainer, training


def test_a_checkpoint_becomes_the_avatar_it_holds(run: tuple[Path, Trainer, Path]) -> None:
    directory, trainer, training = run
    before = (training / checkpoint.NAME).read_bytes()
    watched = Watched(directory, find_head)
    assert watched.changed()
    avatar, progress = watched.load()
    assert not watched.changed()
    avatar.validate()
    for name, value in trainer.model.parameters.items():
        np.testing.assert_array_equal(getattr(avatar.splats, name), value.detach().numpy(), err_msg=name)
    np.testing.assert_array_equal(avatar.track.expression, trainer.poses.pose.expression.numpy())
    assert (progress.iteration, progress.iterations) == (3, 40)
    np.testing.assert_array_equal(progress.history, [[3, 0.5]])
    assert (training / checkpoint.NAME).read_bytes() == before, "looking changes nothing"
    assert {path.name for path in training.iterdir()} == {checkpoint.NAME}


def test_the_page_follows_the_training(run: tuple[Path, Trainer, Path]) -> None:
    directory, trainer, training = run
    with Viewer(None, Options(port=0, livelink_port=0), Watched(directory, find_head)) as viewer:
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
        Watched(tmp_path, find_head)


def test_a_run_of_another_head_is_a_clear_error(run: tuple[Path, Trainer, Path]) -> None:
    directory, _, _ = run
    with pytest.raises(InputError, match="another head"):
        Watched(directory, lambda _: replace(default_head(), sha256="other")).load()
