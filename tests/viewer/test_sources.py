"""Who drives: clock, recordings, phone, and the way from one to the next."""

from __future__ import annotations

import socket
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatars.data import Motion
from avatars.errors import InputError
from avatars.heads.arkit import INDEX
from avatars.splats.avatar import Avatar
from avatars.viewer.clock import Clock
from avatars.viewer.history import motion_of_faces
from avatars.viewer.person import Face, Person
from avatars.viewer.puppet import Puppet, Sliders
from avatars.viewer.sources.base import Resting
from avatars.viewer.sources.live import Live
from avatars.viewer.sources.livelink import LiveLink, motion, parse
from avatars.viewer.sources.recording import Recording

from .patience import until


@pytest.fixture(scope="module")
def person(avatar: Avatar) -> Person:
    return Person(avatar)


def test_clock_plays_seeks_slows_and_loops() -> None:
    clock = Clock(10.0)
    assert clock.time(5.0) == 0.0
    clock.play(100.0)
    assert clock.time(103.0) == pytest.approx(3.0)
    clock.set_speed(0.5, 103.0)
    assert clock.time(105.0) == pytest.approx(4.0)
    clock.pause(105.0)
    assert clock.time(200.0) == pytest.approx(4.0)
    clock.seek(9.0, 200.0)
    clock.play(200.0)
    assert clock.time(204.0) == pytest.approx(1.0), "half speed: 9 + 2 wraps to 1"
    clock.set_loop(False, 204.0)
    assert clock.time(300.0) == 10.0
    assert not clock.playing
    clock.play(300.0)
    assert clock.time(300.0) == 0.0, "played again from the start"
    clock.seek(-3.0, 301.0)
    assert clock.time(301.0) == 0.0
    assert Clock(0.0).time(5.0) == 0.0


def test_a_recording_gives_the_captured_frames_and_goes_between_them(avatar: Avatar) -> None:
    recording = Recording.captured(avatar)
    track = avatar.track
    for row in (0, 7, len(track.times) - 1):
        face = recording.at(float(track.times[row] - track.times[0]))
        np.testing.assert_allclose(face.expression, track.expression[row], atol=1e-6)
        np.testing.assert_allclose(
            face.rotation.as_matrix(), Rotation.from_rotvec(track.rotation[row]).as_matrix(), atol=1e-6
        )
        np.testing.assert_allclose(face.translation, track.translation[row], atol=1e-6)
    half = recording.at(float(track.times[3] + track.times[4]) / 2)
    np.testing.assert_allclose(half.expression, (track.expression[3] + track.expression[4]) / 2, atol=1e-6)
    recording.clock.play(50.0)
    assert recording.moving(50.0)
    np.testing.assert_allclose(recording.face(50.4).expression, recording.at(0.4).expression)


def packet(values: list[float], name: str = "iPhone") -> bytes:
    """As the app sends it."""
    device = b"0123456789abcdef0123456789abcdef0123"
    text = name.encode()
    head = struct.pack(">Bi", 6, len(device)) + device + struct.pack(">i", len(text)) + text
    return (
        head
        + struct.pack(">ifii", 7, 0.5, 60, 1)
        + struct.pack(">B", len(values))
        + struct.pack(f">{len(values)}f", *values)
    )


def values(**coefficients: float) -> list[float]:
    out = [0.0] * 61
    for name, value in coefficients.items():
        out[INDEX[name]] = value
    return out


def test_a_phone_s_packet_is_read() -> None:
    got = parse(packet(values(jawOpen=0.5, eyeBlinkLeft=1.0)))
    assert got is not None
    assert got[INDEX["jawOpen"]] == 0.5
    assert got[INDEX["eyeBlinkLeft"]] == 1.0
    assert parse(packet([])[:-1]) is None, "the header alone: no face"
    for name in ("Ω", "", "x" * 200):
        assert parse(packet(values(), name)) is not None


@pytest.mark.parametrize("cut", [0, 1, 4, 40, 60, 70, 120, 300])
def test_a_cut_packet_is_refused(cut: int) -> None:
    whole = packet(values())
    assert cut < len(whole)
    with pytest.raises(InputError):
        parse(whole[:cut])


def test_spoilt_packets_are_refused_or_sane() -> None:
    rng = np.random.default_rng(0)
    whole = np.frombuffer(packet(values(jawOpen=0.5)), np.uint8)
    for _ in range(500):
        spoilt = whole.copy()
        places = rng.integers(0, len(whole), 3)
        spoilt[places] = rng.integers(0, 256, 3)
        try:
            got = parse(spoilt.tobytes())
        except InputError:
            continue
        assert got is None or (np.isfinite(got).all() and np.abs(got[:52]).max() <= 1.5)
    for bad in ([float("nan")] * 61, [9.0] * 61, [0.0] * 60):
        with pytest.raises(InputError):
            parse(packet(bad))


def test_a_phone_s_head_turns_to_its_own_left() -> None:
    row = values()
    row[52] = 0.4  # yaw, positive to the subject's left (avatars.motion.livelink)
    turned = Rotation.from_rotvec(motion(np.array(row), 0.0).rotation[0])
    assert turned.apply([0.0, 0.0, 1.0])[0] > 0.3, "the nose points to the head's own left, +x"


def test_a_phone_drives_over_the_network(person: Person) -> None:
    said: list[str] = []
    link = LiveLink(person, "127.0.0.1", 0, said.append)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.sendto(b"rubbish", ("127.0.0.1", link.port))
            phone.sendto(packet(values(jawOpen=0.8)), ("127.0.0.1", link.port))
            until(lambda: said[-1:] == ["Receiving"])
        assert link.count == 1
        now = link._came
        link.face(now)
        face = link.face(now + 0.3)
        jaw = INDEX["jawOpen"]
        assert face.expression[jaw] > person.rest.expression[jaw] + 0.4
        assert link.moving(now)
        assert said[0].startswith("Waiting for Live Link Face")
        assert "--host" in said[0], "a phone does not reach what listens on this machine only"
        assert any("Not a Live Link Face packet" in text for text in said)
        with pytest.raises(InputError, match="Cannot listen"):
            LiveLink(person, "127.0.0.1", link.port, said.append)
    finally:
        link.close()


def test_a_live_face_goes_to_rest_when_nobody_sends(person: Person) -> None:
    live = Live(person)
    arkit = np.zeros((1, 52))
    arkit[0, INDEX["jawOpen"]] = 1.0
    live.take(Motion(np.zeros(1), arkit, np.zeros((1, 3)), np.zeros((1, 3))), 10.0)
    live.face(10.0)
    open_jaw = live.face(10.5).expression[INDEX["jawOpen"]]
    assert open_jaw > 0.6
    live.face(11.5)
    rest = person.rest.expression[INDEX["jawOpen"]]
    assert live.face(14.0).expression[INDEX["jawOpen"]] == pytest.approx(rest, abs=1e-3)
    assert not live.moving(14.0)


def test_sources_fade_into_each_other(avatar: Avatar, person: Person) -> None:
    puppet = Puppet(person)
    wide = Face(person.rest.expression + 0.5, person.rest.rotation, person.rest.translation, person.rest.torso_rotation,
                person.rest.torso_translation)  # fmt: skip
    puppet.show(1.0)
    puppet.drive(Resting(wide), 2.0)
    shares = [
        float(puppet.show(2.0 + t)[0].expression[0] - person.rest.expression[0]) / 0.5 for t in np.linspace(0, 0.4, 9)
    ]
    assert shares[0] == pytest.approx(0.0, abs=1e-9)
    assert shares[-1] == pytest.approx(1.0)
    assert (np.diff(shares) >= 0).all()
    assert max(np.diff(shares)) < 0.35, "no jump"


def test_sliders_go_on_top(person: Person) -> None:
    puppet = Puppet(person)
    puppet.sliders = Sliders()
    puppet.sliders.arkit[INDEX["jawOpen"]] = 0.4
    puppet.sliders.turn = np.array([0.0, 20.0, 0.0])
    puppet.sliders.gaze = np.array([15.0, 0.0])
    face, moving = puppet.show(0.0)
    assert not moving
    added = face.expression - person.rest.expression
    assert added[INDEX["jawOpen"]] == pytest.approx(0.4, abs=1e-6)
    assert added[INDEX["eyeLookOutLeft"]] == pytest.approx(0.5, abs=1e-6)
    assert added[INDEX["eyeLookInRight"]] == pytest.approx(0.5, abs=1e-6)
    assert np.degrees((person.rest.rotation.inv() * face.rotation).as_rotvec()) == pytest.approx([0, 20, 0], abs=1e-6)
    puppet.sliders.arkit[INDEX["jawOpen"]] = 5.0
    assert puppet.show(0.0)[0].expression.max() <= person.avatar.head.expression_high.max()


def test_saved_motion_is_what_was_shown(avatar: Avatar) -> None:
    recording = Recording.captured(avatar)
    times = np.linspace(0, 1, 12)
    got = motion_of_faces(100 + times, [recording.at(t) for t in times], avatar.head)
    np.testing.assert_allclose(got.times, times, atol=1e-9)
    np.testing.assert_allclose(got.rotation, 0, atol=1e-6)  # the captured head looks into the camera throughout
    want = np.interp(times, avatar.track.times, avatar.track.expression[:, INDEX["jawOpen"]])
    np.testing.assert_allclose(got.arkit[:, INDEX["jawOpen"]], want, atol=1e-6)
