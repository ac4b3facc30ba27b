"""One avatar and one running viewer for all tests of the folder; each test finds it at rest."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatars.capture.store import save_clip
from avatars.splats.avatar import Avatar
from avatars.tracking.track import save_track
from avatars.training import build, checkpoint
from avatars.training.frames import split
from avatars.training.loop import Trainer
from avatars.training.presets import load_preset
from avatars.viewer.app import Options, Viewer
from tests.training.scene import make_scene

from .making import make_avatar
from .page import Page
from .patience import PATIENCE, until

os.environ["SE_OFFLINE"] = "true"
NAME = "<img src=x onerror=window.broken=1> & Co"


@pytest.fixture(scope="session")
def avatar() -> Avatar:
    """The invented avatar, with a name that tries to become markup."""
    return make_avatar(name=NAME)


@pytest.fixture(scope="session")
def running(avatar: Avatar) -> Iterator[Viewer]:
    """A viewer on a free port."""
    with Viewer(avatar, Options(port=0, livelink_port=0)) as viewer:
        yield viewer


@pytest.fixture
def viewer(running: Viewer) -> Viewer:
    """The viewer, still, with nothing added and nobody looking."""
    until(lambda: not running.stage.renderer.visitors)  # those of the test before are on their way out
    running.stage.choose("Sliders only")

    def rest() -> None:
        running.drive.source.value = "Sliders only"
        running.drive.refresh()
        running.face.clear()
        running.view._put(running.view._first)

    on_loop(running, rest)
    running.stage.renderer._scene.reset()  # nodes of earlier tests, which only stand hidden
    return running


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium, without a page yet."""
    from .chromium import start

    browser = start(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.quit()


@pytest.fixture
def opened(browser: Any, viewer: Viewer) -> Iterator[Any]:
    """The browser on the viewer's page, with the avatar drawn."""
    from .chromium import visit

    yield visit(browser, viewer)
    browser.get("about:blank")
    until(lambda: not viewer.stage.renderer.visitors)


@pytest.fixture
def small(opened: Any, viewer: Viewer) -> Iterator[Any]:
    """The browser on a small page: for what is drawn there, in software, and slowly."""
    from .chromium import SIZE, visitor

    opened.set_window_size(700, 420)
    until(lambda: (view := visitor(viewer).viewpoint) and view.width < 450)
    yield opened
    opened.set_window_size(*SIZE)


@pytest.fixture
def page(viewer: Viewer) -> Iterator[Page]:
    """An open page that looks from the front."""
    page = Page(viewer.server.port, viewer.stage.front())
    yield page
    page.close()


def on_loop(viewer: Viewer, call: Callable[[], object]) -> None:
    """Run something where everything that goes to pages runs, and wait for it."""

    async def run() -> None:
        call()

    asyncio.run_coroutine_threadsafe(run(), viewer.server.viser.get_event_loop()).result(PATIENCE)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two pictures, in levels of 255."""
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


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
    training = directory / build.training_name(preset, "fifth", track)
    for _ in range(3):
        trainer.step()
    trainer.history.append((3, 0.5))
    trainer.peeks.append((3, 21.5))
    checkpoint.begin(training, trainer)
    checkpoint.save(training, trainer)
    return directory, trainer, training
