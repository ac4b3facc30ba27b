"""How far a subject's lips go when they talk, against the network's usual speaker: from a track alone, without sound.

The network learned from made-up mouths, which part their lips less than filmed ones do. What a clip shows of the range
of each articulator is therefore matched: as many frames lie above the 95th percentile of both. That says nothing about
timing, and needs none.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from avatars.data import Motion
from avatars.files import load_tensors

from .articulation import (
    ARTICULATORS,
    FUNNEL,
    GAP,
    JAW,
    LOWER_DOWN,
    PUCKER,
    STRETCH,
    UPPER_UP,
    from_arkit,
)
from .condition import condition
from .runtime import WEIGHTS, Runtime

REPLAY = WEIGHTS.with_name("replay.safetensors")
"""A minute of network inputs of many voices."""
_MATCHED = [JAW, GAP, FUNNEL, PUCKER, STRETCH, LOWER_DOWN, UPPER_UP]
_PERCENTILE = 95
_SPEAKING = 0.05
"""Jaw above which the usual speaker is speaking."""
_PRIOR_REACH = 0.1
"""Added to both sides before they are divided: what hardly moves says little about a range."""
_PRIOR_SECONDS = 4.0
_LEAST, _MOST = 0.85, 1.7
_TALKING = 0.25
"""95th percentile of the lip gap below which the subject does not talk in the clip."""


@lru_cache(1)
def usual_reach() -> np.ndarray:
    """[11] 95th percentile of the network's articulators while it hears speech."""
    runtime = Runtime()
    runtime.set_condition(condition())
    rows = []
    for inputs in load_tensors(REPLAY)[0]["inputs"].astype(np.float32):
        runtime.reset()
        curves = runtime(inputs)[1][20:]  # the first frames lack their past
        rows.append(curves[curves[:, JAW] > _SPEAKING])
    return np.percentile(np.concatenate(rows), _PERCENTILE, axis=0).astype(np.float32)


def reach_gain(motion: Motion) -> np.ndarray:
    """[11] float32 factor on each articulator that gives the network's usual speaker this subject's range.

    Args:
        motion: the subject's tracked clip, as movement from their resting face.

    1 where the clip shows nobody talking; short clips stay near 1.
    """
    out = np.ones(len(ARTICULATORS), np.float32)
    if len(motion.times) < 2:
        return out
    shown = np.percentile(from_arkit(motion.arkit), _PERCENTILE, axis=0)
    if shown[GAP] < _TALKING:
        return out
    seconds = float(motion.times[-1] - motion.times[0])
    ratio = (np.maximum(shown, 0) + _PRIOR_REACH) / (usual_reach() + _PRIOR_REACH)
    gain = np.clip(ratio ** (seconds / (seconds + _PRIOR_SECONDS)), _LEAST, _MOST)
    out[_MATCHED] = gain[_MATCHED]
    # In coefficients lips part no further than jaw and lips allow: a jaw that is held back would cut the gap flat.
    out[JAW] = max(out[JAW], out[GAP])
    return out
