"""The other sources in a real browser: a film in a camera's place, a camera that is not there, a training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from avatars.splats.avatar import Avatar
from avatars.training.loop import Trainer
from avatars.viewer.app import Options, Viewer
from avatars.viewer.runs import Watched
from avatars.viewer.sources.camera import Camera
from avatars.viewer.wipe import compose

from .chromium import (
    END,
    HOME,
    SIZE,
    canvas,
    check,
    keep,
    middle,
    notices,
    press,
    slide,
    touch,
    visit,
    visitor,
    wait,
)  # fmt: skip
from .conftest import difference
from .test_camera import CLIPS

pytestmark = pytest.mark.slow
_COLOR = (200, 60, 90)
_BIG = (1280, 940)


@pytest.fixture
def large(browser: Any) -> Iterator[Any]:
    """The browser with room for the whole panel, and on no page afterwards."""
    browser.set_window_size(*_BIG)
    yield browser
    browser.get("about:blank")
    browser.set_window_size(*SIZE)


def faceless(path: Path) -> Path:
    """A film of nothing but a colour, 320 x 180 px, four seconds."""
    with av.open(str(path), "w") as film:
        video = film.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        picture = np.full((180, 320, 3), _COLOR, np.uint8)
        for i in range(100):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            film.mux(video.encode(frame))
        film.mux(video.encode(None))
    return path


def choose(browser: Any, name: str) -> None:
    """Choose a source as a visitor does."""
    touch(browser, "//label[normalize-space(.)='Driven by']/following::input[1]", "the list of sources")
    touch(browser, f"//*[@role='option'][normalize-space(.)='{name}']", f"the source {name}")


def text(browser: Any) -> str:
    """All that the page says."""
    return str(browser.execute_script("return document.body.innerText"))


def preview(browser: Any) -> np.ndarray | None:
    """The middle row of what the camera sees [W, 3], as the panel shows it; None while it shows nothing."""
    script = """
    const shown = [...document.images].filter(i => i.offsetParent && i.naturalHeight > 50);
    if (!shown.length || !shown[0].complete) return null;
    const c = document.createElement('canvas'), i = shown[0];
    c.width = i.naturalWidth; c.height = i.naturalHeight;
    c.getContext('2d').drawImage(i, 0, 0);
    return [...c.getContext('2d').getImageData(0, c.height >> 1, c.width, 1).data];
    """
    pixels = browser.execute_script(script)
    return None if pixels is None else np.array(pixels).reshape(-1, 4)[:, :3]


def test_a_film_without_a_face_is_shown_and_said(large: Any, avatar: Avatar, tmp_path: Path) -> None:
    film = faceless(tmp_path / "empty room.mp4")
    with Viewer(avatar, Options(port=0, livelink_port=0, camera=str(film))) as viewer:
        visit(large, viewer)
        assert preview(large) is None
        choose(large, "Film: empty room.mp4")
        wait(lambda: "No face in view" in text(large), "that there is no face")
        row = wait(lambda: [r for r in [preview(large)] if r is not None], "the film")[0]
        assert 260 <= len(row) <= 270, "150 rows of 16:9"
        assert np.abs(np.median(row, 0) - _COLOR).max() < 12
        assert "Take this as the resting face" in text(large)
        keep(large, "source-film-without-a-face")
        source = viewer.stage.puppet.source
        assert isinstance(source, Camera)
        choose(large, "Sliders only")
        wait(lambda: "Take this as the resting face" not in text(large), "the panel without a camera")
        assert preview(large) is None
        wait(lambda: not source._thread.is_alive(), "the film's end")


@pytest.mark.footage
def test_a_film_drives_the_avatar_before_one_s_eyes(large: Any, avatar: Avatar) -> None:
    film = CLIPS / "talk_katie_512.mp4"
    if not film.exists():
        pytest.skip("the clips are not beside the checkout")
    with Viewer(avatar, Options(port=0, livelink_port=0, camera=str(film))) as viewer:
        visit(large, viewer)
        rest = viewer.stage.person.rest
        choose(large, "Film: talk_katie_512.mp4")
        wait(lambda: "Look into the camera with a calm face" in text(large), "that the resting face is learned")
        wait(lambda: "Following the face" in text(large), "that it is followed")
        source = viewer.stage.puppet.source
        assert isinstance(source, Camera)
        wait(lambda: np.abs(source.face(time.monotonic()).expression - rest.expression).max() > 0.2, "a moved face")
        row = wait(lambda: [r for r in [preview(large)] if r is not None], "the film")[0]
        assert row.std() > 20, "there is a picture of somebody"
        press(large, "Curves")
        wait(lambda: plotted(large)[1] > 0.15, "a curve that rises")
        (first, last), _ = plotted(large)
        assert (first, last) == (-6, 0), "the last seconds are shown"
        keep(large, "source-film")
        press(large, "Take this as the resting face")
        wait(lambda: "Look into the camera with a calm face" in text(large), "that it is learned anew")


def plotted(browser: Any) -> tuple[tuple[float, float], float]:
    """(ends of the time axis, highest value) of the live plot as it is drawn."""
    script = """
    const plots = Object.values((window.__viserTestpoints || {}).uplots || {});
    if (!plots.length) return null;
    const u = plots[0].chart, inside = u.data[0].map((t, i) => i).filter(
      i => u.data[0][i] >= u.scales.x.min && u.data[0][i] <= u.scales.x.max);
    return [u.scales.x.min, u.scales.x.max,
            Math.max(0, ...[].concat(...u.data.slice(1, -1).map(d => [...inside].map(i => d[i]))))];
    """
    first, last, top = wait(lambda: browser.execute_script(script), "the plot")
    return (first, last), top


def test_curves_are_drawn_on_a_tab_that_is_opened_late(large: Any, avatar: Avatar) -> None:
    """The page must not lose its place on the axis while the plot is hidden."""
    with Viewer(avatar, Options(port=0, livelink_port=0)) as viewer:
        visit(large, viewer)
        duration = viewer.stage.recording.clock.duration if viewer.stage.recording else 0.0
        wait(lambda: viewer.gauges.plot.stretch == (0.0, duration), "curves of the captured motion")
        choose(large, "Sliders only")
        wait(lambda: viewer.gauges.plot.stretch == (-6.0, 0.0), "curves of the last seconds")
        choose(large, "Captured motion")
        wait(lambda: viewer.gauges.plot.stretch == (0.0, duration), "curves of the captured motion")
        press(large, "Curves")
        wait(lambda: plotted(large)[0] == (0.0, duration), "the whole recording")
        wait(lambda: plotted(large)[1] > 0.5, "its jaw")  # which opens to 0.6
        keep(large, "curves")


def test_the_film_is_wiped_over_the_avatar(large: Any, run: tuple[Path, Trainer, Path]) -> None:
    with Viewer(None, Options(port=0, livelink_port=0), Watched(run[0])) as viewer:
        visit(large, viewer)
        recording, who = viewer.stage.recording, visitor(viewer)
        assert recording is not None
        recording.clock.pause(time.monotonic())
        check(large, "Side by side")
        wait(lambda: who.share == 0.5, "the wish to compare")

        def expected(share: float) -> np.ndarray:
            view, figure, film = who.viewpoint, viewer.stage.renderer.figure, viewer.stage.film
            assert view is not None
            assert figure is not None
            assert film is not None
            row, color = recording.row(time.monotonic()), np.array(viewer.stage.renderer.look.background, np.uint8)
            return compose(figure, film, row, viewer.stage.avatar.camera, (view.width, view.height), share, color)

        for key, share in ((HOME, 0.0), (END, 1.0)):
            slide(large, "Wipe", key, lambda value, share=share: value == share)
            wait(lambda share=share: who.share == share, "the wipe")
            want, other = middle(expected(share)), middle(expected(1 - share))
            apart = difference(want, other)
            assert apart > 3, "film and avatar can be told apart"
            canvas(
                large, viewer, lambda image, want=want, apart=apart: difference(middle(image), want) < apart / 2,
                "the avatar" if share == 0 else "the film",
            )  # fmt: skip
        assert "held out" in text(large) or "trained on" in text(large)
        keep(large, "training-wipe")


def test_a_camera_that_is_not_there_is_said(large: Any, avatar: Avatar) -> None:
    with Viewer(avatar, Options(port=0, livelink_port=0, camera="97")) as viewer:
        visit(large, viewer)
        choose(large, "Camera 97")
        wait(lambda: "Camera 97 cannot be opened" in notices(large), "a notification")
        assert viewer.stage.name == "Captured motion"
        wait(lambda: "Take this as the resting face" not in text(large), "the panel as it was")
