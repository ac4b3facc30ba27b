"""Sound in, a film that speaks out: what is written, what is refused, and a style that stays with its avatar."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from avatars.capture.audio import read_audio
from avatars.capture.probe import probe
from avatars.capture.store import save_clip
from avatars.cli import main, parse
from avatars.commands.drive import Drive, parse_amounts, parse_emotion
from avatars.data import Clip, Motion
from avatars.errors import AvatarError, FileFormatError, InputError
from avatars.heads.arkit import INDEX
from avatars.motion.livelink import read_csv
from avatars.motion.retarget import Manner, Retarget
from avatars.motion.sources import motion_of_track
from avatars.motion.voice import habits_of, movement, save_style, style_of, teach, voice_of
from avatars.speech import vocal
from avatars.speech.evaluate import whole
from avatars.speech.loudness import raised
from avatars.speech.style import Style
from avatars.splats.avatar import Avatar
from tests.splats.making import make_avatar

RATE = 16000
SECONDS = 1.2


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatar") / "small.avatar"
    make_avatar(60).save(path)
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "sung.wav"
    sung = vocal.sing(np.random.default_rng(0)).pcm
    return write_wave(path, np.resize(sung, int(SECONDS * RATE)))


def write_wave(path: Path, pcm: np.ndarray) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((pcm * 32767).astype("<i2").tobytes())
    return path


def drive(avatar: Path, sound: Path, out: Path, *more: str) -> None:
    parse(["drive", str(avatar), "--audio", str(sound), "-o", str(out), "--size", "64", *more]).run()


def motion_of(avatar: Path, sound: Path, **options: object) -> Motion:
    """What `drive` would draw."""
    verb = replace(Drive(avatar, Path("out.mp4"), audio=sound), **options)  # type: ignore[arg-type]
    heard = read_audio(sound)
    assert heard is not None
    return verb._motion(
        Avatar.load(avatar), heard, *parse_emotion(verb.emotion), parse_amounts(verb.amount, verb.still)
    )


def test_film_has_the_sound_its_length_and_a_motion_file(avatar: Path, sound: Path, tmp_path: Path) -> None:
    out, csv = tmp_path / "out.mp4", tmp_path / "out.csv"
    drive(avatar, sound, out, "--motion-out", str(csv), "--fps", "30", "--camera", "orbit")
    about = probe(out)
    assert (about.width, about.height) == (64, 64)
    assert about.rate == pytest.approx(30, abs=1e-3)
    assert about.duration == pytest.approx(SECONDS, abs=1 / 30)
    with av.open(str(out)) as film:
        assert film.streams.audio[0].rate == 48000
    given, heard = read_audio(sound), read_audio(out)
    assert given is not None
    assert heard is not None
    shared = min(len(given), len(heard))
    assert shared >= len(given) - RATE // 30
    # AAC keeps the waveform, not the samples; a shift by one frame would leave no correlation.
    assert np.corrcoef(given[:shared], heard[:shared])[0, 1] > 0.95
    read, made = read_csv(csv), motion_of(avatar, sound, fps=30.0)
    assert len(read.times) == 36
    np.testing.assert_allclose(read.times, made.times, atol=2e-5)  # the timecode counts 1/60000 s
    np.testing.assert_allclose(read.arkit, made.arkit, atol=1e-6)
    np.testing.assert_allclose(read.rotation, made.rotation, atol=1e-6)
    assert np.ptp(read.arkit[:, INDEX["jawOpen"]]) > 0.05


def test_the_head_keeps_still_when_asked_and_emotions_show_from_the_start(avatar: Path, sound: Path) -> None:
    usual, still = motion_of(avatar, sound), motion_of(avatar, sound, still=True)
    assert np.abs(usual.rotation).max() > 1e-3
    assert not still.rotation.any()
    assert not still.translation.any()
    np.testing.assert_array_equal(still.arkit[:, INDEX["jawOpen"]], usual.arkit[:, INDEX["jawOpen"]])
    calm = motion_of(avatar, sound, amount=("head:0.5", "blinks:0", "gaze:0"))
    np.testing.assert_allclose(calm.translation, usual.translation / 2, atol=1e-9)
    assert not calm.arkit[:, INDEX["eyeLookInLeft"]].any()
    happy = motion_of(avatar, sound, emotion=("happy:0.8",))
    smile = INDEX["mouthSmileLeft"]
    assert happy.arkit[0, smile] > usual.arkit[0, smile] + 0.1


def test_a_file_is_spoken_with_all_the_look_ahead_there_is(avatar: Path, sound: Path) -> None:
    heard = read_audio(sound)
    assert heard is not None
    style = voice_of(Avatar.load(avatar))
    made = motion_of(avatar, sound)
    patient, live = (
        whole(raised(heard), RATE, fps=25.0, look_ahead_ms=ahead, style=style, habits=style.habits)
        for ahead in (160, 60)
    )
    np.testing.assert_array_equal(made.arkit, patient.arkit)
    assert np.abs(made.arkit - live.arkit).max() > 0.01


def test_emotions_are_read() -> None:
    assert parse_emotion(()) == ({}, 1.0)
    assert parse_emotion(("sad",)) == ({"sad": 1.0}, 1.0)
    weights, intensity = parse_emotion(("happy:0.6", "surprise:0.2"))
    assert weights == pytest.approx({"happy": 0.75, "surprise": 0.25})
    assert intensity == pytest.approx(0.8)
    for bad, words in ((("happy:much",), "happy:0.6"), (("sad", "sad:0.1"), "twice")):
        with pytest.raises(InputError, match=words):
            parse_emotion(bad)


def test_what_cannot_be_spoken_is_one_line(
    avatar: Path, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = write_wave(tmp_path / "empty.wav", np.zeros(0))
    other = tmp_path / "words.wav"
    other.write_text("these are words, not sound\n" * 9)
    out, taken = tmp_path / "out.mp4", tmp_path / "taken.mp4"
    taken.write_bytes(b"kept")
    base = ["drive", str(avatar), "-o", str(out)]
    heard = [*base, "--audio", str(sound)]
    cases = [
        ([*base], "--audio or --text"),
        ([*heard, "--text", "hello"], "--audio or --text"),
        ([*heard, "--voice", "en"], "--voice"),
        ([*base, "--text", "  "], "no text"),
        ([*base, "--text", "hello", "--voice", "robbie"], "Unknown voice 'robbie'"),
        ([*base, "--audio", str(empty)], "empty.wav"),
        ([*base, "--audio", str(other)], "words.wav"),
        ([*base, "--audio", str(tmp_path / "none.wav")], "none.wav"),
        ([*heard, "--emotion", "hungry:0.5"], "Unknown emotion 'hungry'"),
        ([*heard, "--emotion", "happy:9"], "intensity"),
        ([*heard, "--emotion", "happy:-1"], "at least 0"),
        ([*heard, "--emotion", "happy:nan"], "nan"),
        ([*heard, "--amount", "ears:1"], "Unknown movement 'ears'"),
        ([*heard, "--amount", "head:9"], "between 0 and 2"),
        ([*heard, "--amount", "head:much"], "head:much"),
        ([*heard, "--still", "--amount", "head:1"], "twice"),
        ([*heard, "--fps", "0"], "--fps"),
        ([*heard, "--background", "puce"], "puce"),
        ([*heard, "--background", "none"], "transparent"),
        ([*heard, "--style", str(tmp_path / "no.safetensors")], "no.safetensors"),
        ([*heard, "--motion-out", str(tmp_path / "m.txt")], "m.txt"),
        ([*heard[:3], str(taken), *heard[4:]], "--overwrite"),
    ]
    for arguments, words in cases:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        said = capsys.readouterr().err
        assert end.value.code == 1, (arguments, said)
        line = [row for row in said.splitlines() if row.startswith("avatars: ")]
        assert len(line) == 1, (arguments, said)
        assert words in line[0], (arguments, said)
        assert "Traceback" not in said
    assert taken.read_bytes() == b"kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.wav", "taken.mp4", "words.wav"]


def test_stopping_leaves_nothing_behind(
    avatar: Path, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avatars.commands import drawing

    draw = drawing.Drawer.__call__
    drawn: list[int] = []

    def stop(self: drawing.Drawer, shot: drawing.Shot) -> np.ndarray:
        drawn.append(1)
        if len(drawn) == 5:
            raise KeyboardInterrupt
        return draw(self, shot)

    monkeypatch.setattr(drawing.Drawer, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        drive(avatar, sound, tmp_path / "out.mp4", "--motion-out", str(tmp_path / "out.csv"))
    assert len(drawn) == 5
    assert list(tmp_path.iterdir()) == []


def test_what_is_learned_is_movement_from_the_rest(avatar: Path) -> None:
    loaded = Avatar.load(avatar)
    own, moved = motion_of_track(loaded.track, loaded.head), movement(loaded)
    rest = Manner.of(own).neutral
    np.testing.assert_allclose(moved.arkit, own.arkit - rest)
    assert rest.max() > 0.02  # the clip's face does not rest at zero, or this would show nothing
    # Put back on the resting face as a speech would be, it is the captured motion again, but for rounding, and for lips
    # that rest ajar, which a speech shuts.
    retarget = Retarget(loaded)
    retarget.press = 0.0
    np.testing.assert_allclose(retarget.expression(moved.arkit), loaded.track.expression, atol=1e-6)


def test_a_style_stays_with_its_avatar_and_is_used(sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.avatar"
    made = make_avatar(60)
    made.save(path)
    assert style_of(path) is None
    plain = tmp_path / "plain.safetensors"
    Style(habits=habits_of(made)).save(plain)
    before = motion_of(path, sound, style=plain)
    style = Style(gain=np.full(11, 0.5, np.float32), habits=habits_of(made), facts={"accepted": ["affine"]})
    (path / "report.html").write_text("kept")
    save_style(style, path)
    assert (path / "report.html").read_text() == "kept"
    found = style_of(path)
    assert found is not None
    np.testing.assert_array_equal(found.gain, style.gain)
    assert found.facts == style.facts
    assert found.habits == style.habits
    after, jaw = motion_of(path, sound), INDEX["jawOpen"]
    np.testing.assert_allclose(after.arkit[:, jaw], before.arkit[:, jaw] / 2, atol=1e-5)
    # It travels in a zip, and stays when the avatar is written anew.
    made.pack(tmp_path / "zipped.avatar", path)
    again = Avatar.load(tmp_path / "zipped.avatar")
    zipped = style_of(again)
    assert zipped is not None
    np.testing.assert_array_equal(zipped.gain, style.gain)
    again.save(path, overwrite=True)
    assert style_of(path) is not None
    with pytest.raises(InputError, match="Unzip"):
        save_style(style, tmp_path / "zipped.avatar")
    again.speech.pop("style.gain")
    with pytest.raises(FileFormatError, match=r"style\.gain"):
        style_of(again)


def test_a_new_avatar_learns_only_where_there_is_something_to_learn_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.avatar"
    make_avatar(60).save(path)
    assert "no sound" in teach(path, None)
    assert "too little" in teach(path, np.zeros(5 * RATE, np.float32))
    sung = np.concatenate([vocal.sing(np.random.default_rng(i)).pcm for i in range(3)])[: 6 * RATE]
    monkeypatch.setattr("avatars.speech.score.spoken_seconds", lambda pcm: len(pcm) / RATE)
    assert "overlap" in teach(path, sung)  # the track has a quarter of a second
    assert style_of(path) is None
    facts = {"accepted": ["affine"], "base": {"error": 0.2, "lip_gap_correlation": 0.4}}
    facts["personal"] = {"error": 0.1, "lip_gap_correlation": 0.5}
    monkeypatch.setattr("avatars.motion.voice.learn_style", lambda *given: Style(facts=facts))
    assert "0.200 to 0.100" in teach(path, sung)
    found = style_of(path)
    assert found is not None
    assert found.facts == facts


def test_personalize_needs_the_sound_of_the_avatars_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.avatar"
    made = replace(make_avatar(60), manifest={"provenance": {"source": {"sha256": "a"}}})
    made.save(path)

    def said(*more: str) -> str:
        with pytest.raises(SystemExit) as end:
            main(["speech", "personalize", str(path), *more])
        assert end.value.code == 1
        return capsys.readouterr().err

    def clip(sha256: str, audio: np.ndarray | None) -> None:
        marks = np.zeros((6, 478, 3), np.float32)
        frames, matte = np.zeros((6, 64, 64, 3), np.uint8), np.zeros((6, 64, 64), np.uint8)
        source = {"sha256": sha256}
        save_clip(Clip(frames, made.track.times, marks, matte, [""] * 6, audio, source=source), tmp_path / "a.run/clip")

    assert "no captured clip" in said()
    clip("b", np.zeros(RATE, np.float32))
    assert "not the one" in said()
    clip("a", None)
    assert "no sound" in said()
    clip("a", np.zeros(RATE, np.float32))
    assert "silent" in said()
    clip("a", 0.1 * np.sin(np.arange(RATE, dtype=np.float32)))
    assert "overlap" in said()  # the track has a quarter of a second
    assert style_of(path) is None
    with pytest.raises(AvatarError, match="--motion"):
        parse(["speech", "personalize", str(tmp_path / "a.wav")]).run()
