"""Checks on sound that comes from outside."""

from __future__ import annotations

import numpy as np

from avatars.errors import InputError

MOST_CHANNELS = 32
_LOUDEST = 8.0


def channels_first(pcm: np.ndarray) -> np.ndarray:
    """[channels, n] float32 of [n], [n, channels] or [channels, n] floats in [-1, 1] or integers of any width.

    Unsigned bytes are centred on 128 as in WAV files; 24-bit sound comes as int32 (shifted left by 8) or as floats.
    Which axis is the channels' is told by its length: the shorter one of at most 32.

    Raises:
        InputError: another shape or type, NaN, infinity, or floats far out of range.
    """
    data = np.asarray(pcm)
    if data.ndim == 1:
        data = data[None]
    elif data.ndim == 2:
        if data.shape[1] <= MOST_CHANNELS and (data.shape[0] > data.shape[1] or data.shape[1] == 1):
            data = data.T
    else:
        raise InputError(f"Sound must have one or two axes, not {data.ndim}")
    if not 1 <= len(data) <= MOST_CHANNELS:
        raise InputError(f"Sound of {len(data)} channels", fix=f"Give 1 to {MOST_CHANNELS}")
    if data.dtype.kind == "u":
        data = (data.astype(np.float32) - 2.0 ** (8 * data.itemsize - 1)) / 2.0 ** (8 * data.itemsize - 1)
    elif data.dtype.kind == "i":
        data = data.astype(np.float32) / 2.0 ** (8 * data.itemsize - 1)
    elif data.dtype.kind == "f":
        peak = max(float(np.maximum.reduce(data, None)), -float(np.minimum.reduce(data, None))) if data.size else 0.0
        if not np.isfinite(peak):
            raise InputError("The sound holds NaN or infinity", fix="Decode it again, or replace those samples")
        if peak > _LOUDEST:
            raise InputError(f"Float sound must lie in [-1, 1]; found {peak:.3g}", fix="Pass integers, or scale it")
        data = data.astype(np.float32)
    else:
        raise InputError(f"Sound cannot be of type {data.dtype}")
    return np.ascontiguousarray(data)
