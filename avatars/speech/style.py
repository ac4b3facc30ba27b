"""A subject's way of speaking: what personalisation learns and a stream applies. NumPy only.

Three rungs, each optional: an affine map of each articulator, a style vector for the network, low-rank additions to
the network's weights. Stored as safetensors with a JSON of how they were made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avatars.errors import FileFormatError
from avatars.files import load_tensors, read_json, save_tensors, write_json

from .articulation import ARTICULATORS, GAP, possible_gap
from .condition import STYLE
from .habits import Habits
from .runtime import default_weights

KIND = "avatars-speech-style"
VERSION = 1
_WIDTH = len(ARTICULATORS)


@dataclass
class Style:
    """One subject."""

    vector: np.ndarray = field(default_factory=lambda: np.zeros(STYLE, np.float32))
    """[16] style input of the network."""
    gain: np.ndarray = field(default_factory=lambda: np.ones(_WIDTH, np.float32))
    """[11] factor on each articulator."""
    bias: np.ndarray = field(default_factory=lambda: np.zeros(_WIDTH, np.float32))
    """[11] added to each articulator."""
    low_rank: dict[str, np.ndarray] = field(default_factory=dict)
    """For a weight `convs.3.weight` [out, in, k]: `convs.3.weight.down` [r, in, k] and `convs.3.weight.up` [out, r]."""
    habits: Habits = field(default_factory=Habits)
    facts: dict[str, Any] = field(default_factory=dict)
    """Offset of the clip, seconds used, accepted rungs and held-out scores."""

    def shape(self, curves: np.ndarray) -> np.ndarray:
        """[T, 11] articulators of this subject; a closed mouth stays closed, and lips part no further than they can."""
        out = curves * self.gain + self.bias * np.minimum(curves[:, GAP : GAP + 1] / 0.1, 1)
        out[:, GAP] = curves[:, GAP] * self.gain[GAP] + self.bias[GAP] * np.minimum(curves[:, GAP] / 0.3, 1)
        np.minimum(np.maximum(out, 0, out=out), 1.5, out=out)
        out[:, GAP] = np.minimum(out[:, GAP], possible_gap(out))
        return out

    def apply(self, weights: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray]:
        """Network parameters with the low-rank additions in them."""
        tensors = dict(default_weights() if weights is None else weights)
        for name in {key.rsplit(".", 1)[0] for key in self.low_rank}:
            down, up = self.low_rank[name + ".down"], self.low_rank[name + ".up"]
            added = np.tensordot(up, down, 1).astype(np.float32)
            if name not in tensors or added.shape != tensors[name].shape:
                raise FileFormatError(f"The style's '{name}' does not fit the network")
            tensors[name] = tensors[name] + added
        return tensors

    def tensors(self) -> dict[str, np.ndarray]:
        """Everything numeric, by name."""
        own = {"style.vector": self.vector, "style.gain": self.gain, "style.bias": self.bias}
        return own | {f"style.low_rank.{k}": v for k, v in self.low_rank.items()}

    def to_json(self) -> dict[str, Any]:
        """Everything else, as plain values."""
        return {"kind": KIND, "version": VERSION, "habits": self.habits.to_json(), "facts": self.facts}

    @staticmethod
    def from_parts(tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> Style:
        """Inverse of `tensors` and `to_json`; other tensors in the mapping are ignored.

        Raises:
            FileFormatError: another kind or a newer version, missing or misshapen tensors.
        """
        if facts.get("kind") != KIND:
            raise FileFormatError("Not a speech style")
        if not isinstance(facts.get("version"), int) or facts["version"] > VERSION:
            raise FileFormatError("The speech style is newer than this program", fix="Update it")
        shapes = {"style.vector": (STYLE,), "style.gain": (_WIDTH,), "style.bias": (_WIDTH,)}
        for name, shape in shapes.items():
            value = tensors.get(name)
            if value is None or value.shape != shape or not np.isfinite(value).all():
                raise FileFormatError(f"speech style: '{name}' must be {shape} finite numbers")
        prefix = "style.low_rank."
        low_rank = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
        names = {key.rsplit(".", 1)[0] for key in low_rank}
        if set(low_rank) != {n + end for n in names for end in (".down", ".up")}:
            raise FileFormatError("speech style: low-rank tensors must come in pairs")
        vector, gain, bias = (tensors[name].astype(np.float32) for name in shapes)
        return Style(
            vector, gain, bias, low_rank, Habits.from_json(facts.get("habits", {})), dict(facts.get("facts", {}))
        )

    def save(self, path: Path) -> None:
        """Write PATH (safetensors) and PATH with the suffix .json."""
        save_tensors(path, self.tensors())
        write_json(path.with_suffix(".json"), self.to_json())

    @staticmethod
    def load(path: Path) -> Style:
        """Inverse of `save`.

        Raises:
            FileFormatError: missing or damaged.
        """
        return Style.from_parts(load_tensors(path)[0], read_json(path.with_suffix(".json")))
