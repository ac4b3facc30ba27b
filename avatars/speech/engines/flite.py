"""flite: speech with phone end times from `-psdur`."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from avatars.errors import BackendError, InputError

from ..phonemes import SILENCE, from_arpabet
from .missing import NotInstalled
from .utterance import Segment, Utterance, spread, to_rate

VOICES = {"slt": 170.0, "rms": 105.0, "awb": 125.0, "kal16": 100.0, "kal": 100.0}
"""Voices and their usual pitch in Hz. Those that begin with 'kal' are diphone voices."""

_PAIR = re.compile(r"([a-z#]+):([\d.]+)")


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """([samples] float32, Hz) of a 16-bit mono file as the engines write it."""
    with wave.open(str(path)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return data.astype(np.float32) / 32768.0, file.getframerate()


def require() -> str:
    """Path of flite, or NotInstalled."""
    program = shutil.which("flite")
    if program is None:
        raise NotInstalled("The speech engine flite is not installed", where="flite", packages=("flite",))
    return program


def synthesize(text: str, voice: str = "slt", stretch: float = 1.0, pitch: float | None = None) -> Utterance | None:
    """Speak `text`; None where the reported times do not fit the sound.

    Args:
        stretch: duration factor, 1 = usual.
        pitch: mean fundamental in Hz, None for the voice's own.

    Raises:
        BackendError: flite is not installed.
        InputError: flite has no such voice.
    """
    if voice not in VOICES:
        raise InputError(f"flite has no voice '{voice}'", fix=f"Choose one of: {', '.join(VOICES)}")
    program = require()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "a.wav")
        command = [program, "-voice", voice, "--setf", f"duration_stretch={stretch:.3f}"]
        if pitch is not None:
            command += ["--setf", f"int_f0_target_mean={pitch:.1f}"]
        command += ["-psdur", "-t", text, "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not out.exists():
            raise BackendError("flite failed", where="flite", fix=done.stderr.strip()[-200:])
        sound, rate = read_wave(out)
    pcm = to_rate(sound, rate)
    return retime(text, voice, pcm, [(p, float(t)) for p, t in _PAIR.findall(done.stdout)])


def retime(text: str, voice: str, pcm: np.ndarray, ends: list[tuple[str, float]]) -> Utterance | None:
    """Utterance from phone end times, None where they do not fit the sound.

    The clock restarts with each sentence. The diphone voices (kal) keep time, but their sound ends before the last
    pause of a sentence does: what lies beyond the sound is cut, and utterances of several sentences are refused, since
    nothing tells where the second begins. (Scaling the times to the sound's length, as the ratio of 0.96 suggests,
    would put late closures 80 ms early.) Other voices must agree with the sound within 3 %.
    """
    duration = len(pcm) / 16000
    diphone = voice.startswith("kal")
    times: list[tuple[str, float]] = []
    offset = now = 0.0
    for phone, end in ends:
        if end + offset < now - 1e-6:
            if diphone:
                return None
            offset = now
        now = end + offset
        times.append((phone, now))
    if not times or now <= 0:
        return None
    if diphone and (times[-1][0] != "pau" or (len(times) > 1 and times[-2][1] > duration)):
        return None
    if not diphone and abs(duration / now - 1) > 0.03:
        return None
    segments: list[Segment] = []
    start = 0.0
    for phone, end in times:
        segments += spread(start, min(end, duration), from_arpabet(phone) or [SILENCE], phone)
        start = min(end, duration)
    if start < duration:
        segments.append(Segment(start, duration, SILENCE, ""))
    return Utterance(pcm, segments, "flite", voice, "en", text)
