"""The web server: viser's, opened on a socket of our own and wrapped in the guard.

viser 1.1 binds another port when the wanted one is taken, accepts a WebSocket from any page, takes uploads, and lets
any visitor open a public tunnel. It has no arguments for these, so `websockets.asyncio.server.serve`, which it looks
up when it starts, is replaced for that moment by one that takes our socket and our checks. `tests/viewer` fails if a
newer viser no longer passes here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import viser
import websockets.asyncio.server
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from ..errors import InputError
from .keys import with_keys
from .security import Guard, download, harden, missing, page, refusal

log = logging.getLogger("avatars.viewer")
_MAX_MESSAGE = 1 << 20
"""Largest message of a page, bytes."""
_SEND_BUFFER = 64 << 10
"""Kernel buffer of each connection, bytes: a slow visitor gets fewer pictures, not older ones."""
_patching = threading.Lock()

Talk = Callable[[ServerConnection], Awaitable[None]]
Later = Callable[..., None]
"""`Server.later`."""


class Server:
    """A running web server.

    Args:
        host, port: where to listen; port 0 takes a free one.
        label: title of the panel.
        pages: our own pages by path, beside viser's.
        talks: our own WebSockets by path.
        downloads: files of this machine by path.

    Raises:
        InputError: the address cannot be listened on, most often because the port is taken.
    """

    def __init__(
        self,
        host: str,
        port: int,
        label: str,
        pages: dict[str, str] | None = None,
        talks: dict[str, Talk] | None = None,
        downloads: dict[str, Path] | None = None,
    ) -> None:
        listening = _listen(host, port)
        self.guard = Guard(host, listening.getsockname()[1])
        self._pages, self._talks, self._downloads = pages or {}, talks or {}, downloads or {}
        opened = threading.Event()

        def serve(handler: Talk, host: Any, port: Any, *, process_request: Any, **options: Any) -> Any:
            opened.set()
            options["max_size"] = _MAX_MESSAGE
            return _serve(
                self._dispatch(handler), sock=listening, process_request=self._answer(process_request), **options
            )

        with _patching, contextlib.redirect_stdout(io.StringIO()):
            _serve = websockets.asyncio.server.serve
            websockets.asyncio.server.serve = serve  # type: ignore[assignment]
            try:
                self.viser = viser.ViserServer(host=host, port=self.guard.port, label=label, verbose=False)
            finally:
                websockets.asyncio.server.serve = _serve
        if not opened.is_set():
            self.viser.stop()
            raise InputError("This version of viser cannot be guarded", fix="Install viser >= 1.1.1, < 1.2")
        # The handler of a visitor's request for a public tunnel looks the method up when the message comes.
        self.viser.request_share_url = lambda *_, **__: None  # type: ignore[method-assign]

    @property
    def port(self) -> int:
        """The port that is really listened on."""
        return self.guard.port

    def later(self, call: Callable[..., object], *arguments: object) -> None:
        """Run something on the server's own loop, soon; from any thread.

        Everything that goes to a page goes this way: viser wakes its senders from whatever thread calls it, which
        fails now and then while one of them is about to sleep.
        """
        with contextlib.suppress(RuntimeError):  # the loop is closed: there is nobody to tell any more
            self.viser.get_event_loop().call_soon_threadsafe(call, *arguments)

    def stop(self) -> None:
        """Close every connection and free the port."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.viser.stop()

    def _answer(self, inner: Callable[[ServerConnection, Request], Response | None]) -> Any:
        def process(connection: ServerConnection, request: Request) -> Response | None:
            refused = self.guard.check(request)
            if refused is not None:
                return refused
            path = urlsplit(request.path).path
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return inner(connection, request) if path == "/" or path in self._talks else missing()
            if path in self._pages:
                return page(self._pages[path])
            if path in self._downloads:
                return download(self._downloads[path])
            answer = inner(connection, request)
            return None if answer is None else harden(with_keys(answer))

        return process

    def _dispatch(self, handler: Talk) -> Talk:
        async def talk(connection: ServerConnection) -> None:
            path = urlsplit(connection.request.path).path if connection.request else "/"
            if path in self._talks:
                await self._talks[path](connection)
            else:
                await handler(_Checked(connection))  # type: ignore[arg-type]

        return talk


class _Checked:
    """A connection that hands on only what a page of ours may say."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._told = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def recv(self) -> bytes:
        """The next acceptable message."""
        while True:
            raw = await self._connection.recv()
            why = refusal(raw)
            if not why:
                return raw  # type: ignore[return-value]
            if not self._told:  # once per visitor: a hostile one must not fill the terminal
                log.warning("Ignored a message of a visitor: %s", why)
                self._told = True


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise InputError(f"There is no port {port}", where="--port", fix="Choose one between 1024 and 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(f"'{host}:{port}' is not an address", where="--host", fix="Use 127.0.0.1") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        listening.bind(address)
        listening.listen(64)
    except OSError as error:
        listening.close()
        raise InputError(
            f"Cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}", where="--port",
            fix="Close the program that uses it, or choose another with --port (0 takes a free one)",
        ) from error  # fmt: skip
    return listening
