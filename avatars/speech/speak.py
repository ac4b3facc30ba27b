"""Text to sound through the engines that are installed: for `--text`, and to try a voice."""

from __future__ import annotations

import numpy as np

from avatars.errors import InputError

from .engines import espeak, flite


def voices() -> list[str]:
    """Names that `speak` takes; espeak-ng's may carry a variant, as in `en+f2`."""
    return [*flite.VOICES, *espeak.VOICES]


def speak(text: str, voice: str = "en") -> np.ndarray:
    """[samples] float32 in [-1, 1] at 16 kHz of a text.

    Args:
        voice: a voice of flite (`slt`), or a language of espeak-ng with an optional variant (`en`, `de+f2`). Chinese
            is read from numbered pinyin, Japanese from kana.

    Raises:
        InputError: an unknown voice, or nothing to say.
        BackendError: the engine is not installed; it names the Debian package.
    """
    if not text.strip():
        raise InputError("There is no text to speak", where="--text")
    name, _, variant = voice.partition("+")
    if name in flite.VOICES:
        made = flite.synthesize(text, name)
    elif name in espeak.VOICES:
        made = espeak.synthesize(text, name, espeak.VOICES[name][0], variant)
    else:
        raise InputError(f"Unknown voice '{voice}'", where="--voice", fix=f"Choose from: {', '.join(voices())}")
    if made is None:
        raise InputError(f"The voice '{voice}' cannot speak this text", where="--text", fix="Try another voice")
    return made.pcm
