"""Every layer in a real browser: drawn, and where it belongs. Each leaves a screenshot in the report."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from avatars.viewer.app import Viewer
from avatars.viewer.framing import UNITS, Viewpoint

from .chromium import canvas, keep, middle, visitor, wait
from .conftest import difference, on_loop

pytestmark = pytest.mark.slow
_BLUE, _YELLOW = (90, 200, 255), (255, 214, 80)


def choose(viewer: Viewer, **values: Any) -> None:
    """Set controls of the view as a visitor would."""

    def put() -> None:
        for name, value in values.items():
            getattr(viewer.view, name).value = value

    on_loop(viewer, put)


def view_of(viewer: Viewer) -> Viewpoint:
    view = visitor(viewer).viewpoint
    assert view is not None
    return view


def expected(viewer: Viewer, show: str) -> np.ndarray:
    """The native picture of the splats shown so."""
    figure, look, view = viewer.stage.renderer.figure, viewer.stage.renderer.look, view_of(viewer)
    assert figure is not None
    return figure.picture(view.camera(view.height), np.array(look.background) / 255, show)[0]


def flat(viewer: Viewer, points: np.ndarray) -> np.ndarray:
    """[n, 2] px of the page where points [n, 3] in page units lie."""
    view = view_of(viewer)
    camera = view.camera(view.height)
    at = np.c_[points / UNITS, np.ones(len(points))] @ camera.camera_from_world.T
    return at[:, :2] / at[:, 2:3] * camera.fx + np.array([camera.cx, camera.cy])


def colored(image: np.ndarray, color: tuple[int, int, int], before: np.ndarray) -> np.ndarray:
    """[H, W] bool: pixels that went toward a colour."""
    wanted = np.array(color, float)
    nearer = np.abs(before - wanted).sum(2) - np.abs(image - wanted).sum(2)
    return nearer > 60


@pytest.mark.parametrize("show", ["Ellipsoids", "Matte"])
def test_splats_are_shown_as_asked(opened: Any, viewer: Viewer, show: str) -> None:
    picture = canvas(opened, viewer)
    choose(viewer, show=show)
    # JPEG of small solid bodies: 3 measured
    got = canvas(opened, viewer, lambda i: difference(middle(i), middle(expected(viewer, show.lower()))) < 5, show)
    keep(opened, f"layer-{show.lower()}")
    assert difference(middle(got), middle(picture)) > 5


def test_nothing_is_the_background(opened: Any, viewer: Viewer) -> None:
    choose(viewer, show="Nothing", background=(0, 177, 64))
    canvas(opened, viewer, lambda image: np.abs(middle(image).astype(int) - (0, 177, 64)).max() <= 3, "only green")


def test_the_wireframe_lies_on_the_head(opened: Any, viewer: Viewer) -> None:
    before = canvas(opened, viewer).astype(float)
    choose(viewer, wireframe=True)
    image = canvas(opened, viewer, lambda i: middle(colored(i, _BLUE, before)).sum() > 2000, "a wireframe")
    keep(opened, "layer-wireframe")
    blue = colored(image.astype(float), _BLUE, before)
    figure = viewer.stage.renderer.figure
    assert figure is not None
    inside = np.zeros(blue.shape, np.uint8)
    at = flat(viewer, figure.mesh()).astype(np.int32)
    cv2.fillPoly(inside, list(at[figure.faces][:, None]), 1)
    inside = cv2.dilate(inside, np.ones((5, 5))).astype(bool)
    assert middle(blue & ~inside).sum() < 0.02 * middle(blue).sum(), "nowhere but on the head"


def test_landmarks_lie_where_they_belong(opened: Any, viewer: Viewer) -> None:
    before = canvas(opened, viewer).astype(float)
    choose(viewer, landmarks=True)
    image = canvas(opened, viewer, lambda i: middle(colored(i, _YELLOW, before)).sum() > 200, "landmarks")
    keep(opened, "layer-landmarks")
    yellow = colored(image.astype(float), _YELLOW, before)
    figure = viewer.stage.renderer.figure
    assert figure is not None
    near = np.zeros(yellow.shape, np.uint8)
    for x, y in flat(viewer, figure.landmarks()).astype(int):
        cv2.circle(near, (int(x), int(y)), 5, 1, -1)
    assert middle(yellow & ~near.astype(bool)).sum() < 0.05 * middle(yellow).sum()


def test_the_browser_draws_the_splats_itself(small: Any, viewer: Viewer) -> None:
    native = canvas(small, viewer)
    choose(viewer, path="The browser")
    wait(lambda: viewer.stage.renderer.look.path == "client", "the other path")
    # Without a picture behind them: what is seen from here on is drawn by the page.
    wait(lambda: visitor(viewer).rows == 0, "the last picture from here")
    # Another renderer, with its own blur and no tiles: 5 levels measured; an empty page is 40 away.
    got = canvas(small, viewer, lambda image: difference(middle(image), middle(native)) < 12, "the splats")
    keep(small, "layer-client-splats")
    assert difference(middle(got), middle(native)) > 0.05, "by another renderer"
