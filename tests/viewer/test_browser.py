"""The page in a real browser: Chromium without a window, through its driver."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

from avatars.viewer.app import Viewer
from avatars.viewer.figure import Figure
from avatars.viewer.sources.speech import Speech
from avatars.viewer.visitor import Visitor

from .conftest import NAME, difference, on_loop

pytestmark = pytest.mark.slow
_FLAGS = (
    "--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=900,760", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)  # fmt: skip
_WAIT = 40.0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser, or a skip that says what is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install selenium)")
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("Chromium and its driver are not installed (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.chrome.service.Service(driver)
    browser = webdriver.Chrome(service=service, options=options)
    browser.set_page_load_timeout(_WAIT)
    yield browser
    browser.quit()


@pytest.fixture
def opened(browser: Any, viewer: Viewer) -> Any:
    """The browser on the viewer's page, with the avatar drawn."""
    browser.get(viewer.url)
    wait(lambda: any(v.sent for v in viewer.stage.renderer.visitors.values()), "the first picture")
    for note in browser.find_elements("css selector", ".mantine-Notification-closeButton"):
        note.click()  # that WebGL is drawn in software, which is meant here
    return browser


def wait(ready: Callable[[], Any], what: str) -> Any:
    """Until something holds."""
    deadline = time.monotonic() + _WAIT
    while not (found := ready()):
        assert time.monotonic() < deadline, f"never saw {what}"
        time.sleep(0.05)
    return found


def visitor(viewer: Viewer) -> Visitor:
    """The page that came last."""
    wait(lambda: viewer.stage.renderer.visitors, "a visitor")
    visitors = viewer.stage.renderer.visitors
    return visitors[max(visitors)]


def canvas(browser: Any, viewer: Viewer) -> np.ndarray:
    """What the browser shows of the scene [H, W, 3], once nothing changes any more."""
    who = visitor(viewer)
    wait(lambda: who.viewpoint is not None and who.rows >= min(who.viewpoint.height, 1080), "a sharp picture")
    last: np.ndarray | None = None
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        time.sleep(0.7)
        image = np.asarray(iio.imread(io.BytesIO(browser.get_screenshot_as_png())))[..., :3]
        assert who.viewpoint is not None
        image = image[: who.viewpoint.height, : who.viewpoint.width]
        if last is not None and difference(image, last) < 0.05:
            return image
        last = image
    raise AssertionError("the page never stood still")


def press(browser: Any, text: str) -> None:
    """A button or a tab by its text."""
    button = f"//button[normalize-space(.)='{text}'] | //*[normalize-space(text())='{text}']"
    found = wait(lambda: [e for e in browser.find_elements("xpath", button) if e.is_displayed()], f"the button {text}")
    found[0].click()


def slider(browser: Any, label: str) -> Any:
    """The thumb of the slider beside a label."""
    place = f"//label[normalize-space(.)='{label}']/following::*[@role='slider'][1]"
    return wait(lambda: browser.find_elements("xpath", place), f"the slider {label}")[0]


def keep(browser: Any, name: str) -> None:
    """Put a screenshot where a report can find it, if $AVATARS_TEST_REPORT names a folder."""
    folder = os.environ.get("AVATARS_TEST_REPORT")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_the_avatar_is_drawn(opened: Any, viewer: Viewer) -> None:
    got = canvas(opened, viewer)
    keep(opened, "viewer")
    view, figure, look = visitor(viewer).viewpoint, viewer.stage.renderer.figure, viewer.stage.renderer.look
    assert view is not None
    assert figure is not None
    want, _ = figure.picture(view.camera(view.height), np.array(look.background) / 255)
    middle = np.s_[:, view.width // 5 : -view.width // 5]  # viser's own marks lie at the edges
    # JPEG, then the page's own filtering on the way to the screen: 1.5 levels measured.
    assert difference(got[middle], want[middle]) < 4
    assert want.std() > 20


def test_a_name_stays_a_name(opened: Any) -> None:
    assert opened.execute_script("return window.broken") is None
    assert NAME in opened.find_element("tag name", "body").text


def test_a_slider_and_a_preset_move_the_face(opened: Any, viewer: Viewer) -> None:
    before = canvas(opened, viewer)
    press(opened, "Kiss")
    wait(lambda: bool(viewer.stage.puppet.sliders.arkit.any()), "the preset")
    kissing = canvas(opened, viewer)
    assert difference(before, kissing) > 0.3
    thumb = slider(opened, "Turn (°)")
    for _ in range(30):
        thumb.send_keys("\ue014")  # arrow right
    wait(lambda: viewer.stage.puppet.sliders.turn[1] == 15.0, "15 degrees")
    assert difference(canvas(opened, viewer), kissing) > 2
    press(opened, "Reset")
    wait(lambda: not viewer.stage.puppet.sliders.arkit.any() and not viewer.stage.puppet.sliders.turn.any(), "rest")
    assert difference(canvas(opened, viewer), before) < 0.5


def test_the_timeline_plays_pauses_and_scrubs(opened: Any, viewer: Viewer) -> None:
    viewer.stage.choose("Captured motion")
    on_loop(viewer, viewer.drive.refresh)
    recording = viewer.stage.recording
    assert recording is not None
    assert recording.clock.playing
    press(opened, "Pause")
    wait(lambda: not recording.clock.playing, "a pause")
    thumb = slider(opened, "Time (s)")
    thumb.send_keys("\ue011")  # home
    wait(lambda: recording.clock.time(time.monotonic()) == 0.0, "the start")
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


def test_a_microphone_drives_the_lips(opened: Any, viewer: Viewer) -> None:
    on_loop(viewer, lambda: setattr(viewer.drive.source, "value", "Speech"))
    wait(lambda: viewer.stage.name == "Speech" and viewer.talk.speech is not None, "the source")
    speech = viewer.stage.speech
    assert isinstance(speech, Speech)
    frame = wait(lambda: opened.find_elements("tag name", "iframe"), "the sound page")[0]
    opened.switch_to.frame(frame)
    try:
        wait(lambda: opened.find_elements("id", "mic"), "its button")[0].click()
        wait(lambda: speech.live, "an open microphone")
        rest = viewer.stage.person.rest.expression
        moved = wait(lambda: np.abs(speech.face(time.monotonic()).expression - rest).max() > 0.05, "a moving face")
        assert moved
        assert opened.find_element("id", "say").text == "Listening"
        opened.find_element("id", "stop").click()
        wait(lambda: not speech.live, "a closed microphone")
    finally:
        opened.switch_to.default_content()


def test_typed_text_is_heard_and_seen(opened: Any, viewer: Viewer) -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    on_loop(viewer, lambda: setattr(viewer.drive.source, "value", "Speech"))
    wait(lambda: viewer.stage.name == "Speech" and viewer.talk.speech is not None, "the source")
    speech = viewer.stage.speech
    assert isinstance(speech, Speech)
    opened.switch_to.frame(wait(lambda: opened.find_elements("tag name", "iframe"), "the sound page")[0])
    try:
        text = wait(lambda: [e for e in opened.find_elements("id", "text") if e.is_displayed()], "the text field")[0]
        text.send_keys("My name is nobody, and nobody minds at all.")
        opened.find_element("id", "speak").click()
        wait(
            lambda: speech.position(time.monotonic()) is not None,
            "a playing sound: " + opened.find_element("id", "say").text,
        )
        first = speech.position(time.monotonic())
        wait(lambda: (speech.position(time.monotonic()) or 0) > (first or 0) + 0.5, "the sound going on")
        motion = speech.heard()
        assert motion is not None
        assert 1.5 < motion.times[-1] < 10
        assert motion.arkit.max() > 0.2
    finally:
        opened.switch_to.default_content()


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
