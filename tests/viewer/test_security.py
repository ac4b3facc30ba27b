"""Who may talk to the viewer, and what."""

from __future__ import annotations

import contextlib
import http.client
import math
import socket
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from avatars.errors import InputError
from avatars.splats.avatar import Avatar
from avatars.viewer.app import Options, Viewer
from avatars.viewer.security import COOKIE, is_loopback, refusal
from avatars.viewer.server import Server

from .conftest import on_loop
from .page import Page, open_socket


def get(port: int, path: str, **headers: str) -> http.client.HTTPResponse:
    """One GET, the path sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("GET", path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def status(port: int, origin: str | None, path: str = "/", **headers: str) -> int:
    """What a WebSocket handshake is answered."""
    from websockets.sync.client import connect

    subprotocol: Any = ["viser-v1.1.1"]
    try:
        with connect(
            f"ws://127.0.0.1:{port}{path}", origin=origin, subprotocols=subprotocol, additional_headers=headers
        ):  # type: ignore[arg-type]
            return 101
    except InvalidStatus as error:
        return error.response.status_code


def test_pages_of_others_are_refused(running: Viewer) -> None:
    port = running.server.port
    assert status(port, f"http://127.0.0.1:{port}") == 101
    for origin in ("http://evil.example", "null", None, "http://127.0.0.1", f"http://127.0.0.1:{port}.evil.example"):
        assert status(port, origin) == 403, origin
        assert status(port, origin, "/sound/stream") == 403, origin
    # DNS rebinding: the name is the attacker's, the address is ours; its own origin does not help it.
    name = f"evil.example:{port}"
    assert get(port, "/", Host=name).status == 403


def test_paths_lead_nowhere_else(running: Viewer, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    port = running.server.port
    up = "/.." * 12
    for path in (
        f"{up}{tmp_path}/secret", f"/%2e%2e{'/%2e%2e' * 11}{tmp_path}/secret", f"/..%2f..%2f..%2f..{tmp_path}/secret",
        f"/\\..\\..\\..\\..\\..{tmp_path}/secret", "/sound/file/../../../etc/passwd", f"/sound/file/{tmp_path}/secret",
        "/sound/file/0", "/etc/passwd",
    ):  # fmt: skip
        answer = get(port, path)
        assert answer.status == 404, path
        assert b"secret" not in answer.body  # type: ignore[attr-defined]
    assert status(port, f"http://127.0.0.1:{port}", "/elsewhere") == 404


def test_answers_cannot_be_framed_or_sniffed(running: Viewer) -> None:
    for path in ("/", "/sound"):
        answer = get(running.server.port, path)
        assert answer.status == 200
        assert answer.getheader("X-Frame-Options") == "SAMEORIGIN"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"


def test_beyond_this_machine_a_token_is_wanted() -> None:
    server = Server("0.0.0.0", 0, "t")
    try:
        port, token = server.port, server.guard.token
        own = f"http://127.0.0.1:{port}"
        assert len(token) >= 20
        assert token in server.guard.url
        assert get(port, "/").status == 403
        assert get(port, "/?token=wrong").status == 403
        assert status(port, own) == 403
        assert status(port, own, f"/?token={token}") == 403, "only the page's cookie opens the socket"
        welcome = get(port, f"/?token={token}")
        assert welcome.status == 303
        assert welcome.getheader("Location") == "/"
        cookie = welcome.getheader("Set-Cookie") or ""
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        jar = cookie.split(";")[0]
        assert jar == f"{COOKIE}={token}"
        assert get(port, "/", Cookie=jar).status == 200
        assert status(port, own, Cookie=jar) == 101
        assert status(port, "http://evil.example", Cookie=jar) == 403
        assert status(port, own, Cookie=f"{COOKIE}=wrong") == 403
    finally:
        server.stop()


def test_it_listens_on_this_machine_only(running: Viewer) -> None:
    assert Options().host == "127.0.0.1"
    address = next((a[4][0] for a in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)), "127.0.0.1")
    if address.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError):
        socket.create_connection((address, running.server.port), timeout=1)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("viewer.example", False)],
)  # fmt: skip
def test_what_counts_as_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_taken_port_is_one_clear_error(running: Viewer, avatar: Avatar) -> None:
    with pytest.raises(InputError, match=f"127.0.0.1:{running.server.port}") as caught:
        Viewer(avatar, Options(port=running.server.port))
    assert "--port" in str(caught.value)
    with pytest.raises(InputError, match="no port 70000"):
        Server("127.0.0.1", 70000, "t")


def test_only_messages_of_the_page_pass() -> None:
    def pack(**message: Any) -> bytes:
        return msgspec.msgpack.encode(message)

    good = pack(type="GuiUpdateMessage", uuid="u", updates={"value": 0.5})
    assert refusal(good) == ""
    for raw in (
        b"", b"\xc1", "text", pack(), pack(type="ShareUrlRequest"), pack(type="FileTransferStartUpload"),
        pack(type=3), pack(type=[]),
        pack(type="GuiUpdateMessage", uuid="u", updates={"value": math.nan}),
        pack(type="GuiUpdateMessage", uuid="u", updates={"value": [0.0, math.inf]}),
        pack(type="GuiUpdateMessage", uuid="u", updates={"visible": False}),
        pack(type="GuiUpdateMessage", uuid="u", updates={}), pack(type="GuiUpdateMessage", uuid="u", updates=3),
        pack(type="ViewerCameraMessage", position=[math.nan, 0.0, 0.0]), msgspec.msgpack.encode([1, 2]),
    ):  # fmt: skip
        assert refusal(raw), raw


def test_a_slider_does_not_take_nan(viewer: Viewer, page: Page) -> None:
    before = viewer.stage.puppet.sliders.arkit.copy()
    page.set("Open", math.nan)
    page.set("Nod (°)", math.inf)
    page.set("Open", 7.5)  # beyond the slider's end: taken as the end
    page.wait(lambda: viewer.stage.puppet.sliders.arkit.max() == 1.0, "the next message")
    after = viewer.stage.puppet.sliders.arkit
    assert np.isfinite(after).all()
    assert np.count_nonzero(after != before) == 1
    assert not viewer.stage.puppet.sliders.turn.any()
    assert page.sharp(256).std() > 20, "and pictures go on"


def test_nobody_opens_a_tunnel(viewer: Viewer, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a tunnel was asked for")

    monkeypatch.setattr("viser._viser.ViserTunnel", forbidden)
    page.send({"type": "ShareUrlRequest"})
    page.set("Open", 0.5)
    page.wait(lambda: viewer.stage.puppet.sliders.arkit.max() == 0.5, "the next message")
    assert viewer.server.viser.request_share_url() is None
    assert viewer.server.viser._share_tunnel is None


def test_a_huge_message_ends_its_connection_only(viewer: Viewer, page: Page) -> None:
    stranger = open_socket(viewer.server.port, f"http://127.0.0.1:{viewer.server.port}")
    with contextlib.suppress(OSError, ConnectionClosed):
        stranger.send(b"x" * (5 << 20))
    with contextlib.suppress(ConnectionClosed):
        list(stranger)
    with pytest.raises(ConnectionClosed):
        stranger.recv()
    assert page.sharp(256).std() > 20


def test_news_are_escaped_where_markup_is_taken(viewer: Viewer) -> None:
    viewer.drive.news("<img src=x onerror=alert(1)>")
    on_loop(viewer, lambda: None)  # after it
    assert "<img" not in viewer.drive._news.content
    assert "&lt;img" in viewer.drive._news.content
    viewer.drive.news("")
