"""Pictures, films and motion to take along."""

from __future__ import annotations

import io
import time
from pathlib import Path

import av
import imageio.v3 as iio
import numpy as np
import pytest

from avatars.errors import InputError
from avatars.heads.arkit import INDEX
from avatars.motion.livelink import read_csv
from avatars.splats.avatar import Avatar
from avatars.viewer.app import Viewer
from avatars.viewer.figure import Figure
from avatars.viewer.framing import Viewpoint
from avatars.viewer.look import Look
from avatars.viewer.panel.save import file_name
from avatars.viewer.recorder import RATE, SOUND_RATE, Take, mp4, png
from avatars.viewer.sources.recording import Recording

from .conftest import difference, on_loop
from .page import Page
from .patience import until
from .test_sound import RATE as SPEECH_RATE
from .test_sound import babble, hear, join, pcm, tell


@pytest.fixture(scope="module")
def viewpoint(running: Viewer) -> Viewpoint:
    place = running.stage.front()
    return Viewpoint((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0), place.fov, 161, 121)


def test_a_film_shows_the_take_at_an_even_rate_with_its_sound(avatar: Avatar, viewpoint: Viewpoint) -> None:
    recording, model = Recording.captured(avatar), avatar.model()
    times = np.sort(np.random.default_rng(0).uniform(0, 1.0, 12))
    times[0], times[-1] = 0.0, 1.0
    faces = [recording.at(t) for t in times]
    tone = np.sin(2 * np.pi * 440 * np.arange(SOUND_RATE) / SOUND_RATE).astype(np.float32) * 0.5
    shares: list[float] = []
    data = mp4(Take(50 + times, faces, viewpoint, Look(), tone), lambda face: Figure(model, face), shares.append)
    assert shares[-1] == 1.0
    with av.open(io.BytesIO(data)) as film:
        assert film.duration is not None
        assert film.duration / 1e6 == pytest.approx(1.0, abs=0.1)
        assert [s.type for s in film.streams] == ["video", "audio"]
        frames = list(film.decode(video=0))
    assert len(frames) == RATE
    assert (frames[0].width, frames[0].height) == (160, 120), "even numbers, as H.264 wants"
    for i in (0, 10, 24):
        face = faces[int(np.searchsorted(times, i / RATE, side="right")) - 1]
        want, _ = Figure(model, face).picture(viewpoint.camera(120), np.array(Look().background) / 255)
        got = frames[i].to_ndarray(format="rgb24")
        assert difference(got[:, :160], want[:, :160]) < 6  # H.264 at quality 17 and halved colour: 2.6 measured
    with av.open(io.BytesIO(data)) as film:
        sound = np.concatenate([f.to_ndarray()[0] for f in film.decode(audio=0)])
    spectrum = np.abs(np.fft.rfft(sound[4000:12000] * np.hanning(8000)))
    assert np.argmax(spectrum) * SOUND_RATE / 8000 == pytest.approx(440, abs=3)


def test_an_empty_take_is_refused(avatar: Avatar, viewpoint: Viewpoint) -> None:
    face = Recording.captured(avatar).at(0)
    with pytest.raises(InputError, match="Nothing"):
        mp4(Take(np.array([1.0]), [face], viewpoint, Look()), lambda f: Figure(avatar.model(), f))


def test_a_picture_is_exact(avatar: Avatar, viewpoint: Viewpoint) -> None:
    figure = Figure(avatar.model(), Recording.captured(avatar).at(0.3))
    want, _ = figure.picture(viewpoint.camera(121), np.array(Look().background) / 255)
    np.testing.assert_array_equal(iio.imread(png(figure, viewpoint, Look())), want)


def downloads(page: Page) -> dict[str, bytes]:
    """Files that came in whole, by name."""
    out: dict[str, bytes] = {}
    for start in [m for m in page.notes if m["type"] == "FileTransferStartDownload"]:
        parts = [
            m for m in page.notes if m["type"] == "FileTransferPart" and m["transfer_uuid"] == start["transfer_uuid"]
        ]
        data = b"".join(m["content"] for m in sorted(parts, key=lambda m: m["part_index"]))
        if len(data) == start["size_bytes"]:
            out[start["filename"]] = data
    return out


def test_the_buttons_send_files_to_the_page(viewer: Viewer, page: Page, tmp_path: Path) -> None:
    viewer.stage.choose("Captured motion")
    page.picture()
    stem = file_name(viewer.name)
    assert "<" not in stem
    page.set("Picture (PNG)", True)
    page.wait(lambda: f"{stem}.png" in downloads(page), "a picture")
    assert iio.imread(downloads(page)[f"{stem}.png"]).shape == (256, 256, 3)
    page.set("Motion (Live Link Face CSV)", True)
    page.wait(lambda: f"{stem}.csv" in downloads(page), "motion")
    path = tmp_path / "motion.csv"
    path.write_bytes(downloads(page)[f"{stem}.csv"])
    motion, track = read_csv(path), viewer.stage.avatar.track
    np.testing.assert_allclose(motion.times, track.times - track.times[0], atol=1e-3)
    jaw = INDEX["jawOpen"]
    np.testing.assert_allclose(motion.arkit[:, jaw], track.expression[:, jaw], atol=1e-5)


def test_a_film_has_the_sound_that_the_lips_followed(viewer: Viewer, page: Page) -> None:
    viewer.stage.choose("Speech")
    on_loop(viewer, viewer.drive.refresh)
    speech, sound = viewer.stage.speech, babble(3.0)
    sound *= np.linspace(0.3, 1.0, len(sound)).astype(np.float32)  # no two moments alike
    assert speech is not None
    page.picture()
    with join(viewer) as talk:
        hear(talk)
        tell(talk, do="sound", rate=SPEECH_RATE)
        talk.send(pcm(sound))
        tell(talk, do="end")
        while not hear(talk).get("end"):
            pass
        page.set("Record a film", True)
        page.wait(lambda: page.values.get("Record a film.label") == "Stop recording", "a running recording")
        began = time.monotonic()
        shown: list = []
        while (at := time.monotonic() - began) < 1.5 or (at < 2.7 and len(shown) < 8):
            tell(talk, do="clock", time=at, playing=True)
            time.sleep(0.08)
            shown = viewer.stage.history.since(began + 0.5)
        tell(talk, do="stop")
        until(lambda: speech.position(time.monotonic()) is None)
    page.set("Record a film", True)
    stem = file_name(viewer.name)
    page.wait(lambda: f"{stem}.mp4" in downloads(page), "the film")
    with av.open(io.BytesIO(downloads(page)[f"{stem}.mp4"])) as film:
        assert [s.type for s in film.streams] == ["video", "audio"]
        heard = np.concatenate([f.to_ndarray()[0] for f in film.decode(audio=0)])
    loud = np.convolve(heard**2, np.ones(4000), "valid")  # a slow machine may begin to play late
    part = heard[np.argmax(loud) :][:4000]
    match = np.correlate(sound, part, "valid") / np.sqrt(np.convolve(sound**2, np.ones(len(part)), "valid") + 1e-6)
    assert match.max() / np.linalg.norm(part) > 0.8, "the sound that was played, through AAC"
    assert len(shown) > 3
    assert np.ptp([face.expression[INDEX["jawOpen"]] for _, face in shown]) > 0.02, "and a mouth that spoke it"


def test_a_film_of_what_was_seen(viewer: Viewer, page: Page) -> None:
    viewer.stage.choose("Captured motion")
    page.picture()
    page.set("Record a film", True)
    page.wait(lambda: page.values.get("Record a film.label") == "Stop recording", "a running recording")
    count = page.pictures
    began = time.monotonic()
    page.wait(lambda: page.pictures >= count + 10 and time.monotonic() > began + 0.6, "something to record")
    page.set("Record a film", True)
    stem = file_name(viewer.name)
    page.wait(lambda: f"{stem}.mp4" in downloads(page), "the film")
    with av.open(io.BytesIO(downloads(page)[f"{stem}.mp4"])) as film:
        frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
    assert len(frames) >= 5
    assert max(difference(frames[0], frame) for frame in frames) > 0.05
