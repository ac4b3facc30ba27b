"""Live Link Face over the network: the packets that the iPhone app sends, about sixty a second.

A packet is: version (1 byte, 6), device id and subject name (each a length in 4 bytes and the text), frame number
(4 bytes), part of a frame (float), rate (two 4-byte numbers), the count 61 (1 byte) and 61 floats: the 52 ARKit
coefficients and yaw, pitch and roll of head, left and right eye; all big-endian. The layout was read off packets, the
publisher does not describe it.
"""

from __future__ import annotations

import logging
import math
import socket
import struct
import threading
import time
from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from ...data import Motion
from ...errors import InputError
from ..person import Person
from ..security import is_loopback
from .live import Live

PORT = 11111
"""The app's own default."""
_VALUES, _LARGEST, _MAX_TEXT = 61, 1.5, 256
_PIVOT = np.array([0.0, -0.1, -0.02])
"""[3] m from between the ears to about where a head turns on its neck; the app sends no translation."""
log = logging.getLogger("avatars.viewer")


def parse(packet: bytes) -> np.ndarray | None:
    """[61] values of a packet; None while the phone sees no face.

    Raises:
        InputError: not such a packet.
    """
    try:
        (version,) = struct.unpack_from(">B", packet, 0)
        place = 1
        for _ in range(2):
            (length,) = struct.unpack_from(">i", packet, place)
            if not 0 <= length <= _MAX_TEXT:
                raise InputError("Not a Live Link Face packet: a text of impossible length")
            place += 4 + length
        place += 16
        if place == len(packet):
            return None
        (count,) = struct.unpack_from(">B", packet, place)
        if version != 6 or count != _VALUES:
            raise InputError(f"Not a Live Link Face packet: version {version} with {count} values")
        values = np.array(struct.unpack_from(f">{_VALUES}f", packet, place + 1), float)
    except struct.error as error:
        raise InputError("Not a Live Link Face packet: it is too short") from error
    if not np.isfinite(values).all() or np.abs(values[:52]).max() > _LARGEST or np.abs(values[52:]).max() > 2 * math.pi:
        raise InputError("A Live Link Face packet holds impossible values")
    return values


def motion(values: np.ndarray, time: float) -> Motion:
    """One frame from the 61 values of a packet; signs as in `avatars.motion.livelink`."""
    turn = Rotation.from_euler("YXZ", values[52:55] * np.array([1.0, 1.0, -1.0]))
    shift = _PIVOT - turn.apply(_PIVOT)
    return Motion(np.array([time]), np.clip(values[None, :52], 0, 1), turn.as_rotvec()[None], shift[None])


class LiveLink(Live):
    """Listens for a phone.

    Args:
        person: who is driven.
        host, port: UDP address to listen on.
        tell: called with a line about what happens, when it changes.

    Raises:
        InputError: the port is taken.
    """

    def __init__(self, person: Person, host: str, port: int, tell: Callable[[str], None]) -> None:
        super().__init__(person, tell)
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((host, port))
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise InputError(
                f"Cannot listen for Live Link Face on {host}:{port}: {error}",
                where="--livelink-port",
                fix="Choose another port",
            ) from error
        self._socket.settimeout(0.5)
        self.port: int = self._socket.getsockname()[1]
        self._open = True
        near = "; a phone reaches it with `--host 0.0.0.0`" if is_loopback(host) else ""
        self.say(f"Waiting for Live Link Face on UDP port {self.port}{near}")
        self._thread = threading.Thread(target=self._listen, name="live-link", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while self._open:
            try:
                packet = self._socket.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                return
            try:
                values = parse(packet)
            except InputError as error:
                self.say(error.what)
                continue
            if values is None:
                self.say("The phone sees no face")
                continue
            now = time.monotonic()
            self.take(motion(values, now), now)
            self.say("Receiving")

    def close(self) -> None:
        """Stop listening."""
        self._open = False
        self._socket.close()
        self._thread.join(2)
