"""The page under a person's hands: drawers, keys, names for screen readers, a program's socket, and what it says when
a microphone or a headset fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.server import ServerConnection, serve

from avatars.export import web

from .browser import CHROMIUM, DRIVER, MISSING, shown

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=MISSING)]


@pytest.fixture(scope="module")
def page(avatar, tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    web.save_web(avatar, folder / "page")
    with shown(folder, (900, 700)) as browser:
        yield browser


KEY = "const key = (name) => avatar.canvas.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true}));"


def test_keys_open_one_drawer_at_a_time_and_escape_closes(page):
    found = page.run(
        KEY
        + """
        const panels = [...avatar.shadowRoot.querySelectorAll(".panel")];
        const open = () => panels.filter((p) => !p.hidden).map((p) => p.ariaLabel);
        const out = [open()];
        for (const name of ["f", "s", "s", "f", "Escape"]) { key(name); out.push(open()); }
        return out;
        """
    )
    assert found == [[], ["Face"], ["Settings"], [], ["Face"], []]


def test_keys_play_turn_zoom_and_change_the_background(page):
    found = page.run(
        KEY
        + """
        avatar.driver.play(true); key(" ");
        const theme = avatar.theme; key("b");
        for (const name of ["ArrowLeft", "ArrowUp", "+"]) key(name);
        const moved = [avatar.orbit.yaw, avatar.orbit.pitch, avatar.orbit.zoom];
        key("r");
        return [avatar.driver.playing, theme !== avatar.theme, moved, avatar.orbit.yaw, avatar.orbit.zoom];
        """
    )
    assert found == [False, True, [-0.1, -0.1, 1.1], 0, 1]


def test_fingers_turn_and_pinch(page):
    yaw, zoom = page.run(
        """
        avatar.orbit.reset();
        avatar.canvas.setPointerCapture = () => undefined;  // these pointers are made up
        const point = (type, pointerId, clientX) => avatar.canvas.dispatchEvent(
          new PointerEvent(type, {pointerId, clientX, clientY: 200, pointerType: "touch"}));
        point("pointerdown", 11, 200); point("pointermove", 11, 150);
        const yaw = avatar.orbit.yaw;
        point("pointerdown", 12, 250); point("pointermove", 12, 350);
        const zoom = avatar.orbit.zoom;
        point("pointerup", 11, 150); point("pointerup", 12, 350);
        avatar.orbit.reset();
        return [yaw, zoom];
        """
    )
    assert yaw == pytest.approx(0.2)
    assert zoom == pytest.approx(2.0)


def test_everything_has_a_name_and_can_be_reached(page):
    nameless, order = page.run(
        """
        avatar.open(avatar.face);
        const all = [...avatar.shadowRoot.querySelectorAll("button, input, select, canvas, section, progress")];
        const name = (e) => e.ariaLabel || e.textContent.trim() || (e.labels?.[0]?.textContent ?? "");
        const nameless = all.filter((e) => e.type !== "file" && !name(e).trim()).map((e) => e.outerHTML.slice(0, 80));
        const passive = (e) => e.type === "file" || ["SECTION", "PROGRESS"].includes(e.tagName);
        const order = all.filter((e) => e.tabIndex < 0 && !passive(e)).length;
        avatar.open(null);
        return [nameless, order];
        """
    )
    assert nameless == []
    assert order == 0


def test_expressions_by_name_ease_in(page):
    found = page.run(
        """
        avatar.driver.alive = false; avatar.driver.play(false);
        avatar.setCoefficients({}); for (let i = 0; i < 60; i++) avatar.driver.advance(1 / 60);
        const jaw = () => avatar.driver.last.expression.reduce((a, b) => a + Math.abs(b), 0);
        const before = jaw();
        const chips = [...avatar.shadowRoot.querySelectorAll(".chips button")], steps = [];
        chips.find((b) => b.textContent === "Surprise").click();
        for (let i = 0; i < 30; i++) { avatar.driver.advance(1 / 60); steps.push(Math.abs(jaw() - before)); }
        avatar.driver.alive = true;
        return [steps[0], steps[29], Math.max(...steps.map((s, i) => i ? Math.abs(s - steps[i - 1]) : 0))];
        """
    )
    assert found[0] < 0.1 * found[1]
    assert found[2] < 0.25 * found[1]


def test_emotions_are_chosen_in_the_face_drawer(page):
    """Neutral has no strength; another one fetches the network's tables and sets the goal."""
    found = page.run(
        """
        const [choice] = avatar.face.root.querySelectorAll("select");
        const strength = choice.closest("label").nextElementSibling.querySelector("input"), out = [strength.disabled];
        const choose = async (name, amount, met) => {
          choice.value = name; choice.onchange();
          strength.value = amount; strength.oninput();
          await until(met);
        };
        const happy = () => avatar.driver.emotion[1];
        await choose("happy", "0.5", () => happy() === 0.5);
        out.push(strength.disabled, avatar.driver.playing);
        await choose("neutral", "1", () => happy() === 0);
        await avatar.setEmotion({});
        return [...out, strength.disabled];
        """
    )
    assert found == [True, False, False, True]


def test_details_and_behaviour_are_choices(page):
    found = page.run(
        """
        avatar.open(avatar.settings);
        const [life, eyes] = avatar.settings.root.querySelectorAll("input[type=checkbox]");
        life.click(); eyes.click();
        const off = [avatar.driver.alive, avatar.driver.follow];
        life.click(); eyes.click();
        avatar.open(null);
        return [off, avatar.driver.alive, avatar.driver.follow, avatar.settings.detail];
        """
    )
    assert found == [[False, False], True, True, 3000]


def test_eyes_follow_the_viewer_unless_told_otherwise(page):
    """From the subject's left, as far as eyes like to go, and back."""
    script = """
        const driver = avatar.driver, look = avatar.driver.names.indexOf("eyeLookOutLeft");
        driver.play(false); driver.setCoefficients({}); driver.follow = args[0];
        const asked = []; const state = driver.subject.state.bind(driver.subject);
        driver.subject.state = (values, head) => { asked.push(values[look]); return state(values, head); };
        driver.viewer = [0.6, 0, 0.9];
        for (let i = 0; i < 200; i++) driver.advance(1 / 50);
        delete driver.subject.state; driver.follow = true; driver.viewer = null;
        return asked.slice(50).reduce((a, b) => a + b) / (asked.length - 50);
    """
    assert page.run(script, True) > 0.6
    assert page.run(script, False) < 0.2


@contextmanager
def program(messages: list[str]) -> Iterator[str]:
    """Address of a socket that says these things to whoever comes."""

    def talk(connection: ServerConnection) -> None:
        for message in messages:
            connection.send(message)
        for _ in connection:
            pass

    with serve(talk, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()


def test_a_program_drives_the_face_through_a_socket(page):
    messages = [json.dumps({"coefficients": {"jawOpen": 0.25}}), json.dumps({"coefficients": [0.5] * 52})]
    with program(messages) as address:
        found = page.run(
            """
            avatar.settings.address.value = args[0]; avatar.settings.join.click();
            const here = () => avatar.driver.coefficients[51] === 0.5;
            await until(here);
            const out = [avatar.driver.coefficients[51], avatar.settings.join.textContent];
            avatar.settings.join.click();
            return [...out, avatar.settings.join.textContent];
            """,
            address,
        )
    assert found == [0.5, "Disconnect", "Connect"]


@pytest.mark.parametrize(
    ("message", "says"),
    [("no JSON", "not coefficients"), ('{"coefficients": {"jaw": 1}}', "jaw"), ('{"coefficients": [1]}', "52")],
)
def test_a_program_that_talks_nonsense_is_let_go(page, message, says):
    with program([message]) as address:
        found = page.run(
            """
            avatar.note.textContent = "";
            avatar.connect(args[0]);
            await until(() => avatar.note.textContent);
            return avatar.note.textContent;
            """,
            address,
        )
    assert says in found


def test_an_address_that_is_none_is_named(page):
    found = page.run(
        "avatar.settings.address.value = 'http://x'; avatar.settings.join.click();"
        "return [avatar.note.textContent, avatar.settings.join.textContent];"
    )
    assert "ws:" in found[0]
    assert found[1] == "Connect"


@pytest.mark.parametrize(
    ("name", "says"), [("NotAllowedError", "not allowed"), ("NotFoundError", "No microphone"), (None, "https")]
)
def test_page_says_why_there_is_no_microphone(page, name, says):
    found = page.run(
        """
        const real = navigator.mediaDevices;
        const fake = args[0] && {getUserMedia: () => Promise.reject(new DOMException("", args[0]))};
        Object.defineProperty(navigator, "mediaDevices", {value: fake ?? undefined, configurable: true});
        avatar.note.hidden = true;
        await avatar.toggleMicrophone();
        Object.defineProperty(navigator, "mediaDevices", {value: real, configurable: true});
        return [avatar.note.hidden, avatar.note.textContent, avatar.driver.talk === null];
        """,
        name,
    )
    assert found[0] is False
    assert says in found[1]
    assert found[2]


def test_page_says_why_there_is_no_headset(page):
    found = page.run(
        """
        const hidden = avatar.bar.vr.root.hidden;
        const requestSession = () => Promise.reject(new Error("It is in use."));
        const fake = {isSessionSupported: async () => true, requestSession};
        Object.defineProperty(navigator, "xr", {value: fake, configurable: true});
        await avatar.toggleVr();
        delete navigator.xr;
        return [hidden, avatar.note.textContent, avatar.session];
        """
    )
    assert found[0] is True  # no button where there is no headset
    assert "headset cannot be used" in found[1]
    assert "in use" in found[1]
    assert found[2] is None
