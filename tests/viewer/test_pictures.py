"""What a page is shown, against the renderer itself."""

from __future__ import annotations

import time

import numpy as np

from avatars.heads.arkit import INDEX
from avatars.viewer.app import Viewer
from avatars.viewer.figure import Figure
from avatars.viewer.framing import UNITS, Viewpoint

from .conftest import difference
from .page import Page


def expected(viewer: Viewer, page: Page, **sliders: float) -> np.ndarray:
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
    got = page.sharp(256)
    want = expected(viewer, page)
    assert want.std() > 20, "the picture shows somebody"
    # JPEG of quality 93 on these speckled splats: 1.2 levels measured; another pose differs by far more.
    assert difference(got, want) < 2.5


def test_a_slider_moves_the_mouth(viewer: Viewer, page: Page) -> None:
    before = page.sharp(256)
    page.set("Open", 1.0)
    page.wait(
        lambda: page.values is not None and viewer.stage.puppet.sliders.arkit[INDEX["jawOpen"]] == 1, "the slider"
    )
    after = page.sharp(256)
    assert difference(after, expected(viewer, page, jawOpen=1.0)) < 2.5
    moved = np.abs(after.astype(float) - before.astype(float)).mean(2)
    assert moved[128:].sum() > 10 * moved[:128].sum(), "the lower half of the face moves, the upper one does not"


def test_both_sides_move_together_unless_asked_not_to(viewer: Viewer, page: Page) -> None:
    arkit = viewer.stage.puppet.sliders.arkit
    page.set("Smile L", 0.7)
    page.wait(lambda: page.values.get("Smile R") == 0.7, "the other side's slider")
    arkit = viewer.stage.puppet.sliders.arkit
    assert arkit[INDEX["mouthSmileLeft"]] == arkit[INDEX["mouthSmileRight"]] == 0.7


def test_two_pages_see_from_their_own_cameras(viewer: Viewer, page: Page) -> None:
    other = Page(viewer.server.port, viewer.stage.front().turned(30))
    try:
        front, side = page.sharp(256), other.sharp(256)
    finally:
        other.close()
    assert difference(front, side) > 10
    again = page.sharp(256)
    assert difference(front, again) < 0.5, "the other page's camera changed nothing here"


def test_a_layer_brings_depth_with_the_picture(viewer: Viewer, page: Page) -> None:
    page.sharp(256)
    assert page.depth is None
    page.set("Landmarks", True)
    page.wait(lambda: page.depth is not None, "depth")
    page.wait(lambda: any(m.get("name") == "/landmarks" for m in page.notes), "the landmarks")
    page.set("Landmarks", False)
    page.wait(lambda: page.depth is None, "a picture without depth")


def test_the_page_may_draw_the_splats_itself(viewer: Viewer, page: Page) -> None:
    page.set("Drawn", "In the browser")
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
    page.set("Drawn", "Here (exact)")
    assert page.sharp(256).std() > 20


def test_orbit_moves_the_page_s_camera(viewer: Viewer, page: Page) -> None:
    page.sharp(256)
    page.set("Orbit", True)
    page.wait(lambda: sum(m["type"] == "SetCameraPositionMessage" for m in page.notes) > 5, "a moving camera")
    page.set("Orbit", True)
    time.sleep(0.3)
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
