"""espeak-ng through its library: speech with phoneme events (the command line's `--pho` serves mbrola voices only)."""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import lru_cache
from itertools import pairwise

import numpy as np

from avatars.errors import BackendError, InputError

from ..phonemes import SILENCE, VOICELESS_STOPS, from_ipa
from .missing import NotInstalled
from .utterance import Segment, Utterance, spread, to_rate

VOICES = {
    "en": ("gmw/en-US", "gmw/en-US", "gmw/en", "gmw/en-GB-scotland", "gmw/en-GB-x-rp"),
    "de": ("gmw/de",),
    "es": ("roa/es", "roa/es-419"),
    "it": ("roa/it",),
    "fr": ("roa/fr",),
    "pt": ("roa/pt", "roa/pt-BR"),
    "zh": ("sit/cmn-Latn-pinyin",),
    "ja": ("jpx/ja",),
}
"""Voice files by language; names such as `en-gb` are refused by the library."""

VARIANTS = (
    "", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "klatt", "klatt2", "klatt3",
    "klatt4", "whisper", "whisperf", "croak", "grandpa", "grandma", "Andy", "linda", "steph", "ed", "michael",
    "antonio", "rob", "adam", "Alicia", "belinda", "boris", "Denis", "edward", "gustave", "Lee", "marco", "max",
    "zac", "anika",
)  # fmt: skip
TEST_VARIANTS = ("Mario", "pablo", "steph2", "john")
"""Kept out of training."""

_PHONEME_EVENTS, _IPA_NAMES = 0x1, 0x2
_EVENT_WORD, _EVENT_END, _EVENT_PHONEME = 1, 5, 7
_RATE, _PITCH, _RANGE = 1, 3, 4


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _Id),
    ]  # fmt: skip


def require() -> ctypes.CDLL:
    """The library, not started; NotInstalled names its Debian package."""
    name = ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        what = "The speech engine espeak-ng is not installed"
        raise NotInstalled(what, where="espeak-ng", packages=("espeak-ng",)) from error


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Library:
    """The loaded library; it keeps global state, so there is one per process."""

    def __init__(self) -> None:
        self.lib = require()
        self.chunks: list[np.ndarray] = []
        self.events: list[tuple[int, str]] = []
        self.words: list[int] = []
        self.callback = _Callback(self._receive)
        self.rate = int(self.lib.espeak_Initialize(1, 0, None, _PHONEME_EVENTS | _IPA_NAMES))
        if self.rate <= 0:
            fix = "Reinstall it: apt-get install --reinstall espeak-ng espeak-ng-data"
            raise BackendError("espeak-ng did not start", where="espeak-ng", fix=fix)
        self.lib.espeak_SetSynthCallback(self.callback)

    def _receive(self, wav, count: int, events) -> int:
        if count > 0:
            self.chunks.append(np.ctypeslib.as_array(wav, (count,)).copy())
        i = 0
        while events[i].type != 0:
            event = events[i]
            if event.type == _EVENT_PHONEME:
                name = bytes(event.id.string).split(b"\0")[0].decode("utf8", "replace")
                self.events.append((event.sample, name))
            elif event.type == _EVENT_WORD:
                self.words.append(event.sample)
            elif event.type == _EVENT_END:
                self.events.append((event.sample, ""))
            i += 1
        return 0


@lru_cache(1)
def _library() -> _Library:
    return _Library()


def synthesize(
    text: str, language: str, voice: str, variant: str = "", rate: int = 175, pitch: int = 50, pitch_range: int = 50
) -> Utterance | None:
    """Speak `text`; None where espeak-ng switched language on the way or said next to nothing.

    Args:
        language: label stored with the utterance.
        voice: file id such as 'gmw/en-US'.
        variant: voice variant such as 'f2', '' for none.
        rate: words per minute, 80 to 450.
        pitch, pitch_range: 0 to 100.

    Raises:
        BackendError: espeak-ng is not installed.
        InputError: it has no such voice.
    """
    library = _library()
    name = voice + ("+" + variant if variant else "")
    # The library takes an unknown variant for none, without a word.
    known = not variant or variant in VARIANTS + TEST_VARIANTS
    if not known or library.lib.espeak_SetVoiceByName(name.encode()) != 0:
        raise InputError(f"espeak-ng has no voice '{name}'", fix="List them with: espeak-ng --voices")
    for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
        library.lib.espeak_SetParameter(parameter, int(value), 0)
    library.chunks.clear()
    library.events.clear()
    library.words.clear()
    data = text.encode()
    library.lib.espeak_Synth(data, len(data) + 1, 0, 0, 0, 1, None, None)
    library.lib.espeak_Synchronize()
    if not library.chunks or any("(" in phone for _, phone in library.events):
        return None
    pcm = to_rate(np.concatenate(library.chunks) / 32768.0, library.rate)
    if len(pcm) < 1600:
        return None
    segments = fix_stops(_segments(library.events, library.rate, len(pcm) / 16000), pcm)
    return Utterance(pcm, segments, "espeak", name, language, text)


def word_starts() -> list[float]:
    """s at which the words of the last utterance begin."""
    library = _library()
    return [sample / library.rate for sample in library.words]


def _segments(events: list[tuple[int, str]], rate: int, duration: float) -> list[Segment]:
    marks = [(sample / rate, phone) for sample, phone in events] + [(duration, "")]
    segments: list[Segment] = []
    if marks[0][0] > 0:
        segments.append(Segment(0.0, marks[0][0], SILENCE, ""))
    for (start, phone), (end, _) in pairwise(marks):
        visemes = from_ipa(phone) if phone.strip() else [SILENCE]
        if visemes is None:  # a mark that belongs to the sound before it, such as palatalisation
            visemes = [segments[-1].viseme] if segments else [SILENCE]
        segments += spread(start, end, visemes, phone)
    return segments


def fix_stops(segments: list[Segment], pcm: np.ndarray) -> list[Segment]:
    """Pull the start of voiceless stops back over the silent gap before their burst.

    espeak-ng reports a stop at its burst; the closure (about 50 ms) is booked to the previous vowel. The start moves
    back through 5 ms frames more than 12 dB below the vowel before it, by at most 90 ms and never past its middle.
    """
    hop = 80
    count = len(pcm) // hop
    energy = 10 * np.log10(np.square(pcm[: count * hop].reshape(count, hop)).mean(1) + 1e-9)
    out = list(segments)
    for i in range(1, len(out)):
        current, before = out[i], out[i - 1]
        if current.phone not in VOICELESS_STOPS or before.viseme == SILENCE:
            continue
        first, last = int(before.start * 200), min(int(current.start * 200), count)
        if last - first < 4:
            continue
        threshold = energy[first:last].max() - 12
        earliest = max(current.start - 0.09, (before.start + before.end) / 2)
        frame = last
        while frame - 1 >= earliest * 200 and energy[frame - 1] < threshold:
            frame -= 1
        start = frame / 200
        if start < current.start:
            out[i - 1] = before._replace(end=start)
            out[i] = current._replace(start=start)
    return out
