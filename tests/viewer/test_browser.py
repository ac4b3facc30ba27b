"""The page in a real browser: what is drawn, what is touched."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from avatars.viewer.app import Viewer
from avatars.viewer.figure import Figure

from .chromium import HOME, RIGHT, canvas, keep, middle, press, shown, slide, slider, visit, visitor, wait
from .conftest import NAME, difference, on_loop

pytestmark = pytest.mark.slow


def native(viewer: Viewer) -> np.ndarray:
    """The renderer's own picture of what the page should show."""
    view, figure, look = visitor(viewer).viewpoint, viewer.stage.renderer.figure, viewer.stage.renderer.look
    assert view is not None
    assert figure is not None
    return figure.picture(view.camera(view.height), np.array(look.background) / 255)[0]


def test_the_avatar_is_drawn(opened: Any, viewer: Viewer) -> None:
    # JPEG, then the page's own filtering on the way to the screen: 1.5 levels measured.
    got = canvas(opened, viewer, lambda image: difference(middle(image), middle(native(viewer))) < 4, "the avatar")
    keep(opened, "viewer")
    want = native(viewer)
    assert difference(middle(got), middle(want)) < 4
    assert want.std() > 20


def test_a_name_stays_a_name(opened: Any) -> None:
    assert opened.execute_script("return window.broken") is None
    assert NAME in opened.find_element("tag name", "body").text


def coarse(image: np.ndarray) -> np.ndarray:
    """Means of blocks of 8 pixels of the middle: what JPEG's quality, which adapts, hardly changes."""
    image = middle(image)
    height, width = image.shape[0] // 8, image.shape[1] // 8
    return image[: 8 * height, : 8 * width].astype(float).reshape(height, 8, width, 8, 3).mean((1, 3))


def test_a_slider_and_a_preset_move_the_face(opened: Any, viewer: Viewer) -> None:
    # Not two equal pictures of an empty page: the avatar at rest.
    drawn = canvas(opened, viewer, lambda image: difference(middle(image), middle(native(viewer))) < 4, "the avatar")
    before = coarse(drawn)
    press(opened, "Kiss")
    kissing = coarse(canvas(opened, viewer, lambda i: np.abs(coarse(i) - before).max() > 15, "a kiss"))  # measured 45
    assert viewer.stage.puppet.sliders.arkit.any()
    slide(opened, "Turn (°)", RIGHT, lambda value: value >= 15)
    wait(lambda: viewer.stage.puppet.sliders.turn[1] == shown(opened, "Turn (°)"), "the turn")
    assert 15 <= viewer.stage.puppet.sliders.turn[1] < 20
    canvas(opened, viewer, lambda image: difference(coarse(image), kissing) > 2, "a turned head")  # measured 6
    press(opened, "Reset")
    wait(lambda: not viewer.stage.puppet.sliders.arkit.any() and not viewer.stage.puppet.sliders.turn.any(), "rest")
    canvas(opened, viewer, lambda image: np.abs(coarse(image) - before).max() < 8, "the face at rest")


def test_an_arrow_key_held_on_a_slider_leaves_the_camera_alone(opened: Any, viewer: Viewer) -> None:
    from selenium.webdriver import ActionChains

    canvas(opened, viewer, lambda image: difference(middle(image), middle(native(viewer))) < 4, "the avatar")
    before = visitor(viewer).viewpoint
    thumb = slider(opened, "Turn (°)")
    opened.execute_script("arguments[0].focus()", thumb)
    ActionChains(opened).key_down(RIGHT).pause(0.6).key_up(RIGHT).perform()  # 30 degrees of the camera without a guard
    wait(lambda: viewer.stage.puppet.sliders.turn[1] > 0, "a turn")
    canvas(opened, viewer)
    assert visitor(viewer).viewpoint == before
    opened.execute_script("document.activeElement.blur()")
    ActionChains(opened).key_down(RIGHT).pause(0.2).key_up(RIGHT).perform()  # and where no slider has it, it turns
    wait(lambda: visitor(viewer).viewpoint != before, "a turned camera")


def test_the_timeline_plays_pauses_and_scrubs(opened: Any, viewer: Viewer) -> None:
    viewer.stage.choose("Captured motion")
    on_loop(viewer, viewer.drive.refresh)
    recording = viewer.stage.recording
    assert recording is not None
    assert recording.clock.playing

    def stands() -> float:
        return recording.clock.time(time.monotonic())

    def agree() -> bool:
        return abs(shown(opened, "Time (s)") - stands()) < 0.006

    press(opened, "Pause")
    wait(lambda: not recording.clock.playing, "a pause")
    # A key that changes nothing says nothing: the page first has to show where the clock was stopped.
    wait(agree, "where it was stopped")
    slide(opened, "Time (s)", HOME, lambda value: value == 0)
    wait(lambda: stands() < 0.006, "the start")
    first = canvas(opened, viewer)
    slide(opened, "Time (s)", RIGHT, lambda value: value >= 0.2)
    wait(lambda: agree() and 0.1 < stands() < 0.5, "the clock where the slider is")
    canvas(opened, viewer, lambda image: difference(first, image) > 0.1, "another moment")
    press(opened, "Play")
    wait(lambda: recording.clock.playing, "playing on")


def test_two_pages_have_their_own_cameras(opened: Any, viewer: Viewer) -> None:
    first_handle = opened.current_window_handle
    front = canvas(opened, viewer)
    opened.switch_to.new_window("window")
    opened.set_window_size(900, 760)
    try:
        visit(opened, viewer)
        assert len(viewer.stage.renderer.visitors) == 2
        press(opened, "View")
        press(opened, "30° left")
        wait(lambda: abs(visitor(viewer).client.camera.position[0] - viewer.stage.front().position[0]) > 20, "the turn")
        canvas(opened, viewer, lambda image: image.shape == front.shape and difference(front, image) > 5, "the side")
    finally:
        opened.close()
        opened.switch_to.window(first_handle)
    wait(lambda: len(viewer.stage.renderer.visitors) == 1, "the second page leaving")
    canvas(opened, viewer, lambda image: difference(image, front) < 0.5, "the first page as it was")


def test_the_page_has_nothing_to_complain_about(opened: Any, viewer: Viewer) -> None:
    opened.get_log("browser")  # what other tests left
    visit(opened, viewer)
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
