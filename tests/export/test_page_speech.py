"""The page's speech against the Python one: front end, network, breaths, resampler in uneven pieces; microphone."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from avatars.export import web
from avatars.heads.arkit import NAMES
from avatars.motion.voice import habits_of
from avatars.speech import face
from avatars.speech.articulation import ARTICULATORS, GAP, to_arkit
from avatars.speech.condition import DEFAULT_LOOK_AHEAD, EMOTIONS, condition, emotion_vector
from avatars.speech.drone import Drone
from avatars.speech.emotion import offsets
from avatars.speech.face import Face
from avatars.speech.features import FrontEnd
from avatars.speech.habits import Amounts, Habits
from avatars.speech.inhale import Inhale, part
from avatars.speech.resample import Resampler
from avatars.speech.runtime import Runtime
from avatars.speech.style import Style

from .browser import CHROMIUM, DRIVER, MISSING, Browser, served, shown

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=MISSING)]

DECODE = "const bytes = Uint8Array.from(atob(args[0]), (c) => c.charCodeAt(0)), pcm = new Float32Array(bytes.buffer);"
FEED = (
    DECODE
    + """
const Player = customElements.get("avatar-player"), voice = await Player.newVoice(), out = [];
for (let at = 0, k = 0; at < pcm.length; k++) {
  const next = Math.min(pcm.length, at + args[1][k % args[1].length]);
  for (const spoken of voice.feed(pcm.subarray(at, next))) out.push([...spoken.curves, ...spoken.classes]);
  at = next;
}
return out;
"""
)
RESAMPLE = (
    DECODE
    + """
const resampler = new (customElements.get("avatar-player").Resampler)(args[1]), out = [];
for (let at = 0; at < pcm.length; at += 777) out.push(...resampler.feed(pcm.subarray(at, at + 777)));
return out;
"""
)


@pytest.fixture(scope="module")
def page(avatar, tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech")
    web.save_web(avatar, folder / "page")
    with shown(folder, (420, 560)) as browser:
        yield browser


def sound(seconds: float, rate: int = 16000) -> np.ndarray:
    """A gliding buzz in syllables with hisses, then a pause with a breath in: voiced, unvoiced and quiet frames."""
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(120 + 60 * np.sin(3 * t)) / rate
    buzz = sum(np.sin(k * phase) / k for k in range(1, 20))
    phrase = t % 2 < 1.2
    hiss = 0.1 * phrase * (np.sin(2 * np.pi * 1.3 * t) > 0.8)
    breath = 0.002 * np.sin(np.pi * np.clip((t % 2 - 1.4) / 0.5, 0, 1))
    noise = (hiss + breath) * np.random.default_rng(0).normal(0, 1, len(t))
    return (0.2 * buzz * phrase * (np.sin(2 * np.pi * 3.5 * t) > -0.3) + noise).astype(np.float32)


def spoken(pcm: np.ndarray, emotion: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(inputs [T, 86], articulators [T, 11] with the lips parted for breaths, class logits [T, 6]) of a sound."""
    runtime, heard, ahead = Runtime(), FrontEnd()(pcm), DEFAULT_LOOK_AHEAD
    runtime.set_condition(condition(emotion=emotion, look_ahead=ahead))
    _, closed, classes = runtime(heard)
    closed = closed * (1 - Drone()(heard))[:, None]
    curves = part(closed, Inhale()(heard, classes))
    assert (curves - closed)[:, GAP].max() > 0.5  # without the breath the lips stay together
    return heard[:-ahead], curves[ahead:], classes[ahead:]


def text(pcm: np.ndarray) -> str:
    return base64.b64encode(pcm.astype("<f4").tobytes()).decode()


@pytest.mark.parametrize("pieces", [[320], [1, 999, 37, 4096], [100000]])
def test_page_hears_what_python_hears(page, pieces):
    pcm = sound(2.4)
    expected = np.concatenate(spoken(pcm)[1:], 1)
    found = np.array(page.run(FEED, text(pcm), pieces))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4
    assert np.ptp(found[:, 0]) > 0.01  # it moves the jaw


def test_page_leaves_the_lips_shut_for_a_machine(page):
    time = np.arange(16000) / 16000
    pcm = (0.1 * sum(np.sin(2 * np.pi * 314 * k * time) for k in (1, 2, 3, 4))).astype(np.float32)
    heard = FrontEnd()(pcm)
    runtime = Runtime()
    runtime.set_condition(condition(look_ahead=DEFAULT_LOOK_AHEAD))
    shut = Drone()(heard)
    assert ((shut > 0) & (shut < 1)).any()  # on the way
    expected = (runtime(heard)[1] * (1 - shut)[:, None])[DEFAULT_LOOK_AHEAD:]
    found = np.array(page.run(FEED, text(pcm), [480]))[:, : len(ARTICULATORS)]
    assert np.abs(found - expected).max() < 1e-4
    assert np.abs(found[-10:]).max() == 0


@pytest.mark.parametrize("rate", [44100, 48000, 8000])
def test_page_resamples_as_python_does(page, rate):
    pcm = sound(0.3, rate)
    expected = Resampler(rate)(pcm[None])[0]
    found = np.array(page.run(RESAMPLE, text(pcm), rate))
    assert len(found) == len(expected)
    assert np.abs(found - expected).max() < 2e-5


def test_articulators_become_the_same_coefficients(page):
    curves = np.random.default_rng(1).uniform(0, 1.5, (5, 11)).astype(np.float32)
    script = """
    const voice = await customElements.get("avatar-player").newVoice(), silence = new Float32Array(86);
    const classes = Float32Array.from([9, 0, 0, 0, 0, 0]);
    return args[0].map((row) => [...voice.say({curves: Float32Array.from(row), classes, input: silence}).face]);
    """
    assert np.abs(np.array(page.run(script, curves.tolist())) - to_arkit(curves)).max() < 1e-5


class PageRandom:
    """The page's random numbers (mulberry32, Box-Muller, sums of waiting times) behind NumPy's names."""

    def __init__(self, words: list[int]) -> None:
        self._state = 4 * words[0] + words[1]

    def random(self) -> float:
        self._state = (self._state + 0x6D2B79F5) & 0xFFFFFFFF
        s = self._state
        t = (s ^ (s >> 15)) * (1 | s) & 0xFFFFFFFF
        t = (t + ((t ^ (t >> 7)) * (61 | t) & 0xFFFFFFFF) & 0xFFFFFFFF) ^ t
        return ((t ^ (t >> 14)) & 0xFFFFFFFF) / 2**32

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.random()

    def normal(self, mean: float, deviation: float) -> float:
        radius = np.sqrt(-2 * np.log(1 - self.random()))
        return mean + deviation * radius * np.cos(2 * np.pi * self.random())

    def gamma(self, shape: int, scale: float) -> float:
        return -scale * sum(np.log(1 - self.random()) for _ in range(shape))

    def standard_normal(self, size=None):
        return (
            self.normal(0, 1)
            if size is None
            else np.array([self.normal(0, 1) for _ in range(np.prod(size))]).reshape(size)
        )


LIVE = (
    DECODE
    + """
const Player = customElements.get("avatar-player"), voice = await Player.newVoice();
const life = new Player.Life(args[1], 3), eyes = new Player.Expression(args[2]), out = [];
const emotion = Float32Array.from(args[3]);
voice.feel(emotion);
for (const spoken of voice.feed(pcm)) {
  const said = voice.say(spoken), moved = life.tick(said.heard), values = voice.finished(said, emotion);
  eyes.add(values, moved);
  out.push([...values.map((x) => Math.min(Math.max(x, 0), 1)), ...moved.rotation, ...moved.translation]);
}
return out;
"""
)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@pytest.mark.parametrize("feeling", [{}, {"sad": 0.3, "surprise": 0.7}, {"happy": 1.0}])
def test_whole_face_lives_as_in_python(page, monkeypatch, feeling):
    """Lips, breaths, laughter, emotion, prosody, blinks, gaze, brows, head: the same sound, the same random numbers."""
    pcm, habits = sound(12.0), Habits(blinks_per_minute=40.0, brow_spread=0.1)
    monkeypatch.setattr(face.np.random, "default_rng", PageRandom)
    vector = emotion_vector(feeling, 1.2)
    heard, curves, classes = spoken(pcm, vector)
    expected = Face(habits, Amounts(), 3)(curves, classes, heard, np.repeat(vector[None], len(curves), 0))
    words = {camel(key): value for key, value in habits.to_json().items()}
    found = np.array(page.run(LIVE, text(pcm), words, list(NAMES), vector.tolist()))
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 2e-4  # the network's own 1e-4, and what follows from it
    lids = expected[:, NAMES.index("eyeBlinkLeft")]
    assert lids.max() > 0.9
    assert np.ptp(expected[:, 52]) > 0.02  # the head nods


def test_emotions_ease_onto_a_silent_face(page):
    """As named in Python, in full after a while, and gone again; what is none is refused."""
    found = page.run(
        """
        const driver = avatar.driver, asked = [], state = driver.subject.state.bind(driver.subject);
        driver.alive = false; driver.play(false); avatar.setCoefficients({});
        driver.subject.state = (values, head) => { asked.push([...values]); return state(values, head); };
        await avatar.setEmotion({sad: 1, fear: 1}, 0.8);
        for (let i = 0; i < 150; i++) driver.advance(0.02);
        await avatar.setEmotion({});
        for (let i = 0; i < 400; i++) driver.advance(0.02);
        delete driver.subject.state; driver.alive = true;
        const refused = [];
        for (const wrong of [[{glad: 1}], [{sad: -1}], [{sad: 1}, 2], [{sad: NaN}]])
          await avatar.setEmotion(...wrong).catch((e) => refused.push(e.message));
        return [asked[0], asked[14], asked[149], asked.at(-1), refused.length];
        """
    )
    first, second, full, last, refused = (np.array(x) for x in found)
    wanted = offsets(emotion_vector({"sad": 1, "fear": 1}, 0.8)[None], np.zeros(1), np.full(1, 0.5))[0]
    assert np.abs(full - wanted).max() < 1e-3
    assert np.abs(first - wanted / 15).max() < 1e-5  # a fifteenth of the way in a tick of 20 ms
    assert np.abs(second - (1 - (14 / 15) ** 15) * wanted).max() < 1e-5
    assert np.abs(last).max() == 0
    assert refused == 4


def test_emotions_have_the_names_of_python(page):
    names = page.run(
        "return [...avatar.shadowRoot.querySelectorAll('section[aria-label=Face] select option')].map((o) => o.value);"
    )
    assert tuple(names) == EMOTIONS


def test_habits_and_style_reach_the_page(avatar, tmp_path):
    """A subject's own numbers are in the bundles; a style moves the articulators as it does in Python."""
    from avatars.export.bundle import bundle
    from avatars.export.packing import unpack
    from avatars.export.voice import voice_bundle

    packed = bundle(avatar)
    stored = unpack(packed.manifest["arrays"], packed.data, packed.manifest["file"]["inflated"], "")["habits"]
    own = habits_of(avatar)
    flat = np.concatenate([np.atleast_1d(getattr(own, name)) for name in own.__dataclass_fields__])
    assert np.allclose(stored, flat, rtol=1e-6)
    rng = np.random.default_rng(0)
    count = len(ARTICULATORS)
    style = Style(
        gain=rng.uniform(0.7, 1.3, count).astype(np.float32), bias=rng.uniform(0, 0.2, count).astype(np.float32)
    )
    web.save_web(avatar, tmp_path / "page", style=style)
    curves = rng.uniform(0, 1.5, (5, count)).astype(np.float32)
    script = """
    const voice = await customElements.get("avatar-player").newVoice(), silence = new Float32Array(86);
    const classes = Float32Array.from([9, 0, 0, 0, 0, 0]);
    return args[0].map((row) => [...voice.say({curves: Float32Array.from(row), classes, input: silence}).face]);
    """
    assert voice_bundle().data != voice_bundle(style).data
    with served(tmp_path) as address:
        browser = Browser((420, 560))
        try:
            browser.open(address + "/page/index.html")
            browser.run("await avatar.ready; avatar.paused = true;")
            found = np.array(browser.run(script, curves.tolist()))
        finally:
            browser.close()
    assert np.abs(found - to_arkit(style.shape(curves))).max() < 1e-5


def test_microphone_drives_the_face_and_lets_go(page):
    """Chromium's make-believe microphone beeps once a second."""
    found = page.run(
        """
        await avatar.toggleMicrophone();
        if (!avatar.driver.talk) return [avatar.note.textContent];
        let most = 0;
        await until(() => (most = Math.max(most, ...avatar.driver.talk.now(avatar.driver.emotion))) > 0.005);
        avatar.driver.hush();
        return [most, avatar.driver.talk === null];
        """
    )
    assert found[0] > 0.005
    assert found[1] is True


def test_sound_file_is_spoken(page):
    """A WAV made here, through the browser's own decoder."""
    pcm = (sound(1.0) * 12000).clip(-32768, 32767).astype("<i2").tobytes()
    header = (
        b"RIFF"
        + (36 + len(pcm)).to_bytes(4, "little")
        + b"WAVEfmt "
        + bytes.fromhex("100000000100010080")
        + b"\x3e\0\0"
    )
    header += bytes.fromhex("007d0000") + bytes.fromhex("02001000") + b"data" + len(pcm).to_bytes(4, "little")
    script = """
    const bytes = Uint8Array.from(atob(args[0]), (c) => c.charCodeAt(0));
    await avatar.speak(new Blob([bytes], {type: "audio/wav"}));
    const note = avatar.note.hidden ? "" : avatar.note.textContent;
    const values = avatar.driver.talk ? [...avatar.driver.talk.now(avatar.driver.emotion)] : [];
    avatar.driver.hush();
    return [note, values.length];
    """
    assert page.run(script, base64.b64encode(header + pcm).decode()) == ["", 52]
    assert "no sound" in page.run(script, base64.b64encode(b"not sound").decode())[0]
