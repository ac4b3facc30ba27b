"""Recorded speech with its text: what people say differs from what engines say. Times come from forced alignment.

Debian carries telephone prompts of professional speakers, 16 kHz, about twenty minutes each, with transcripts
(asterisk-core-sounds: CC BY-SA 3.0 by Allison Smith, June Wallack and Carlo Flora, CC BY 3.0 by Maxim Topal; see each
package's copyright file). The corpus holds them as they were recorded, at other speeds; nothing of them is shipped.
"""

from __future__ import annotations

import gzip
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .missing import NotInstalled
from .timing import align
from .utterance import RATE, Segment, Utterance, to_rate

SHARE = Path("/usr/share")


@dataclass(frozen=True)
class Speaker:
    """One recorded speaker, and who in espeak-ng says the same for alignment."""

    code: str
    """Of the Debian packages asterisk-core-sounds-CODE (texts) and asterisk-core-sounds-CODE-g722 (sound)."""
    folder: str
    language: str
    voice: str
    variant: str


SPEAKERS = {
    "Allison": Speaker("en", "en_US_f_Allison", "en", "gmw/en-US", "f2"),
    "Allison-es": Speaker("es", "es_MX_f_Allison", "es", "roa/es-419", "f2"),
    "June": Speaker("fr", "fr_CA_f_June", "fr", "roa/fr", "f2"),
    "Carlo": Speaker("it", "it_IT_m_Carlo", "it", "roa/it", ""),
    "Maxim": Speaker("ru", "ru_RU_f_IvrvoiceRU", "any", "zle/ru", "f2"),
}
_UNSPOKEN = re.compile(r"[\[\]()<>#*/_{}=]|\?\S|\? [a-z]")
"""Beeps, names of keys and lost letters in transcripts."""
_SPEEDS = (0.84, 0.88, 0.92, 0.96, 1.0, 1.0, 1.05, 1.1, 1.15, 1.2)
LEAST = 3.0
"""s of recordings in a row."""


def require(name: str) -> tuple[Path, Path]:
    """(transcript, folder of sounds) of a speaker; NotInstalled names the Debian packages if they are missing."""
    speaker = SPEAKERS[name]
    package = f"asterisk-core-sounds-{speaker.code}"
    text = SHARE / "doc" / package / f"core-sounds-{speaker.code}.txt.gz"
    sounds = SHARE / "asterisk" / "sounds" / speaker.folder
    if not text.exists() or not any(sounds.glob("*.g722")):
        what = f"The recordings of {package} or their texts are not installed"
        raise NotInstalled(what, where=name, packages=(package, f"{package}-g722"))
    return text, sounds


def read(path: Path) -> np.ndarray:
    """[samples] float32 at 16 kHz of a sound file, G.722 among them."""
    import av

    with av.open(str(path), format="g722" if path.suffix == ".g722" else None) as container:
        stream = container.streams.audio[0]
        parts = [frame.to_ndarray().reshape(-1) for frame in container.decode(stream)]
        rate = stream.rate or RATE
    pcm = np.concatenate(parts) if parts else np.zeros(0, np.int16)
    return to_rate(pcm.astype(np.float32) / 32768.0, rate)


def prompts(name: str) -> list[tuple[Path, str]]:
    """(sound file, text) of a speaker's prompts that are spoken, in order of name."""
    text, sounds = require(name)
    out = []
    for line in gzip.decompress(text.read_bytes()).decode("utf-8-sig", "replace").splitlines():
        key, colon, words = line.partition(":")
        words = words.strip()
        path = sounds / (key.strip() + ".g722")
        if colon and words and not _UNSPOKEN.search(words) and "\ufffd" not in words and path.exists():
            out.append((path, words))
    return sorted(out)


@dataclass
class Prompt:
    """One aligned recording."""

    path: Path
    text: str
    language: str
    segments: list[Segment]

    def to_json(self) -> dict:
        """Plain values; times to 10 us."""
        rows = [[round(a, 5), round(b, 5), v, p] for a, b, v, p in self.segments]
        return {"path": str(self.path), "text": self.text, "language": self.language, "segments": rows}

    @staticmethod
    def from_json(facts: dict) -> Prompt:
        """Inverse of `to_json`."""
        segments = [Segment(*row) for row in facts["segments"]]
        return Prompt(Path(facts["path"]), facts["text"], facts["language"], segments)


def align_prompts(name: str) -> list[Prompt]:
    """A speaker's prompts whose text and sound agree.

    Raises:
        BackendError: the recordings or espeak-ng are not installed; it names the Debian packages.
    """
    speaker, found = SPEAKERS[name], prompts(name)
    sounds = [(read(path), text) for path, text in found]
    times = align(sounds, speaker.language, speaker.voice, speaker.variant)
    pairs = zip(found, times, strict=True)
    return [Prompt(p, t, speaker.language, segments) for (p, t), segments in pairs if segments is not None]


def speak(rng: random.Random, name: str, known: list[Prompt]) -> Utterance:
    """Some of a speaker's prompts in a row, 3 s or more, at another speed, which makes another speaker of them."""
    pieces: list[np.ndarray] = []
    segments: list[Segment] = []
    texts = []
    at = 0.0
    while at < LEAST:
        prompt = rng.choice(known)
        pcm = read(prompt.path)
        segments += [Segment(at + a, at + b, v, p) for a, b, v, p in prompt.segments]
        pieces.append(pcm)
        texts.append(prompt.text)
        at += len(pcm) / RATE
    speed = rng.choice(_SPEEDS)
    pcm = to_rate(np.concatenate(pieces), round(RATE * speed))
    segments = [Segment(a / speed, b / speed, v, p) for a, b, v, p in segments]
    return Utterance(pcm, segments, "recorded", name, known[0].language, " ".join(texts))
