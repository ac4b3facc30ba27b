"""The network in NumPy, frame by frame or in blocks, with the past it needs kept as state.

The same numbers as `network.Net` to about 1e-6. Nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from avatars.errors import FileFormatError
from avatars.files import load_tensors

from .articulation import ARTICULATORS
from .condition import SIZE
from .phonemes import VISEMES
from .vocal import CLASSES

WEIGHTS = Path(__file__).parent / "weights" / "default.safetensors"
DILATIONS = (1, 2, 4, 8, 1, 2, 4, 8)
MODULATED = (1, 3, 5, 7)
_HALF, _ONE = np.float32(0.5), np.float32(1)
CURVE_RANGE = np.float32(1.5)
_VISEMES, _CURVES = len(VISEMES), len(VISEMES) + len(ARTICULATORS)


def _silu(half: np.ndarray) -> np.ndarray:
    """x * sigmoid(x) of `half` = x / 2, by tanh, which cannot overflow. Layers store their weights halved for it."""
    out = np.tanh(half)
    out += _ONE
    out *= half
    return out


class _Linear:
    """x @ weight + bias for [T, in] float32."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """`weight` [in, out], `bias` [out]."""
        self.bias = bias.astype(np.float32)
        self.whole = np.ascontiguousarray(weight, np.float32)
        # A stack of rows: one dot product each. A single product of this size would wake BLAS's threads for one
        # frame, which costs more than the work.
        self.rows = np.ascontiguousarray(self.whole.T)[:, None, :]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[T, out] of [T, in]."""
        out = x @ self.whole
        out += self.bias
        return out

    def one(self, x: np.ndarray) -> np.ndarray:
        """[out] of one frame [in]."""
        out = np.matmul(self.rows, x[:, None]).reshape(-1)
        out += self.bias
        return out


@lru_cache(4)
def default_weights(path: Path = WEIGHTS) -> dict[str, np.ndarray]:
    """Parameters by name.

    Raises:
        FileFormatError: missing, damaged or of another shape.
    """
    tensors, _ = load_tensors(path)
    wide = tensors.get("head.weight", np.zeros((0, 0))).shape[0]
    if wide != _CURVES + len(CLASSES) or tensors.get("film.weight", np.zeros((0, 0))).shape[1] != SIZE:
        raise FileFormatError("These speech weights belong to another version of the network", where=path)
    return tensors


def provenance(path: Path = WEIGHTS) -> dict[str, Any]:
    """What the JSON beside the weights says: command, seeds, scores."""
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


class Runtime:
    """One running network.

    Args:
        tensors: parameters by name (see `network.arrays`); None for the committed ones.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray] | None = None) -> None:
        tensors = default_weights() if tensors is None else tensors
        self._entry = _Linear(_HALF * tensors["entry.weight"].T, _HALF * tensors["entry.bias"])
        self._norm = tensors["norm.weight"], tensors["norm.bias"]
        self._convs = []
        for i in range(len(DILATIONS)):
            taps = tensors[f"convs.{i}.weight"].transpose(2, 1, 0)
            self._convs.append(_Linear(_HALF * taps.reshape(-1, taps.shape[2]), _HALF * tensors[f"convs.{i}.bias"]))
        self._film = tensors["film.weight"], tensors["film.bias"]
        self._head = _Linear(tensors["head.weight"].T, tensors["head.bias"])
        self.channels = len(tensors["norm.bias"])
        self.reset()
        self.set_condition(np.zeros(SIZE, np.float32))

    def reset(self) -> None:
        """Forget everything heard."""
        self._past = [np.zeros((2 * d, self.channels), np.float32) for d in DILATIONS]
        self._oldest = [0] * len(DILATIONS)  # row of each layer's past that is the oldest: frames go round in it

    def take_over(self, other: Runtime) -> None:
        """Go on from what another network of the same shape has heard."""
        self._past, self._oldest = [past.copy() for past in other._past], list(other._oldest)

    def set_condition(self, condition: np.ndarray) -> None:
        """Style, emotion, language and look-ahead, [37] (see `condition.condition`), from the next frame on."""
        film = (self._film[0] @ condition.astype(np.float32) + self._film[1]).reshape(len(MODULATED), 2, self.channels)
        self._gain, self._shift = _ONE + film[:, 0], _HALF * film[:, 1]

    def __call__(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(viseme logits [T, 14], articulators [T, 11], class logits [T, 6]) of the next inputs [T, 86] float32."""
        if len(inputs) == 1:
            out = self._step(inputs[0])[None]
        else:
            out = self._block(inputs)
        curves = CURVE_RANGE * (_HALF + _HALF * np.tanh(_HALF * out[:, _VISEMES:_CURVES]))
        return out[:, :_VISEMES], curves, out[:, _CURVES:]

    def _step(self, frame: np.ndarray) -> np.ndarray:
        """[31] raw output of one frame [86]: as `_block`, without copies of the past."""
        size = self.channels
        h = _silu(self._entry.one(frame))
        h -= np.add.reduce(h) / np.float32(size)
        h *= _ONE / np.sqrt(np.dot(h, h) / np.float32(size) + np.float32(1e-5))
        h *= self._norm[0]
        h += self._norm[1]
        heard = np.empty(3 * size, np.float32)
        for i, dilation in enumerate(DILATIONS):
            past, oldest = self._past[i], self._oldest[i]
            heard[:size], heard[size : 2 * size], heard[2 * size :] = past[oldest], past[oldest - dilation], h
            past[oldest] = h
            self._oldest[i] = (oldest + 1) % (2 * dilation)
            half = self._convs[i].one(heard)
            if i in MODULATED:
                k = MODULATED.index(i)
                half *= self._gain[k]
                half += self._shift[k]
            out = _silu(half)
            out *= _HALF
            h += out
        return self._head.one(h)

    def _block(self, inputs: np.ndarray) -> np.ndarray:
        """[T, 31] raw output of [T, 86]."""
        h = _silu(self._entry(inputs))
        h = h - np.add.reduce(h, 1, keepdims=True) / np.float32(self.channels)
        h = h / np.sqrt(np.add.reduce(h * h, 1, keepdims=True) / np.float32(self.channels) + np.float32(1e-5))
        h = h * self._norm[0] + self._norm[1]
        count = len(h)
        for i, dilation in enumerate(DILATIONS):
            data = np.concatenate((np.roll(self._past[i], -self._oldest[i], 0), h))
            self._past[i], self._oldest[i] = data[count:].copy(), 0
            half = self._convs[i](np.concatenate((data[:count], data[dilation : dilation + count], h), 1))
            if i in MODULATED:
                k = MODULATED.index(i)
                half *= self._gain[k]
                half += self._shift[k]
            out = _silu(half)
            out *= _HALF
            out += h
            h = out
        return self._head(h)
