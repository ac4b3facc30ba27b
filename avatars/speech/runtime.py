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
_QUARTER, _HALF, _ONE, _TWO = (np.float32(x) for x in (0.25, 0.5, 1, 2))
CURVE_RANGE = np.float32(1.5)
KERNEL = 3
_SPARE = 64
"""Single frames between two moves of the past."""
_SINGLE = 9000
"""Weights of a product that BLAS leaves to one thread."""
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
        self.weight = np.ascontiguousarray(np.concatenate([weight, bias[None]]), np.float32)
        # A stack of small products, with the bias as one more input: a single product of this size would wake BLAS's
        # threads for one frame, which costs more than the work.
        inputs, outputs = self.weight.shape
        rows = max(k for k in range(1, outputs + 1) if outputs % k == 0 and (k == 1 or k * inputs <= _SINGLE))
        self.stack = np.ascontiguousarray(self.weight.T).reshape(-1, rows, inputs)
        self.out = np.empty((outputs // rows, rows), np.float32)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[T, out] of [T, in]."""
        out = x @ self.weight[:-1]
        out += self.weight[-1]
        return out

    def one(self, x: np.ndarray) -> np.ndarray:
        """[out] of one frame [in + 1] that ends in 1; the next call writes over it."""
        return np.matmul(self.stack, x, out=self.out).reshape(-1)


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
        # Between the layers everything is doubled, which saves each layer a multiplication.
        self._entry = _Linear(_HALF * tensors["entry.weight"].T, _HALF * tensors["entry.bias"])
        self._norm = _TWO * tensors["norm.weight"], _TWO * tensors["norm.bias"]
        taps = [tensors[f"convs.{i}.weight"].transpose(2, 1, 0) for i in range(len(DILATIONS))]
        self._taps = [_QUARTER * t.reshape(-1, t.shape[2]) for t in taps]
        self._bias = [_HALF * tensors[f"convs.{i}.bias"] for i in range(len(DILATIONS))]
        self._convs = [_Linear(w, b) for w, b in zip(self._taps, self._bias, strict=True)]
        self._film = tensors["film.weight"], tensors["film.bias"]
        self._head = _Linear(_HALF * tensors["head.weight"].T, tensors["head.bias"])
        self.channels = len(tensors["norm.bias"])
        self._heard = np.ones(KERNEL * self.channels + 1, np.float32)
        self._frame = np.ones(len(tensors["entry.weight"][0]) + 1, np.float32)
        self.reset()
        self.set_condition(np.zeros(SIZE, np.float32))

    def reset(self) -> None:
        """Forget everything heard."""
        self._past = [np.zeros((2 * d + _SPARE, self.channels), np.float32) for d in DILATIONS]
        self._at = 0  # a layer's past begins at this row, 2 d frames; single frames move on until the rows are used up

    def take_over(self, other: Runtime) -> None:
        """Go on from what another network of the same shape has heard."""
        self._past, self._at = [past.copy() for past in other._past], other._at

    def set_condition(self, condition: np.ndarray) -> None:
        """Style, emotion, language and look-ahead, [37] (see `condition.condition`), from the next frame on."""
        film = (self._film[0] @ condition.astype(np.float32) + self._film[1]).reshape(len(MODULATED), 2, self.channels)
        for k, i in enumerate(MODULATED):
            gain = _ONE + film[k, 0]
            self._convs[i] = _Linear(self._taps[i] * gain, self._bias[i] * gain + _HALF * film[k, 1])

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
        size, heard = self.channels, self._heard
        self._frame[:-1] = frame
        h = _silu(self._entry.one(self._frame))
        h -= np.add.reduce(h) / np.float32(size)
        h *= _ONE / np.sqrt(np.dot(h, h) / np.float32(size) + np.float32(1e-5))
        h *= self._norm[0]
        h += self._norm[1]
        at, taps = self._at, heard[:-1].reshape(KERNEL, size)
        for past, dilation, conv in zip(self._past, DILATIONS, self._convs, strict=True):
            now = at + 2 * dilation
            past[now] = h
            taps[:] = past[at : now + 1 : dilation]
            h += _silu(conv.one(heard))
        self._at += 1
        if self._at == _SPARE:
            self._rewind([past[_SPARE:] for past in self._past])
        heard[2 * size : -1] = h
        return self._head.one(heard[2 * size :]).copy()

    def _block(self, inputs: np.ndarray) -> np.ndarray:
        """[T, 31] raw output of [T, 86]."""
        h = _silu(self._entry(inputs))
        h = h - np.add.reduce(h, 1, keepdims=True) / np.float32(self.channels)
        h = h / np.sqrt(np.add.reduce(h * h, 1, keepdims=True) / np.float32(self.channels) + np.float32(1e-5))
        h = h * self._norm[0] + self._norm[1]
        count = len(h)
        newest = []
        for i, dilation in enumerate(DILATIONS):
            data = np.concatenate((self._past[i][self._at : self._at + 2 * dilation], h))
            newest.append(data[count:])
            out = _silu(self._convs[i](np.concatenate((data[:count], data[dilation : dilation + count], h), 1)))
            out += h
            h = out
        self._rewind(newest)
        return self._head(h)

    def _rewind(self, newest: list[np.ndarray]) -> None:
        """Put each layer's past, [2 d, channels], back to the first rows."""
        for past, rows in zip(self._past, newest, strict=True):
            past[: len(rows)] = rows.copy()
        self._at = 0
