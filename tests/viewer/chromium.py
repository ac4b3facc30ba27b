"""A real browser: Chromium without a window, through its driver, and what the tests do in it."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

from avatars.viewer.app import Viewer
from avatars.viewer.visitor import Visitor

from .conftest import difference
from .patience import PATIENCE as WAIT
from .patience import until

_FLAGS = (
    "--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required", "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows",
)  # fmt: skip
SIZE = (900, 760)
"""px of the window."""
_CLOSE = "document.querySelectorAll('.mantine-Notification-closeButton').forEach(b => b.click())"
RIGHT, HOME, END = "\ue014", "\ue011", "\ue010"
"""Keys."""


def start(profile: Path) -> Any:
    """A browser, or a skip that says what is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install selenium)")
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("Chromium and its driver are not installed (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    for flag in (*_FLAGS, "--window-size={},{}".format(*SIZE), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(service=webdriver.chrome.service.Service(driver), options=options)
    browser.set_page_load_timeout(3 * WAIT)
    return browser


def wait(ready: Callable[[], Any], what: str, seconds: float = WAIT) -> Any:
    """Until something holds."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < deadline, f"never saw {what}"
        time.sleep(0.05)
    return found


def visit(browser: Any, viewer: Viewer) -> Any:
    """The browser on a viewer's page, with the avatar drawn."""
    visitors = viewer.stage.renderer.visitors
    before = set(visitors)
    browser.get(viewer.url)
    until(lambda: any(who.sent for number, who in list(visitors.items()) if number not in before))
    return browser


def visitor(viewer: Viewer) -> Visitor:
    """The page that came last."""
    wait(lambda: viewer.stage.renderer.visitors, "a visitor")
    visitors = viewer.stage.renderer.visitors
    return visitors[max(visitors)]


_BARE = """
let style = document.getElementById('bare');
if (!style) { style = document.createElement('style'); style.id = 'bare'; document.head.append(style); }
style.textContent = arguments[0] ? '.mantine-Notification-root { visibility: hidden !important; }' : '';
"""


def seen(browser: Any, who: Visitor) -> np.ndarray:
    """What the browser shows of the scene at this moment [H, W, 3]."""
    browser.execute_script(_BARE, True)  # notices come when they like, over the picture
    try:
        image = np.asarray(iio.imread(io.BytesIO(_screenshot(browser))))[..., :3]
    finally:
        browser.execute_script(_BARE, False)
    assert who.viewpoint is not None
    return image[: who.viewpoint.height, : who.viewpoint.width]


def _screenshot(browser: Any) -> bytes:
    """A PNG; asked for again where drawing in software kept the page from answering in the driver's ten seconds."""
    from selenium.common.exceptions import TimeoutException

    deadline = time.monotonic() + WAIT
    while True:
        try:
            return browser.get_screenshot_as_png()
        except TimeoutException:
            if time.monotonic() > deadline:
                raise


def canvas(
    browser: Any, viewer: Viewer, ready: Callable[[np.ndarray], object] = lambda image: True, what: str = "stillness"
) -> np.ndarray:
    """What the browser shows of the scene [H, W, 3], once it is sharp and as wanted, and changes no more.

    Args:
        ready: whether a picture is the one that is waited for: what was asked for a moment ago may be on its way.
        what: that is, in words.
    """
    who = visitor(viewer)
    last: np.ndarray | None = None
    deadline = time.monotonic() + WAIT
    while True:
        browser.execute_script(_CLOSE)  # such as the one that WebGL is drawn in software, which is meant here
        image = seen(browser, who) if who.viewpoint is not None and who.still else None
        if image is not None and last is not None and difference(image, last) < 0.05 and ready(image):
            return image
        if time.monotonic() >= deadline:
            keep(browser, f"never saw {what}")
            moved = None if image is None or last is None else difference(image, last)
            pytest.fail(f"never saw {what}: still {who.still}, {moved} levels from the picture before")
        last = image
        time.sleep(0.4)


def middle(image: np.ndarray) -> np.ndarray:
    """Without the edges, where viser's own marks lie."""
    width = image.shape[1]
    return image[:, width // 5 : -width // 5]


def touch(browser: Any, place: str, what: str) -> None:
    """Click on the first visible element of an XPath, again if the page was just being rearranged."""
    from selenium.common.exceptions import (
        ElementClickInterceptedException,
        ElementNotInteractableException,
        StaleElementReferenceException,
    )

    def clicked() -> bool:
        try:
            for element in browser.find_elements("xpath", place):
                if element.is_displayed():
                    element.click()
                    return True
        except ElementClickInterceptedException:
            browser.execute_script(_CLOSE)
        except (ElementNotInteractableException, StaleElementReferenceException):
            pass
        return False

    wait(clicked, what)


def press(browser: Any, text: str) -> None:
    """A button or a tab by its text."""
    touch(browser, f"//button[normalize-space(.)='{text}'] | //*[normalize-space(text())='{text}']", f"a button {text}")


def check(browser: Any, label: str) -> None:
    """Tick or untick a box."""
    touch(browser, f"//label[normalize-space(.)='{label}']/following::input[@type='checkbox'][1]", f"a box {label}")


def slider(browser: Any, label: str) -> Any:
    """The thumb of the slider beside a label."""
    place = f"//label[normalize-space(.)='{label}']/following::*[@role='slider'][1]"
    return wait(lambda: browser.find_elements("xpath", place), f"the slider {label}")[0]


def shown(browser: Any, label: str) -> float:
    """Where a slider stands on the page."""
    script = "return arguments[0].getAttribute('aria-valuenow')"
    return float(browser.execute_script(script, slider(browser, label)))


def slide(browser: Any, label: str, key: str, there: Callable[[float], bool]) -> None:
    """Press a key on a slider until it is where it should be.

    One press at a time: a page that is slow to draw takes two at once for one.
    """
    deadline = time.monotonic() + WAIT
    while not there(before := shown(browser, label)):
        assert time.monotonic() < deadline, f"the slider {label} stays at {before}"
        slider(browser, label).send_keys(key)
        patience = time.monotonic() + 1.0
        while shown(browser, label) == before and time.monotonic() < patience:
            time.sleep(0.01)


def notices(browser: Any) -> str:
    """The texts of the notifications on the page."""
    return "\n".join(e.text for e in browser.find_elements("css selector", ".mantine-Notification-root"))


def keep(browser: Any, name: str) -> None:
    """Put a screenshot where a report can find it, if $AVATARS_TEST_REPORT names a folder."""
    from selenium.common.exceptions import TimeoutException

    folder = os.environ.get("AVATARS_TEST_REPORT")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(TimeoutException):  # a page that moves on a busy machine: the report goes without
            (Path(folder) / f"{name}.png").write_bytes(browser.get_screenshot_as_png())
