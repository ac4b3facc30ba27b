"""What more footage buys: as many steps on the first seconds of a film, on more, on all, measured on the same end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from avatars.errors import InputError
from avatars.heads.anny import default_head
from avatars.tracking.personal import personalise
from avatars.training.build import rows_of, thin
from avatars.training.frames import split
from avatars.training.presets import Preset

from .short import trained_and_measured
from .trial import source

_MEASURED = 32


def lengths(
    path: Path, work: Path, preset: Preset, seconds: Sequence[float], say: Callable[[str], None]
) -> dict[float, dict[str, float]]:
    """Figures by seconds of training footage, on the last fifth of the film.

    All share one track of the whole film, hence identity and focal length: what grows is what training and the
    corrections of landmarks have seen. Frames are chosen by coverage where there are more than the preset takes.

    Args:
        path, work: see `trial.source`.

    Raises:
        InputError: the film ends before the longest of them and its test.
    """
    head = default_head()
    _, clip, tracked, _ = source(path, work, head)
    train, test = split(tracked.times, "tail")
    lasts = float(tracked.times[train[-1]] - tracked.times[0])
    if max(seconds) > lasts + 0.1:
        raise InputError(f"Only {lasts:.0f} s of the film can be trained on", where=path, fix="Ask for fewer seconds")
    test = test[np.linspace(0, len(test) - 1, min(_MEASURED, len(test))).astype(int)]
    out = {}
    for length in seconds:
        seen = train[tracked.times[train] - tracked.times[0] <= length]
        used = np.flatnonzero(np.isin(tracked.frame, thin(rows_of(tracked, seen), preset.frames).frame))
        person, own = personalise(head, rows_of(tracked, np.concatenate([used, test])))
        rows = np.arange(len(used)), np.arange(len(used), len(used) + len(test))
        say(f"{length:g} s: {len(seen)} frames, {len(used)} of them used")
        out[length] = trained_and_measured(person, clip, own, *rows, preset, say)
        say(f"{length:g} s: {out[length]['psnr']:.2f} dB fitted, {out[length]['psnr_landmark']:.2f} dB from landmarks")
    return out
