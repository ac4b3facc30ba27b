"""Every control does what it says, for a page that touches it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatars.data import Motion
from avatars.heads.arkit import INDEX, NAMES
from avatars.motion.livelink import write_csv
from avatars.splats.avatar import Avatar
from avatars.viewer.app import Options, Viewer
from avatars.viewer.presets import FACES, face

from .page import Page
from .patience import until


def touch(page: Page, handle: Any, value: Any) -> None:
    """Set a control that shares its label with another."""
    page.send({"type": "GuiUpdateMessage", "uuid": handle._impl.uuid, "updates": {"value": value}})


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Somebody else's motion: four seconds in which a jaw opens and shuts."""
    times = np.arange(0, 4, 1 / 30)
    arkit = np.zeros((len(times), 52))
    arkit[:, INDEX["jawOpen"]] = 0.4 - 0.4 * np.cos(2 * np.pi * times)
    path = tmp_path / "take 3.csv"
    write_csv(Motion(times, arkit, np.zeros((len(times), 3)), np.zeros((len(times), 3))), path)
    return path


@pytest.fixture
def with_recording(avatar: Avatar, recording: Path) -> Iterator[tuple[Viewer, Page]]:
    """A viewer that has the recording, and a page of it."""
    with Viewer(avatar, Options(port=0, livelink_port=0, recordings=(recording,))) as viewer:
        page = Page(viewer.server.port, viewer.stage.front())
        yield viewer, page
        page.close()


def test_a_live_link_recording_drives(with_recording: tuple[Viewer, Page]) -> None:
    viewer, page = with_recording
    page.set("Driven by", "take 3.csv")
    until(lambda: viewer.stage.name == "take 3.csv")
    recording = viewer.stage.recording
    assert recording is not None
    assert recording.clock.duration == pytest.approx(4, abs=0.05)
    page.wait(
        lambda: page.values.get("Time (s).max") == pytest.approx(recording.clock.duration, abs=0.01), "its length"
    )
    jaw = INDEX["jawOpen"]
    rest = viewer.stage.person.rest.expression[jaw]
    assert recording.at(0.5).expression[jaw] > rest + 0.15
    assert recording.at(1.0).expression[jaw] == pytest.approx(rest, abs=0.1)
    count = page.pictures
    page.wait(lambda: page.pictures > count + 5, "pictures of it")


def test_the_timeline_is_played_slowed_scrubbed_and_looped(with_recording: tuple[Viewer, Page]) -> None:
    viewer, page = with_recording
    clock = viewer.stage.recording.clock if viewer.stage.recording else None
    assert clock is not None
    page.set("Speed", "¼×")
    until(lambda: clock._speed == 0.25)
    page.set("Pause", True)
    until(lambda: not clock.playing)
    page.set("Time (s)", 1.25)
    until(lambda: clock.time(time.monotonic()) == pytest.approx(1.25))
    page.set("Loop", False)
    until(lambda: clock._loop is False)
    page.set("Speed", "2×")
    until(lambda: clock._speed == 2)
    page.set("Time (s)", clock.duration - 0.05)
    page.set("Pause", True)  # which says Play by now
    page.wait(lambda: page.values.get("Pause.label") == "Play" and not clock.playing, "the end")
    until(lambda: clock.time(time.monotonic()) == clock.duration)
    page.wait(lambda: abs(page.values["Time (s)"] - clock.duration) < 0.006, "the end on the timeline")


def test_every_coefficient_has_a_slider(viewer: Viewer, page: Page) -> None:
    page.set("Both sides", False)
    until(lambda: viewer.face.alike.value is False)
    wanted = 0.2 + np.arange(52) / 100
    for i, handle in viewer.face.sliders.items():
        touch(page, handle, float(wanted[i]))
    until(lambda: np.allclose(viewer.stage.puppet.sliders.arkit, wanted))
    page.set("Both sides", True)
    until(lambda: viewer.face.alike.value is True)


@pytest.mark.parametrize("name", list(FACES))
def test_every_preset_is_a_button(viewer: Viewer, page: Page, name: str) -> None:
    group = next(g for g in viewer.face.presets if name in g.options)
    touch(page, group, name)
    until(lambda: np.array_equal(viewer.stage.puppet.sliders.arkit, face(name)))
    first = next(n for n in FACES[name])
    page.wait(lambda: viewer.face.sliders[NAMES.index(first)].value == FACES[name][first], "its sliders")
    page.set("Reset", True)
    until(lambda: not viewer.stage.puppet.sliders.arkit.any())


def test_head_and_gaze_turn(viewer: Viewer, page: Page) -> None:
    for label, value in (("Nod (°)", 10.0), ("Turn (°)", -20.0), ("Tilt (°)", 5.0), ("Look aside (°)", 15.0),
                         ("Look up (°)", -12.0)):  # fmt: skip
        page.set(label, value)
    sliders = viewer.stage.puppet.sliders
    until(lambda: sliders.turn.tolist() == [10, -20, 5] and sliders.gaze.tolist() == [15, -12])


def test_how_something_is_said_is_chosen(viewer: Viewer, page: Page) -> None:
    page.set("Driven by", "Speech")
    until(lambda: viewer.stage.speech is not None)
    amounts = viewer.drive._amounts
    page.set("Style", "General")
    page.set("Emotion", "happy")
    page.set("Intensity", 1.2)
    for name, value in (("blinks", 0.5), ("gaze", 1.5), ("head", 0.0), ("brows", 2.0)):
        touch(page, amounts[name], value)
    until(lambda: viewer.stage.delivery.amounts.brows == 2)
    said = viewer.stage.delivery
    assert dict(said.emotion) == {"happy": 1.0}
    assert said.intensity == 1.2
    assert (said.amounts.blinks, said.amounts.gaze, said.amounts.head) == (0.5, 1.5, 0)
    assert said.voice is viewer.stage.sources.voices["General"]
    page.set("Style", "nobody's")
    page.set("Emotion", "nonsense")
    until(lambda: not viewer.stage.delivery.emotion)
    page.set("Emotion", "neutral")
    page.set("Style", "Their own")
    page.set("Intensity", 0.8)
    for handle in amounts.values():
        touch(page, handle, 1.0)
    until(lambda: viewer.stage.delivery.amounts.brows == 1)


def test_the_look_is_chosen(viewer: Viewer, page: Page) -> None:
    for shown in ("Ellipsoids", "Matte", "Nothing", "Picture"):
        page.set("Splats", shown)
        until(lambda shown=shown: viewer.stage.renderer.look.show == shown.lower())
    page.set("Colour", [10, 20, 30])
    until(lambda: viewer.stage.renderer.look.background == (10, 20, 30))
    page.sharp(256, lambda image: np.abs(image[:8, :8].astype(int) - (10, 20, 30)).max() <= 3, "the background")
    page.set("Wireframe", True)
    page.wait(lambda: any(m.get("name") == "/rig" for m in page.notes), "the mesh")


def test_the_camera_is_chosen(viewer: Viewer, page: Page) -> None:
    page.picture()
    page.set("Field of view (°)", 40.0)
    fov = math.radians(40)
    page.wait(lambda: any(m["type"] == "SetCameraFovMessage" and abs(m["fov"] - fov) < 1e-6 for m in page.notes), "it")
    front = viewer.stage.front()
    for name, angle in (("30° left", 30.0), ("30° right", -30.0), ("Front", 0.0)):
        page.notes.clear()
        page.set("Look from", name)
        want = front.turned(angle).position
        page.wait(lambda want=want: any(_goes_to(m, want) for m in page.notes), name)


def test_a_phone_sees_the_whole_head(viewer: Viewer) -> None:
    front = viewer.stage.front()
    assert front.fitted(640, 480) is front
    assert front.fitted(480, 480) is front
    phone = Page(viewer.server.port, front, (200, 440))
    try:
        place = front.fitted(200, 440)
        phone.wait(lambda: any(_goes_to(m, place.position) for m in phone.notes), "a camera of its own")
        assert place.fov > front.fov
        distance = np.linalg.norm(front.position - front.look_at)
        assert np.linalg.norm(place.position - place.look_at) == pytest.approx(distance), "as far away"
        across = [2 * np.tan(p.fov / 2) * distance * w / h for p, w, h in ((front, 3, 4), (place, 200, 440))]
        assert across[0] == pytest.approx(across[1]), "as much to the sides as on a page of 3:4"
        phone.look(place, (200, 440))
        image = phone.sharp(440)
        seen = np.abs(image.astype(int) - viewer.stage.renderer.look.background).max(2) > 40
        assert seen[:, [0, -1]].mean() < seen[:, 100].mean(), "neither side cuts it off"
        crown = int(np.flatnonzero(seen.any(1))[0])
        assert 5 < crown < 150, "above the panel"
    finally:
        phone.close()


def _goes_to(message: dict, place: np.ndarray) -> bool:
    """Whether a message puts the camera somewhere."""
    return message["type"] == "SetCameraPositionMessage" and np.allclose(message["position"], place, atol=1e-3)


def test_figures_are_shown(viewer: Viewer, page: Page) -> None:
    viewer.stage.choose("Captured motion")
    page.picture()
    (visitor,) = viewer.stage.renderer.visitors.values()
    until(lambda: visitor.line is not None and "pictures/s" in visitor.line.content)
    assert visitor.line is not None
    for part in (" ms", " rows", "splats"):
        assert part in visitor.line.content
