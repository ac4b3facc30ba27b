"""A page without a browser: speaks viser's protocol, keeps the pictures that come in and the controls by name."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import imageio.v3 as iio
import msgspec
import numpy as np
import viser
import zstandard
from scipy.spatial.transform import Rotation
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from avatars.viewer.framing import Place

from .patience import PATIENCE


def open_socket(port: int, origin: str | None, **options: Any) -> ClientConnection:
    """A bare WebSocket to the viewer; raises InvalidStatus if it is refused."""
    subprotocol: Any = [f"viser-v{viser.__version__}"]
    return connect(
        f"ws://127.0.0.1:{port}/", origin=origin, subprotocols=subprotocol, compression=None, max_size=None, **options
    )  # type: ignore[arg-type]


def _deaf(port: int) -> dict[str, Any]:
    """Options of a connection on which little fits that nobody reads."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", port))
    return {"sock": raw, "max_queue": 1}


class Page:
    """One open page.

    Args:
        port: of the viewer.
        place, size: of its camera.
        reads: whether it takes what is sent to it.
    """

    def __init__(self, port: int, place: Place, size: tuple[int, int] = (256, 256), *, reads: bool = True) -> None:
        self.socket = open_socket(port, f"http://127.0.0.1:{port}", **({} if reads else _deaf(port)))
        self.pictures = 0
        self.jpeg = b""
        self.depth: bytes | None = None
        self.times: list[float] = []
        self.values: dict[str, Any] = {}
        self.notes: list[dict[str, Any]] = []
        self._uuid: dict[str, str] = {}
        self._name: dict[str, str] = {}
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._receive, daemon=True)
        if reads:
            self._thread.start()
        self.look(place, size)

    def close(self) -> None:
        """Leave politely."""
        self.socket.close()
        if self._thread.ident is not None:
            self._thread.join(5)

    def send(self, message: dict[str, Any]) -> None:
        """Send any message."""
        self.socket.send(msgspec.msgpack.encode(message))

    def look(self, place: Place, size: tuple[int, int] = (256, 256)) -> None:
        """Put the page's camera somewhere."""
        z = place.look_at - place.position
        z = z / np.linalg.norm(z)
        x = np.cross(np.array([0.0, 1.0, 0.0]), z)
        x /= np.linalg.norm(x)
        quat = Rotation.from_matrix(np.stack([x, np.cross(z, x), z], 1)).as_quat()
        self.send(
            {
                "type": "ViewerCameraMessage", "wxyz": [float(quat[3]), *map(float, quat[:3])],
                "position": list(map(float, place.position)), "fov": float(place.fov), "near": 1.0, "far": 1000.0,
                "image_height": size[1], "image_width": size[0], "look_at": list(map(float, place.look_at)),
                "up_direction": [0.0, -1.0, 0.0],
            }
        )  # fmt: skip

    def set(self, label: str, value: Any) -> None:
        """Touch a control."""
        self.wait(lambda: label in self._uuid, f"a control '{label}'")
        self.send({"type": "GuiUpdateMessage", "uuid": self._uuid[label], "updates": {"value": value}})

    def wait(self, ready: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        """Until something holds, here or in the viewer."""
        deadline = time.monotonic() + seconds
        with self._news:
            while not ready():
                assert time.monotonic() < deadline, f"never saw {what}"
                self._news.wait(0.05)

    def picture(self) -> np.ndarray:
        """The newest picture [H, W, 3] uint8."""
        self.wait(lambda: self.jpeg, "a picture")
        return iio.imread(io.BytesIO(self.jpeg))

    def sharp(
        self, rows: int, ready: Callable[[np.ndarray], object] = lambda image: True, what: str = "stillness"
    ) -> np.ndarray:
        """The picture once it has so many rows, is as wanted, and no other has come for a while.

        Args:
            ready: whether a picture is the one that is waited for: one from before may still be on its way.
            what: that is, in words.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            count, image = self.pictures, self.picture()
            if len(image) == rows and ready(image):
                time.sleep(0.5)
                if count == self.pictures:
                    return image
            assert time.monotonic() < deadline, f"never saw {what} with {rows} rows, but {image.shape}"
            time.sleep(0.05)

    def _receive(self) -> None:
        try:
            for raw in self.socket:
                assert isinstance(raw, bytes)
                size = int.from_bytes(raw[8:16], "little")
                inner = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(raw[16 : 16 + size]))
                with self._news:
                    for message in inner["messages"]:
                        self._take(message)
                    self._news.notify_all()
        except ConnectionClosed:
            pass

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "BackgroundImageMessage":
            self.pictures += 1
            self.times.append(time.monotonic())
            self.jpeg, self.depth = message["rgb_data"], message["depth_data"]
        elif kind == "GuiUpdateMessage":
            name = self._name.get(message["uuid"])
            if name is not None:
                self.values |= {f"{name}.{k}" if k != "value" else name: v for k, v in message["updates"].items()}
        elif kind.startswith("Gui") and "props" in message and "uuid" in message:
            label = message["props"].get("label")
            if isinstance(label, str):
                self._uuid[label], self._name[message["uuid"]] = message["uuid"], label
                self.values[label] = message.get("value")
        else:
            self.notes.append(message)
