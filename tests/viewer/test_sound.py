"""The conversation with the sound page, and what it does to the face."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import time
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from avatars.errors import InputError
from avatars.heads.arkit import INDEX
from avatars.speech.habits import Habits
from avatars.splats.avatar import Avatar
from avatars.viewer import sound_page
from avatars.viewer.app import Options, Viewer
from avatars.viewer.person import Person
from avatars.viewer.sources.heard import Heard, Utterance
from avatars.viewer.sources.speech import Delivery, Speech, Voice

from .conftest import on_loop
from .patience import PATIENCE, until

RATE = 16000
JAW = INDEX["jawOpen"]


def babble(seconds: float) -> np.ndarray:
    """[n] a buzzing voice that opens and shuts four times a second: pulses through two formants."""
    t = np.arange(int(seconds * RATE)) / RATE
    voice = sum(
        np.sin(2 * np.pi * 120 * k * t) * np.exp(-(((120 * k - f) / 180) ** 2))
        for k in range(1, 30)
        for f in (700, 1200)
    )
    return (0.25 * voice * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * t))).astype(np.float32)


def pcm(sound: np.ndarray) -> bytes:
    return (sound.clip(-1, 1) * 32767).astype("<i2").tobytes()


@pytest.fixture
def speaking(running: Viewer) -> Viewer:
    """The viewer, driven by speech."""
    running.stage.choose("Speech")
    on_loop(running, running.drive.refresh)
    return running


def join(viewer: Viewer) -> ClientConnection:
    port = viewer.server.port
    return connect(f"ws://127.0.0.1:{port}{sound_page.SOCKET}", origin=f"http://127.0.0.1:{port}")  # type: ignore[arg-type]


@pytest.fixture
def talk(speaking: Viewer) -> Iterator[ClientConnection]:
    """A sound page that was greeted."""
    with join(speaking) as connection:
        assert hear(connection)["is"] == "hello"
        yield connection


def hear(connection: ClientConnection) -> dict[str, Any]:
    message = connection.recv(timeout=PATIENCE)
    assert isinstance(message, str)
    return json.loads(message)


def tell(connection: ClientConnection, **note: Any) -> None:
    connection.send(json.dumps(note))


def test_a_sound_becomes_motion_and_follows_the_page_s_loudspeaker(speaking: Viewer, talk: ClientConnection) -> None:
    speech = speaking.stage.speech
    assert speech is not None
    sound = babble(2.0)
    tell(talk, do="sound", rate=RATE)
    for start in range(0, len(sound), 5000):
        talk.send(pcm(sound[start : start + 5000]))
    readies = [hear(talk) for _ in range(-(-len(sound) // 5000))]
    assert [r["is"] for r in readies] == ["ready"] * len(readies)
    assert (np.diff([r["until"] for r in readies]) > 0).all()
    tell(talk, do="end")
    assert hear(talk) == {"is": "ready", "until": pytest.approx(2.0, abs=0.021), "end": True}
    motion = speech.heard()
    assert motion is not None
    assert motion.arkit[:, JAW].max() > 0.1, "the mouth opens"
    tell(talk, do="clock", time=1.0, playing=True)
    until(lambda: speech._playing)
    now = speech._reported  # and not the time by which this thread comes to look
    assert speech.pace(now) == 0, "a page that says nothing gets pictures as they come"
    assert speech.position(now) == pytest.approx(1.0)
    assert speech.position(now + 0.2) == pytest.approx(1.2), "it goes on between two reports"
    assert speech.position(now + 5) is None, "a page that reports no more has stopped"
    tell(talk, do="clock", time=1.1, playing=True, frame=70)
    until(lambda: speech._reported > now)
    assert speech.pace(speech._reported) == pytest.approx(0.07), "a slow page gets no more than it can show"
    assert speech.pace(speech._reported + 5) == 0, "until its sound is over"
    tell(talk, do="stop")
    until(lambda: speech.heard() is None)


def test_the_face_is_that_of_the_sound_at_the_ear(avatar: Avatar) -> None:
    person = Person(avatar)
    speech = Speech(person)
    speech.begin_sound()
    speech.hear(babble(2.0), RATE, 0.0)
    speech.end(0.0)
    motion = speech.heard()
    assert motion is not None
    assert speech.face(1.0).same(person.rest), "silent until it plays"
    speech.played(0.5, True, 10.0)
    # At 10.3 the ear hears 0.8; the picture is drawn for when it is seen, 90 ms later.
    row = int(np.argmin(np.abs(motion.times - 0.89)))
    want = person.act(type(motion)(*(getattr(motion, f)[row : row + 1] for f in motion.__dataclass_fields__)))
    np.testing.assert_allclose(speech.face(10.3).expression, want.expression, atol=0.02)


def test_a_playing_sound_takes_on_another_delivery(avatar: Avatar) -> None:
    speech = Speech(Person(avatar))
    speech.begin_sound()
    speech.hear(babble(2.0), RATE, 0.0)
    before = speech.heard()
    angry = Delivery(emotion={"angry": 1.0}, intensity=1.0)
    speech.deliver(angry)
    assert before is not None
    speech.hear(babble(0.5), RATE, 0.0)
    speech.end(0.0)
    brow = INDEX["browDownLeft"]

    def frowns() -> bool:
        now = speech.heard()
        return now is not None and now.arkit[:, brow].mean() > before.arkit[:, brow].mean() + 0.1

    until(frowns)
    after = speech.heard()
    assert after is not None
    assert after.times[-1] == pytest.approx(2.5, abs=0.021), "all of it, those parts that came later too"
    stream = angry.stream()
    whole = stream.feed(np.concatenate([babble(2.0), babble(0.5)]), RATE)
    np.testing.assert_allclose(after.arkit[: len(whole.times)], whole.arkit, atol=1e-5)


def test_voices_move_in_their_own_way(avatar: Avatar) -> None:
    def heads(voice: Voice) -> float:
        speech = Speech(Person(avatar), Delivery(voice))
        speech.begin_sound()
        speech.hear(babble(4.0), RATE, 0.0)
        motion = speech.heard()
        assert motion is not None
        return float(np.abs(motion.rotation).max())

    calm = Voice(habits=replace(Habits(), head_spread=(0.001, 0.001, 0.001)))
    lively = Voice(habits=replace(Habits(), head_spread=(0.06, 0.09, 0.05)))
    assert heads(lively) > 2 * heads(calm)


def test_what_was_heard_is_remembered_where_the_face_showed_it() -> None:
    heard = Heard()
    assert heard.between(0.0, 5.0) is None
    ramp = np.arange(48000, dtype=np.float32) / 48000
    heard.add(Utterance(10.0, 10.5, ramp, 48000))
    out = heard.between(9.5, 11.5, Utterance(11.0, 99.0, np.ones(8000, np.float32), 16000))
    assert out is not None
    assert (out[:8000] == 0).all(), "silence before"
    np.testing.assert_allclose(out[8000:16000], np.arange(8000) / 16000, atol=1e-4, err_msg="half of it: it was cut")
    assert (out[16000:24000] == 0).all()
    assert (out[24000:31999] == 1).all(), "what is still being said"
    heard.add(Utterance(400.0, 401.0, ramp, 48000))
    assert heard.between(9.5, 11.5) is None, "too long ago"


def test_a_microphone_drives_at_once(speaking: Viewer, talk: ClientConnection) -> None:
    speech = speaking.stage.speech
    assert speech is not None
    tell(talk, do="microphone", rate=48000)
    until(lambda: speech.live)
    sound = np.repeat(babble(1.2), 3)
    rest = speaking.stage.person.rest.expression[JAW]
    pieces = itertools.cycle(sound[start : start + 960] for start in range(0, len(sound) - 959, 960))

    def opens() -> bool:
        talk.send(pcm(next(pieces)))
        time.sleep(0.01)
        return float(speech.face(time.monotonic()).expression[JAW]) - rest > 0.1

    until(opens)
    talk.close()
    until(lambda: not speech.live)


def test_the_page_that_begins_last_has_the_voice(speaking: Viewer, talk: ClientConnection) -> None:
    speech = speaking.stage.speech
    assert speech is not None
    tell(talk, do="microphone", rate=RATE)
    until(lambda: speech.live)
    with join(speaking) as other:
        hear(other)
        tell(other, do="sound", rate=RATE)
        assert hear(talk) == {"is": "stop"}
        until(lambda: not speech.live)
        talk.send(pcm(babble(0.5)))  # nobody listens to it any more
        other.send(pcm(babble(0.5)))
        assert hear(other)["is"] == "ready"


@pytest.mark.parametrize(
    "message",
    ["", "{", "[]", "3", '{"do": "sound"}', '{"do": "sound", "rate": NaN}', '{"do": "sound", "rate": 1}',
     '{"do": "microphone", "rate": true}', '{"do": "say", "text": ""}', '{"do":"say","text":"' + "a" * 3000 + '"}',
     "[" * 5000, "x" * 100_000],
)  # fmt: skip
def test_nonsense_is_answered_and_does_no_harm(talk: ClientConnection, message: str) -> None:
    talk.send(message)
    assert hear(talk)["is"] == "problem"
    tell(talk, do="sound", rate=RATE)
    talk.send(pcm(babble(0.3)))
    assert hear(talk)["is"] == "ready"


def test_half_a_sample_and_an_impossible_clock_are_refused(talk: ClientConnection) -> None:
    tell(talk, do="sound", rate=RATE)
    talk.send(b"\x00\x00\x00")
    assert "Half a sample" in hear(talk)["text"]
    tell(talk, do="clock", time=-1, playing=True)
    assert hear(talk)["is"] == "problem"
    tell(talk, do="clock", time=1, playing=True, frame=-5)
    assert hear(talk)["is"] == "problem"


def test_sound_without_speech_as_source_is_answered(viewer: Viewer) -> None:
    with join(viewer) as connection:
        hear(connection)
        tell(connection, do="microphone", rate=RATE)
        assert "Speech" in hear(connection)["text"]


def test_typed_text_comes_back_as_sound(talk: ClientConnection) -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    tell(talk, do="say", text="Hello $(touch /nowhere/never) `world`; -h --help")
    answer = talk.recv(timeout=PATIENCE)
    assert isinstance(answer, bytes)
    assert answer[:4] == b"RIFF"
    # espeak-ng writes to a pipe and leaves the header's length open; the samples are what counts.
    assert len(answer) > 20_000


def test_files_are_offered_by_name_and_served_by_number(avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(pcm(babble(0.5)))
    path.write_bytes(buffer.getvalue())
    with Viewer(avatar, Options(port=0, livelink_port=0, sounds=(path,))) as viewer:
        with join(viewer) as connection:
            assert hear(connection)["sounds"] == ["hello.wav"]
        from .test_security import get

        answer = get(viewer.server.port, f"{sound_page.FILES}0")
        assert answer.status == 200
        assert answer.body == path.read_bytes()  # type: ignore[attr-defined]
        assert get(viewer.server.port, f"{sound_page.FILES}1").status == 404


def test_a_file_that_is_no_sound_is_an_error_at_the_start(avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "not.wav"
    path.write_text("I am not a sound.")
    with pytest.raises(InputError, match=r"not\.wav"):
        Viewer(avatar, Options(port=0, sounds=(path,)))
    with pytest.raises(InputError):
        Viewer(avatar, Options(port=0, sounds=(tmp_path / "missing.wav",)))
