"""What the rest of the face hears: speaking or not, accents, phrase ends, arousal. Tick by tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .blink import STEP
from .features import INPUTS, MELS, STACK

HEARD = [STACK * MELS + 1, INPUTS - 2, INPUTS - 1]
"""Columns of a frame's network input [86] that prosody follows: loudness of its second hop, relative to the speaker's
level ((dB) / 20 + 0.5), voicing and pitch."""


@dataclass
class Heard:
    """One tick of prosody."""

    speaking: float = 0.0
    """0 to 1, smoothed over 100 ms."""
    accent: float = 0.0
    """Strength of a stressed syllable that begins now, 0 for none."""
    starting: bool = False
    """An utterance begins."""
    ending: bool = False
    """A phrase has just ended (0.2 s of silence)."""
    arousal: float = 0.5
    """0 calm to 1 excited, against the speaker's own running norm of loudness and pitch range."""


class Prosody:
    """Follows one speaker."""

    def __init__(self) -> None:
        self._speaking = 0.0
        self._quiet = 10.0
        self._loud = self._usual = 0.3
        self._rising = False
        self._rest = 0.0
        self._pitch = self._pitch_mean = 0.0
        self._range = self._usual_range = 0.15
        self._energy = self._usual_energy = 0.3
        self._said = False

    def tick(self, frame: Sequence[float], active: float) -> Heard:
        """Prosody of the next 20 ms.

        Args:
            frame: [3] the columns `HEARD` of the network's input. active: probability of a voice in it.
        """
        loudness, voicing, pitch = frame
        loudness = max(loudness, 0.0)
        voiced = (voicing + 1) / 2
        self._speaking += (active - self._speaking) * STEP / 0.1
        out = Heard(speaking=self._speaking)
        if active > 0.5:
            out.starting = self._quiet > 0.5
            self._quiet, self._said = 0.0, True
        else:
            before, self._quiet = self._quiet, self._quiet + STEP
            out.ending = self._said and before < 0.2 <= self._quiet
            self._said = self._said and not out.ending
        out.accent = self._accent(loudness * active)
        if active > 0.5 and voiced > 0.5:
            self._follow(loudness, pitch)
        excess = (self._energy - self._usual_energy) / 0.2 + (self._range - self._usual_range) / 0.15
        out.arousal = min(max(0.5 + 0.25 * excess, 0.0), 1.0)
        return out

    def _accent(self, loudness: float) -> float:
        """Onset of a peak of loudness well over the running mean."""
        self._rest -= STEP
        self._loud += (loudness - self._loud) * STEP / 0.06
        self._usual += (loudness - self._usual) * STEP / 1.5
        excess = self._loud - 1.15 * self._usual - 0.08
        found = excess > 0 and not self._rising and self._rest <= 0
        self._rising = excess > 0
        if not found:
            return 0.0
        self._rest = 0.25
        return min(0.5 + 2 * self._usual, 1.0)

    def _follow(self, loudness: float, pitch: float) -> None:
        self._pitch_mean += (pitch - self._pitch_mean) * STEP / 3
        away = abs(pitch - self._pitch_mean)
        self._range += (away - self._range) * STEP / 1.5
        self._usual_range += (away - self._usual_range) * STEP / 30
        self._energy += (loudness - self._energy) * STEP / 1.5
        self._usual_energy += (loudness - self._usual_energy) * STEP / 30
