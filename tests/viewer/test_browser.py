"""The page in a real browser: what is drawn, what is touched."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from avatars.viewer.app import Viewer
from avatars.viewer.figure import Figure

from .chromium import canvas, keep, middle, press, slider, visitor, wait
from .conftest import NAME, difference, on_loop

pytestmark = pytest.mark.slow


def test_the_avatar_is_drawn(opened: Any, viewer: Viewer) -> None:
    got = canvas(opened, viewer)
    keep(opened, "viewer")
    view, figure, look = visitor(viewer).viewpoint, viewer.stage.renderer.figure, viewer.stage.renderer.look
    assert view is not None
    assert figure is not None
    want, _ = figure.picture(view.camera(view.height), np.array(look.background) / 255)
    # JPEG, then the page's own filtering on the way to the screen: 1.5 levels measured.
    assert difference(middle(got), middle(want)) < 4
    assert want.std() > 20


def test_a_name_stays_a_name(opened: Any) -> None:
    assert opened.execute_script("return window.broken") is None
    assert NAME in opened.find_element("tag name", "body").text


def coarse(image: np.ndarray) -> np.ndarray:
    """Means of blocks of 8 pixels: what JPEG's quality, which adapts, hardly changes."""
    height, width = image.shape[0] // 8, image.shape[1] // 8
    return image[: 8 * height, : 8 * width].astype(float).reshape(height, 8, width, 8, 3).mean((1, 3))


def test_a_slider_and_a_preset_move_the_face(opened: Any, viewer: Viewer) -> None:
    before = coarse(canvas(opened, viewer))
    press(opened, "Kiss")
    wait(lambda: bool(viewer.stage.puppet.sliders.arkit.any()), "the preset")
    kissing = coarse(canvas(opened, viewer))
    assert np.abs(before - kissing).max() > 15  # measured 45
    thumb = slider(opened, "Turn (°)")
    for _ in range(30):
        thumb.send_keys("\ue014")  # arrow right
    wait(lambda: viewer.stage.puppet.sliders.turn[1] == 15.0, "15 degrees")
    assert difference(coarse(canvas(opened, viewer)), kissing) > 2  # measured 6
    press(opened, "Reset")
    wait(lambda: not viewer.stage.puppet.sliders.arkit.any() and not viewer.stage.puppet.sliders.turn.any(), "rest")
    assert np.abs(coarse(canvas(opened, viewer)) - before).max() < 8  # measured 3.5: JPEG's quality adapts


def test_the_timeline_plays_pauses_and_scrubs(opened: Any, viewer: Viewer) -> None:
    viewer.stage.choose("Captured motion")
    on_loop(viewer, viewer.drive.refresh)
    recording = viewer.stage.recording
    assert recording is not None
    assert recording.clock.playing
    press(opened, "Pause")
    wait(lambda: not recording.clock.playing, "a pause")
    thumb = slider(opened, "Time (s)")
    # A key that changes nothing says nothing: the page first has to show where the clock was stopped.
    stopped = recording.clock.time(time.monotonic())
    wait(lambda: abs(float(thumb.get_attribute("aria-valuenow")) - stopped) < 0.006, "where it was stopped")
    thumb.send_keys("\ue011")  # home
    wait(lambda: recording.clock.time(time.monotonic()) < 0.006, "the start")
    first = canvas(opened, viewer)
    for _ in range(25):
        thumb.send_keys("\ue014")
    # A page that is slow to draw merges presses: what counts is that the clock stands where the slider does.
    shown = wait(lambda: float(thumb.get_attribute("aria-valuenow")), "a moved slider")
    assert 0.05 < shown < 0.26
    wait(lambda: abs(recording.clock.time(time.monotonic()) - shown) < 1e-6, "the clock where the slider is")
    assert difference(first, canvas(opened, viewer)) > 0.1
    press(opened, "Play")
    wait(lambda: recording.clock.playing, "playing on")


def test_two_pages_have_their_own_cameras(opened: Any, viewer: Viewer) -> None:
    first_handle = opened.current_window_handle
    front = canvas(opened, viewer)
    opened.switch_to.new_window("window")
    opened.set_window_size(900, 760)
    try:
        opened.get(viewer.url)
        wait(lambda: len(viewer.stage.renderer.visitors) == 2, "the second page")
        press(opened, "View")
        press(opened, "30° left")
        wait(lambda: abs(visitor(viewer).client.camera.position[0] - viewer.stage.front().position[0]) > 20, "the turn")
        side = canvas(opened, viewer)
        assert difference(front, side) > 5
    finally:
        opened.close()
        opened.switch_to.window(first_handle)
    wait(lambda: len(viewer.stage.renderer.visitors) == 1, "the second page leaving")
    assert difference(canvas(opened, viewer), front) < 0.5


def test_the_page_has_nothing_to_complain_about(opened: Any, viewer: Viewer) -> None:
    canvas(opened, viewer)
    complaints = [entry["message"] for entry in opened.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [text for text in complaints if "favicon" not in text]


def test_the_figure_is_the_avatar(viewer: Viewer) -> None:
    """The reference of these tests is not what is tested: a second figure of the same face gives the same picture."""
    view = viewer.stage.front()
    assert view.fov > 0
    figure = Figure(viewer.stage.avatar.model(), viewer.stage.person.rest)
    camera = viewer.stage.avatar.camera
    a, _ = figure.picture(camera, np.zeros(3))
    b = viewer.stage.avatar.model().render(viewer.stage.person.rest.pose(), camera).color[0].permute(1, 2, 0).numpy()
    assert np.abs(a / 255.0 - b.clip(0, 1)).max() < 0.51 / 255 + 1e-6
