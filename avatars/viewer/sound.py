"""The conversation with the sound page: PCM comes in, typed text goes out as speech, the page reports its clock."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from ..errors import AvatarError, InputError
from .sources.speech import MAX_SECONDS, Speech

log = logging.getLogger("avatars.viewer")
_MAX_TEXT, _MAX_NOTE = 2000, 16384
_RATES = (8000, 192000)


class SoundTalk:
    """Serves every sound page; the one that began last has the voice.

    Args:
        sounds: files on this machine that pages may fetch, by number.
    """

    def __init__(self, sounds: tuple[Path, ...] = ()) -> None:
        self.sounds = sounds
        self.speech: Speech | None = None
        """Who is spoken to; set by whoever chooses the sources."""
        self._owner: ServerConnection | None = None
        self._rate, self._heard = 0, 0.0

    async def __call__(self, connection: ServerConnection) -> None:
        """Talk with one page until it leaves."""
        names = [path.name for path in self.sounds]
        try:
            await _send(connection, {"is": "hello", "sounds": names, "voice": shutil.which("espeak-ng") is not None})
            async for message in connection:
                try:
                    await self._hear(connection, message)
                except AvatarError as error:
                    await _send(connection, {"is": "problem", "text": str(error)})
        except ConnectionClosed:
            pass
        finally:
            if self._owner is connection:
                self._owner = None
                if self.speech is not None:
                    self.speech.stop()

    async def _hear(self, connection: ServerConnection, message: str | bytes) -> None:
        speech = self.speech
        if speech is None:
            raise InputError("Choose 'Speech' as the motion's source first")
        if isinstance(message, bytes):
            if connection is self._owner:
                await self._take(connection, speech, message)
            return
        note = _note(message)
        do = note.get("do")
        if do in ("microphone", "sound"):
            await self._begin(connection, speech, note)
        elif do == "say":
            await connection.send(await asyncio.to_thread(_speak, str(note.get("text", ""))))
        elif connection is self._owner and do == "end":
            ready = await asyncio.to_thread(speech.end, time.monotonic())
            await _send(connection, {"is": "ready", "until": ready, "end": True})
        elif connection is self._owner and do == "clock":
            frame = _number(note, "frame", 0, 1000) / 1000 if "frame" in note else 0.0
            speech.played(_number(note, "time", 0, MAX_SECONDS), bool(note.get("playing")), time.monotonic(), frame)
        elif connection is self._owner and do == "stop":
            speech.stop()

    async def _begin(self, connection: ServerConnection, speech: Speech, note: dict[str, Any]) -> None:
        self._rate = int(_number(note, "rate", *_RATES))
        if self._owner not in (None, connection):
            await _send(self._owner, {"is": "stop"})  # type: ignore[arg-type]
        self._owner, self._heard = connection, 0.0
        if note["do"] == "microphone":
            speech.begin_live()
        else:
            speech.begin_sound()

    async def _take(self, connection: ServerConnection, speech: Speech, message: bytes) -> None:
        """One piece of sound: 16-bit little-endian mono."""
        if len(message) % 2:
            raise InputError("Half a sample of sound came in")
        pcm = np.frombuffer(message, "<i2").astype(np.float32) / 32768
        self._heard += len(pcm) / self._rate
        if speech.live:
            speech.hear(pcm, self._rate, time.monotonic())
            return
        if self._heard > MAX_SECONDS:
            raise InputError(f"The sound is longer than {MAX_SECONDS / 60:.0f} minutes")
        ready = await asyncio.to_thread(speech.hear, pcm, self._rate, time.monotonic())
        await _send(connection, {"is": "ready", "until": ready, "end": False})


async def _send(connection: ServerConnection, note: dict[str, Any]) -> None:
    try:
        await connection.send(json.dumps(note))
    except ConnectionClosed:
        log.debug("A sound page left")


def _note(message: str) -> dict[str, Any]:
    try:
        note = json.loads(message) if len(message) <= _MAX_NOTE else None
    except (ValueError, RecursionError):
        note = None
    if not isinstance(note, dict):
        raise InputError("The sound page sent something that is no message")
    return note


def _number(note: dict[str, Any], name: str, low: float, high: float) -> float:
    value = note.get(name)
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or not low <= value <= high
    ):
        raise InputError(f"The sound page sent an impossible {name}")
    return float(value)


def _speak(text: str) -> bytes:
    """Text as a WAV file, by espeak-ng."""
    program = shutil.which("espeak-ng")
    if program is None:
        raise InputError("There is no voice on this machine", fix="Install espeak-ng")
    if not text.strip() or len(text) > _MAX_TEXT:
        raise InputError(f"Type between 1 and {_MAX_TEXT} characters")
    try:
        done = subprocess.run(
            [program, "--stdin", "--stdout", "-s", "160"],
            input=text.encode(),
            capture_output=True,
            timeout=30,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise InputError("The voice could not speak this text") from error
    return done.stdout
