"""Who may talk to the viewer: Host, Origin and token of a request, and which messages a page may send.

A web server on a user's machine can be reached by every web page the user opens. So the name a request asks for must
be ours (DNS rebinding), a WebSocket must come from our own page, and a viewer that listens beyond this machine wants
a token that was printed in the terminal.

viser shows labels and notifications as text; only `add_html` takes markup, so texts are escaped where they go there.
"""

from __future__ import annotations

import hmac
import http
import math
import mimetypes
import secrets
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

COOKIE = "avatars_token"
_SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
MESSAGES = frozenset({"ViewerCameraMessage", "GuiUpdateMessage", "GuiButtonHoldMessage"})
"""What our page sends. Uploads, share tunnels and renders made by the page are not among them."""
_MAX_DEPTH = 6


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def plain(status: http.HTTPStatus, text: str, extra: dict[str, str] | None = None) -> Response:
    """A short text answer."""
    body = (text + "\n").encode()
    headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))} | _SAFE_HEADERS
    return Response(status, status.phrase, Headers(**(headers | (extra or {}))), body)


def page(content: str) -> Response:
    """A page of our own."""
    body = content.encode()
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body))} | _SAFE_HEADERS
    return Response(http.HTTPStatus.OK, "OK", Headers(**headers), body)


def missing() -> Response:
    """There is no such page."""
    return plain(http.HTTPStatus.NOT_FOUND, "Not found.")


def download(path: Path) -> Response:
    """A file that was named on the command line."""
    try:
        body = path.read_bytes()
    except OSError:
        return missing()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    headers = {"Content-Type": kind, "Content-Length": str(len(body))} | _SAFE_HEADERS
    return Response(http.HTTPStatus.OK, "OK", Headers(**headers), body)


def harden(response: Response) -> Response:
    """Add the headers that keep a page from being framed, sniffed or cached elsewhere."""
    for name, value in _SAFE_HEADERS.items():
        if name not in response.headers:
            response.headers[name] = value
    return response


@dataclass
class Guard:
    """Decides about requests.

    Args:
        host: address that is listened on.
        port: and its port.
    """

    host: str
    port: int
    token: str = field(init=False, repr=False)
    """Made for this run; empty on loopback, where Host and Origin suffice."""

    def __post_init__(self) -> None:
        self.token = "" if is_loopback(self.host) else secrets.token_urlsafe(18)

    @property
    def url(self) -> str:
        """What to type into a browser on this machine."""
        shown = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        shown = f"[{shown}]" if ":" in shown else shown
        return f"http://{shown}:{self.port}/" + (f"?token={self.token}" if self.token else "")

    def check(self, request: Request) -> Response | None:
        """None if the request may go on, otherwise the answer that ends it."""
        host = request.headers.get("Host", "")
        if not self.token and host not in self._own_names():
            return plain(http.HTTPStatus.FORBIDDEN, "This viewer answers on this machine only.")
        socket = request.headers.get("Upgrade", "").lower() == "websocket"
        if socket and not self._own_page(request.headers.get("Origin"), host):
            return plain(http.HTTPStatus.FORBIDDEN, "Only the viewer's own page may connect.")
        return self._check_token(request, socket) if self.token else None

    def _own_names(self) -> set[str]:
        return {f"{name}:{self.port}" for name in (self.host, "127.0.0.1", "localhost", "[::1]")}

    def _own_page(self, origin: str | None, host: str) -> bool:
        """The page's origin is the very host that it connects to; http, or https where a proxy adds it."""
        return bool(host) and origin in (f"http://{host}", f"https://{host}")

    def _check_token(self, request: Request, socket: bool) -> Response | None:
        if self._same(_cookie(request)):
            return None
        given = parse_qs(urlsplit(request.path).query).get("token", [""])[0]
        if socket or not self._same(given):
            return plain(http.HTTPStatus.FORBIDDEN, "Open the address with the token that the terminal shows.")
        cookie = f"{COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict"
        return plain(http.HTTPStatus.SEE_OTHER, "Welcome.", {"Location": "/", "Set-Cookie": cookie})

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())


def _cookie(request: Request) -> str:
    try:
        jar = SimpleCookie("; ".join(request.headers.get_all("Cookie")))
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""


def refusal(raw: Any) -> str:
    """Why a message of a page is not handed on; '' if it is."""
    if not isinstance(raw, bytes):
        return "not binary"
    try:
        message = msgspec.msgpack.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "not msgpack"
    kind = message.get("type") if isinstance(message, dict) else None
    if not isinstance(kind, str) or kind not in MESSAGES:
        return "not a message of this page"
    if not _plain(message, _MAX_DEPTH):
        return "holds NaN, infinity or something unexpected"
    updates = message.get("updates")
    if kind == "GuiUpdateMessage" and not (isinstance(updates, dict) and set(updates) == {"value"}):
        return "changes more than a value"
    return ""


def _plain(value: Any, depth: int) -> bool:
    """Finite numbers, texts and shallow containers of them."""
    if isinstance(value, float):
        return math.isfinite(value)
    if value is None or isinstance(value, (bool, int, str, bytes)):
        return True
    if depth and isinstance(value, (list, tuple)):
        return all(_plain(v, depth - 1) for v in value)
    if depth and isinstance(value, dict):
        return all(isinstance(k, str) and _plain(v, depth - 1) for k, v in value.items())
    return False
