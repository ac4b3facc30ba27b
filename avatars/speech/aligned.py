"""A tracked clip beside its sound on the network's clock, and the offset between the two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatars.data import Motion
from avatars.errors import InputError

from . import metrics
from .articulation import FUNNEL, GAP, PUCKER, STRETCH, from_arkit
from .condition import condition
from .engines.utterance import RATE
from .loudness import raised
from .phonemes import INDEX
from .runtime import Runtime
from .score import run

HZ = 50
SHORTEST = 2.0
"""s of sound and track in common that are needed."""
MOST_OFFSET = 0.3
_AROUND = 1.5
"""s of lags that an offset is compared with."""
_PEAK = 0.24
"""s around the best lag that belong to its peak."""
_ALIKE = 0.6
_TRUSTED = 3.0
"""Standard deviations by which lips and sound must agree better at an offset than at lags far from it, or it is not
believed, unless they agree as well as `_ALIKE` anyway; the sound of other people, or of other seconds, reached 2.4
and a correlation of 0.2."""
_SHUT_SHARE = 0.3
_LIPS_MEET = [INDEX[name] for name in ("PP", "FF")]


@dataclass
class Aligned:
    """T frames at 50 Hz, centred at (k + 1/2) / 50 s of the sound."""

    pcm: np.ndarray
    """[T * 320] float32, 16 kHz."""
    curves: np.ndarray
    """[T, 11] tracked articulators."""
    known: np.ndarray
    """[T] bool: the track covers this frame."""
    offset: float
    """s by which the picture came late; it was taken off."""
    offset_correlation: float
    """Correlation of lips and sound at the best offset."""
    offset_sureness: float
    """Standard deviations by which it exceeds what other lags give; below 3 the offset is taken to be 0, unless the
    correlation exceeds 0.6."""

    @property
    def together(self) -> bool:
        """Whether lips and sound agree better than by chance; lips under music, or another's voice, do not."""
        return _together(self.offset_correlation, self.offset_sureness)

    def __len__(self) -> int:
        return len(self.curves)


def resampled(motion: Motion, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([n, 52] coefficients at `times` [n], [n] whether a tracked frame lies within 60 ms)."""
    index = np.clip(np.searchsorted(motion.times, times), 1, len(motion.times) - 1)
    before, after = motion.times[index - 1], motion.times[index]
    share = np.clip((times - before) / np.maximum(after - before, 1e-9), 0, 1)[:, None]
    arkit = (1 - share) * motion.arkit[index - 1] + share * motion.arkit[index]
    near = np.minimum(np.abs(times - before), np.abs(after - times)) <= 0.06
    return arkit.astype(np.float32), near


def estimate_offset(runtime: Runtime, pcm: np.ndarray, motion: Motion) -> tuple[float, float, float]:
    """(s by which the track's lips come after the sound's, correlation there, sureness), searched within +-300 ms.

    What the network hears is compared with what was tracked: where the lips meet, for p, b, m, f and v, and spread
    against rounded lips. How far the lips part misleads, since breaths part the lips in pauses, and so does loudness,
    since the jaw leads the voice.
    """
    frames = len(pcm) * HZ // RATE
    runtime.set_condition(condition())  # the usual look-ahead, which `run` takes off
    visemes, heard = run(runtime, raised(pcm))
    arkit, known = resampled(motion, (np.arange(frames) + 0.5) / HZ)
    span = slice(*_span(known))
    tracked = from_arkit(arkit)[span]
    share = np.exp(visemes - visemes.max(1, keepdims=True))
    meet = (share[:, _LIPS_MEET].sum(1) / share.sum(1))[span]
    seen = np.stack([_shut(tracked[:, GAP]), _spread(tracked)], 1)
    made = np.stack([meet, _spread(heard[span])], 1)
    alike, lags = metrics.correlations(seen, made, HZ, _AROUND)
    score, lag = metrics.peak(np.where(np.abs(lags) <= MOST_OFFSET + 1e-9, alike, -1.0), lags)
    far = alike[np.abs(lags - lag) > _PEAK]
    spread = float(far.std()) if len(far) else 0.0
    return lag, score, (score - float(far.mean())) / spread if spread > 1e-6 else 0.0


def _together(correlation: float, sureness: float) -> bool:
    return sureness >= _TRUSTED or correlation >= _ALIKE


def _shut(gap: np.ndarray) -> np.ndarray:
    """[T] in [0, 1]: how nearly the lips meet."""
    return np.clip(1 - gap / max(_SHUT_SHARE * float(np.percentile(gap, 95)), 1e-6), 0, 1)


def _spread(curves: np.ndarray) -> np.ndarray:
    """[T] spread against rounded lips of articulators [T, 11]."""
    return curves[:, STRETCH] - curves[:, PUCKER] - curves[:, FUNNEL]


def _span(known: np.ndarray) -> tuple[int, int]:
    index = np.flatnonzero(known)
    if len(index) < SHORTEST * HZ:
        fix = f"Give a clip with at least {SHORTEST:.0f} s of speech and tracked frames"
        raise InputError(f"Only {len(index) / HZ:.1f} s of sound and track overlap", fix=fix)
    return int(index[0]), int(index[-1]) + 1


def align(runtime: Runtime, pcm: np.ndarray, motion: Motion) -> Aligned:
    """Put a track on the sound's clock, offset taken off.

    Args:
        pcm: [samples] float32 mono 16 kHz, sample 0 at the track's time 0.

    Raises:
        InputError: too little in common.
        FileFormatError: the motion is not valid.
    """
    motion.validate()
    if len(motion.times) < 2:
        raise InputError("The track has fewer than two frames")
    frames = len(pcm) * HZ // RATE
    times = (np.arange(frames) + 0.5) / HZ
    _span(resampled(motion, times)[1])
    offset, score, sureness = estimate_offset(runtime, pcm, motion)
    used = offset if _together(score, sureness) else 0.0
    arkit, known = resampled(motion, times + used)
    _span(known)
    return Aligned(pcm[: frames * RATE // HZ], from_arkit(arkit), known, used, score, sureness)
