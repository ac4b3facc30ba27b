"""Reading sound: mono float32 at 16 kHz, on the clock of the picture.

Rule for several channels: their mean; where they cancel each other (the mean has less than a tenth of the loudest
channel's energy, as with a microphone wired in anti-phase) the loudest channel alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .media import AUDIO_CONTAINERS, media_file, open_media
from .probe import MAX_SECONDS, decode, moving_pictures, probe

SAMPLE_RATE = 16_000
"""Hz."""
_CANCELLED = 0.1
_GAP = 0.04
"""s; sound that resumes later than this after what came before is preceded by silence."""
_CHANNELS = 8


def read_audio(path: Path | str, rate: int = SAMPLE_RATE) -> np.ndarray | None:
    """Sound of a video or sound file: [samples] float32 in [-1, 1], mono, at `rate` Hz; None where a video has none.

    Sample 0 belongs to the first picture of a video: sound that begins later is preceded by silence, sound before it
    is dropped. In a sound file it is the first sample.

    Raises:
        InputError: not a media file, no sound in a sound file, an empty track, NaN or infinity, or over 30 minutes.
    """
    path = media_file(path)
    with open_media(path, AUDIO_CONTAINERS) as container:
        if not container.streams.audio:
            if container.streams.video:
                return None
            raise InputError("There is no sound in the file", where=path)
        start = probe(path).start if moving_pictures(container) else None
        runs = list(_runs(container, container.streams.audio[0], path, rate))
    peak = max([float(np.abs(run).max(initial=0.0)) for _, run in runs], default=0.0)
    start = runs[0][0] if start is None and runs else start or 0.0
    placed = [(round((begin - start) * rate), _mono(run / max(peak, 1.0))) for begin, run in runs]
    sound = np.zeros(max([0, *(at + len(run) for at, run in placed)]), np.float32)
    for at, run in placed:
        sound[max(at, 0) : max(at + len(run), 0)] = run[max(-at, 0) :]
    if len(sound) == 0:
        raise InputError("The sound is empty or too short", where=path, fix="Record or export it again")
    return sound


def _mono(channels: np.ndarray) -> np.ndarray:
    """[samples] of [channels, samples] in [-1, 1], by the module's rule."""
    mean = channels.mean(0)
    energy = np.square(channels, dtype=np.float64).sum(1)
    if np.square(mean, dtype=np.float64).sum() < _CANCELLED * energy.max():
        mean = channels[energy.argmax()]
    return mean.astype(np.float32)


def _runs(container: Any, stream: Any, path: Path, rate: int) -> Iterator[tuple[float, np.ndarray]]:
    """Stretches without a gap: time of the first sample in s and [channels, samples] float32 at `rate` Hz."""
    from av import AudioResampler

    resampler: Any = None
    kind, begin, end = None, 0.0, 0.0
    parts: list[np.ndarray] = []
    if stream.codec_context is None:
        raise InputError("The sound is coded in a way that is not known", where=path, fix="Convert it to wav")
    for frame in decode(container, stream, lambda _: None):
        _require_sound(frame, path)
        time = end if frame.pts is None else float(frame.pts * frame.time_base)
        this_kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if this_kind != kind or time - end > _GAP:
            if resampler is not None:
                yield begin, _flushed(resampler, parts)
            resampler, kind, begin, end = AudioResampler("fltp", frame.layout, rate), this_kind, time, time
            parts = []
        parts += [part.to_ndarray() for part in resampler.resample(frame)]
        end += frame.samples / frame.sample_rate
        if end - begin > MAX_SECONDS or time > 2 * MAX_SECONDS:
            raise InputError(f"The sound is longer than {MAX_SECONDS / 60:.0f} minutes", where=path, fix="Cut it")
    if resampler is not None:
        yield begin, _flushed(resampler, parts)


def _flushed(resampler: Any, parts: list[np.ndarray]) -> np.ndarray:
    parts = [*parts, *(part.to_ndarray() for part in resampler.resample(None) if part is not None)]
    return np.concatenate(parts, 1) if parts else np.zeros((1, 0), np.float32)


def _require_sound(frame: Any, path: Path) -> None:
    if frame.layout.nb_channels > _CHANNELS:
        raise InputError(f"{frame.layout.nb_channels} sound channels are too many", where=path, fix="Mix them down")
    if frame.format.name in ("flt", "fltp", "dbl", "dblp") and not np.isfinite(frame.to_ndarray()).all():
        raise InputError("The sound holds NaN or infinity", where=path, fix="Export it again as 16-bit")
