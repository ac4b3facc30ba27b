"""What a page is shown, against the renderer itself."""

from __future__ import annotations

import time
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

from avatars.heads.arkit import INDEX
from avatars.splats.avatar import Avatar
from avatars.viewer.app import Options, Viewer
from avatars.viewer.figure import Figure
from avatars.viewer.framing import UNITS, Viewpoint

from .conftest import difference
from .page import Page
from .patience import until


def expected(viewer: Viewer, **sliders: float) -> np.ndarray:
    """The native picture for the page's own camera."""
    (visitor,) = [v for v in viewer.stage.renderer.visitors.values() if v.viewpoint is not None]
    assert visitor.viewpoint is not None
    coefficients = np.zeros(52)
    for name, value in sliders.items():
        coefficients[INDEX[name]] = value
    person = viewer.stage.person
    face = person.add(person.rest, coefficients, np.zeros(3), np.zeros(3))
    background = np.array(viewer.stage.renderer.look.background) / 255
    return Figure(viewer.stage.avatar.model(), face).picture(visitor.viewpoint.camera(256), background)[0]


def test_a_page_gets_the_native_picture(viewer: Viewer, page: Page) -> None:
    # JPEG of quality 93 on these speckled splats: 1.2 levels measured; another pose differs by far more.
    page.sharp(256, lambda image: difference(image, expected(viewer)) < 2.5, "the native picture")
    assert expected(viewer).std() > 20, "the picture shows somebody"


def test_a_slider_moves_the_mouth(viewer: Viewer, page: Page) -> None:
    before = page.sharp(256, lambda image: difference(image, expected(viewer)) < 2.5, "the face at rest")
    page.set("Open", 1.0)
    page.wait(lambda: viewer.stage.puppet.sliders.arkit[INDEX["jawOpen"]] == 1, "the slider")
    rest, want = expected(viewer), expected(viewer, jawOpen=1.0)

    def is_open(image: np.ndarray) -> bool:
        return difference(image, want) < min(2.5, 0.7 * difference(image, rest))  # 1.2 and 2.2 measured

    assert not is_open(before)
    after = page.sharp(256, is_open, "an open mouth")
    moved = np.abs(after.astype(float) - before.astype(float)).mean(2)
    assert moved[128:].sum() > 10 * moved[:128].sum(), "the lower half of the face moves, the upper one does not"


def test_what_stands_still_is_sent_once_more_as_it_is(viewer: Viewer, page: Page) -> None:
    """Also where pictures that are in time were whole already: those are packed for speed."""
    page.sharp(256)
    viewer.stage.choose("Captured motion")
    page.wait(lambda: page.pictures > 10, "moving pictures")
    recording = viewer.stage.recording
    assert recording is not None
    recording.clock.pause(time.monotonic())
    (visitor,) = viewer.stage.renderer.visitors.values()
    until(lambda: visitor.still)
    image = page.sharp(256)
    figure = viewer.stage.renderer.figure
    assert figure is not None
    assert visitor.viewpoint is not None
    background = np.array(viewer.stage.renderer.look.background) / 255
    want = figure.picture(visitor.viewpoint.camera(256), background)[0]
    packed = [iio.imread(iio.imwrite("<bytes>", want, extension=".jpg", quality=q)) for q in (78, 93)]
    coarse, fine = (difference(p, want) for p in packed)
    assert difference(image, want) < (coarse + fine) / 2


def test_both_sides_move_together_unless_asked_not_to(viewer: Viewer, page: Page) -> None:
    arkit = viewer.stage.puppet.sliders.arkit
    page.set("Smile L", 0.7)
    page.wait(lambda: page.values.get("Smile R") == 0.7, "the other side's slider")
    arkit = viewer.stage.puppet.sliders.arkit
    assert arkit[INDEX["mouthSmileLeft"]] == arkit[INDEX["mouthSmileRight"]] == 0.7


def test_two_pages_see_from_their_own_cameras(viewer: Viewer, page: Page) -> None:
    page.picture()
    want = expected(viewer)
    other = Page(viewer.server.port, viewer.stage.front().turned(30))
    try:
        front = page.sharp(256, lambda image: difference(image, want) < 2.5, "the front")
        other.sharp(256, lambda image: difference(image, front) > 10, "the side")
        assert difference(page.sharp(256), front) < 0.5, "the other page's camera changed nothing here"
    finally:
        other.close()


def test_a_layer_brings_depth_with_the_picture(viewer: Viewer, page: Page) -> None:
    page.sharp(256)
    assert page.depth is None
    page.set("Landmarks", True)
    page.wait(lambda: page.depth is not None, "depth")
    page.wait(lambda: any(m.get("name") == "/landmarks" for m in page.notes), "the landmarks")
    page.set("Landmarks", False)
    page.wait(lambda: page.depth is None, "a picture without depth")


def test_the_page_may_draw_the_splats_itself(viewer: Viewer, page: Page) -> None:
    page.set("Drawn by", "The browser")
    page.wait(lambda: any(m.get("name") == "/splats" for m in page.notes), "the splats")
    figure = viewer.stage.renderer.figure
    assert figure is not None
    splats = figure.splats()
    # Half precision in square centimetres keeps every covariance to a per cent of its largest axis.
    largest = np.abs(splats.covariances).max((1, 2), keepdims=True)
    half = splats.covariances.astype(np.float16).astype(float)
    assert (np.abs(half - splats.covariances) / largest).max() < 1e-3
    # The same in metres would not: this is why the page works in centimetres.
    metres = splats.covariances / UNITS**2
    half = metres.astype(np.float16).astype(float)
    assert (np.abs(half - metres) / np.abs(metres).max((1, 2), keepdims=True)).max() > 1e-2
    page.set("Drawn by", "This machine")
    assert page.sharp(256).std() > 20
    for _ in range(2):  # each time there is nothing of this machine's behind the page's own splats
        page.set("Drawn by", "The browser")
        page.wait(lambda: page.picture().shape == (2, 2, 3), "an empty background")
        page.set("Drawn by", "This machine")
        page.sharp(256)


def test_splats_are_drawn_by_the_page_from_the_start(avatar: Avatar) -> None:
    with Viewer(avatar, Options(port=0, livelink_port=0, splats="client")) as viewer:
        page = Page(viewer.server.port, viewer.stage.front())
        try:
            page.wait(lambda: any(m.get("name") == "/splats" for m in page.notes), "the splats")
            page.wait(lambda: page.jpeg and page.picture().shape == (2, 2, 3), "an empty background")
            assert page.values["Drawn by"] == "The browser"
            page.wait(lambda: any(_moves_splats(m) for m in page.notes), "the captured motion")
        finally:
            page.close()


def _moves_splats(message: dict[str, Any]) -> bool:
    """Whether a message gives the splats another shape."""
    return message.get("name") == "/splats" and "updates" in message and "visible" not in message["updates"]


def test_pictures_come_no_faster_than_a_page_wants_them(
    viewer: Viewer, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.sharp(256)
    (visitor,) = viewer.stage.renderer.visitors.values()
    monkeypatch.setattr(viewer.stage.renderer, "pace", lambda now: 0.15)
    viewer.stage.choose("Captured motion")
    count = len(visitor.sent)
    until(lambda: len(visitor.sent) > count + 8)
    assert np.diff(list(visitor.sent)[count:]).min() > 0.149
    recording = viewer.stage.recording
    assert recording is not None
    recording.clock.pause(time.monotonic())
    until(lambda: visitor.still)  # and the last one comes whole all the same


def test_orbit_moves_the_page_s_camera(viewer: Viewer, page: Page) -> None:
    page.sharp(256)
    page.set("Orbit", True)
    page.wait(lambda: sum(m["type"] == "SetCameraPositionMessage" for m in page.notes) > 5, "a moving camera")
    page.set("Orbit", True)
    (visitor,) = viewer.stage.renderer.visitors.values()
    until(lambda: visitor.orbiting is None)
    page.look(viewer.stage.front())
    page.sharp(256)


def test_a_camera_of_nonsense_is_not_drawn() -> None:
    class Camera:
        wxyz, position, fov = np.array([1.0, 0, 0, 0]), np.zeros(3), 0.5
        image_width, image_height = 640, 480

    assert Viewpoint.of(Camera()) is not None
    for name, value in (
        ("wxyz", np.zeros(4)), ("wxyz", np.array([np.nan, 0, 0, 0])), ("position", np.full(3, 1e9)), ("fov", np.inf),
        ("image_width", 0), ("image_height", 10**9),
    ):  # fmt: skip
        camera = Camera()
        setattr(camera, name, value)
        assert Viewpoint.of(camera) is None, name
    camera = Camera()
    camera.fov = 0.0
    view = Viewpoint.of(camera)
    assert view is not None
    assert np.isfinite(view.camera(100).fx)
