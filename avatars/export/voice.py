"""The speech network as the page runs it: weights and constants in a second, small bundle that is fetched on demand."""

from __future__ import annotations

import hashlib

import numpy as np

from .. import __version__
from ..heads.arkit import INDEX
from ..speech import features
from ..speech.articulation import ARTICULATORS, GAP, GAP_MAP, possible_gap, to_arkit
from ..speech.condition import DEFAULT_LOOK_AHEAD, EMOTIONS, STYLE, condition
from ..speech.emotion import _IS_MOUTH as IS_MOUTH
from ..speech.emotion import OFFSETS
from ..speech.inhale import BANDS, inhaled
from ..speech.nonverbal import FACES
from ..speech.runtime import CURVE_RANGE, DILATIONS, MODULATED
from ..speech.style import Style
from .bundle import DATA, FORMAT, Bundle
from .packing import Packer

KIND = "avatar-speech"
_UNLIMITED = 1e3
"""Lip gap that an articulator makes possible where no style is applied: `Style.shape` alone limits it."""


def voice_bundle(style: Style | None = None) -> Bundle:
    """Weights, front-end tables, and the map from articulators to ARKit coefficients.

    Args:
        style: the subject's way of speaking, None for the usual one.
    """
    reach = np.full(len(ARTICULATORS), _UNLIMITED) if style is None else possible_gap(np.eye(len(ARTICULATORS)))
    style = style or Style()
    weights, packer = style.apply(None), Packer()
    for name in ("entry", "norm", "head"):
        packer.add(f"{name}_weight", weights[f"{name}.weight"], "f32")
        packer.add(f"{name}_bias", weights[f"{name}.bias"], "f32")
    for i in range(len(DILATIONS)):
        # [out, tap, in]: a dot product with the past, oldest first.
        packer.add(f"conv_{i}_weight", weights[f"convs.{i}.weight"].transpose(0, 2, 1), "f32")
        packer.add(f"conv_{i}_bias", weights[f"convs.{i}.bias"], "f32")
    film = weights["film.weight"] @ condition(style.vector, look_ahead=DEFAULT_LOOK_AHEAD) + weights["film.bias"]
    packer.add("film", film.reshape(len(MODULATED), 2, -1), "f32")
    felt = weights["film.weight"][
        :, STYLE : STYLE + len(EMOTIONS)
    ]  # the condition enters linearly: emotions add theirs
    packer.add("emotion_film", felt.T, "f32")
    packer.add("emotion_faces", OFFSETS, "f32")
    packer.add("emotion_mouth", IS_MOUTH, "f32")
    packer.add("dilations", np.array(DILATIONS), "u8")
    packer.add("modulated", np.array(MODULATED), "u8")
    packer.add("mel", features.mel_matrix().T, "f32")
    packer.add("pitch_correction", features._PITCH_CORRECTION, "f32")
    packer.add("log_pitch", features._LOG_PITCH, "f32")
    packer.add("curve_range", np.array([CURVE_RANGE]), "f32")
    packer.add("look_ahead", np.array([DEFAULT_LOOK_AHEAD]), "u8")
    packer.add("arkit", _linear_map(), "f32")
    packer.add("faces", FACES, "f32")
    packer.add("style_gain", style.gain, "f32")
    packer.add("style_bias", style.bias, "f32")
    packer.add("gap_reach", reach, "f32")
    packer.add("lip_gap", GAP_MAP, "f32")
    packer.add("breath_bands", BANDS.T, "f32")
    packer.add("inhaled", inhaled(), "f32")
    packer.add("gap", np.array([GAP]), "u8")
    packer.add("mouth_close", np.array([INDEX["mouthClose"]]), "u8")
    data = packer.data()
    manifest = {
        "kind": KIND, "format": FORMAT, "written_by": f"avatars {__version__}",
        "articulators": list(ARTICULATORS), "emotions": list(EMOTIONS), "rate": features.RATE,
        "file": {"name": DATA, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "inflated": packer.size},
        "arrays": packer.table,
    }  # fmt: skip
    return Bundle(manifest, data)


def _linear_map() -> np.ndarray:
    """[11, 52]: `to_arkit` before it clips, which is linear; found where nothing is clipped."""
    count = len(ARTICULATORS)
    middle = np.full(count, 0.5, np.float32)
    middle[ARTICULATORS.index("gap")] = 0.4
    base = to_arkit(middle).astype(np.float64)
    rows = []
    for i in range(count):
        moved = middle.copy()
        moved[i] += 0.125
        rows.append((to_arkit(moved).astype(np.float64) - base) / 0.125)
    return np.stack(rows)
