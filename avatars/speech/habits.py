"""How a person moves besides speaking: blinks, gaze, head and brows as a few numbers, with a fit to a tracked clip."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from avatars.data import Motion
from avatars.errors import FileFormatError, InputError
from avatars.heads.arkit import INDEX, NAMES

LOOK_ANGLE = np.radians(30.0)
"""Eye rotation that a look coefficient of 1 stands for, rad."""
_PRIOR = 20.0
"""Seconds of clip that weigh as much as the defaults; a rare event such as a blink needs more to be believed."""


@dataclass(frozen=True)
class Habits:
    """Defaults are those of a calm conversation."""

    blinks_per_minute: float = 17.0
    blink_spread: float = 0.6
    """Standard deviation of the log of the time between blinks."""
    blink_closing: float = 0.08
    """s from open to shut; opening takes about twice as long."""
    gaze_spread: tuple[float, float] = (0.035, 0.02)
    """rad, standard deviation of yaw and pitch of the eyes in the head while looking ahead."""
    fixation: float = 1.6
    """s, median between saccades."""
    head_spread: tuple[float, float, float] = (0.03, 0.045, 0.022)
    """rad, standard deviation of rotation about x (nod), y (turn) and z (tilt)."""
    head_time: float = 0.9
    """s over which the head's pose forgets itself."""
    sway: tuple[float, float, float] = (0.002, 0.0012, 0.003)
    """m, standard deviation of translation."""
    brow_level: float = 0.05
    """Usual height of raised brows (ARKit)."""
    brow_spread: float = 0.05

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @staticmethod
    def from_json(value: dict[str, Any]) -> Habits:
        """Inverse of `to_json`.

        Raises:
            FileFormatError: unknown names, wrong lengths, or numbers that are not finite and positive.
        """
        usual = Habits()
        known = {f.name for f in fields(Habits)}
        if not isinstance(value, dict) or set(value) - known:
            raise FileFormatError("habits: unknown fields")
        out: dict[str, Any] = {}
        for name, number in value.items():
            default = getattr(usual, name)
            try:
                row = np.asarray(number, float).reshape(-1)
            except (TypeError, ValueError) as error:
                raise FileFormatError(f"habits.{name}: not a number") from error
            wide = len(default) if isinstance(default, tuple) else 1
            if len(row) != wide or not np.isfinite(row).all() or (row < 0).any():
                raise FileFormatError(f"habits.{name}: expected {wide} finite numbers of at least 0")
            out[name] = tuple(row.tolist()) if isinstance(default, tuple) else float(row[0])
        return Habits(**out)


@dataclass(frozen=True)
class Amounts:
    """How much of each movement is made: 0 switches it off, 1 is the subject's own, up to 2."""

    blinks: float = 1.0
    gaze: float = 1.0
    head: float = 1.0
    brows: float = 1.0
    nonverbal: float = 1.0

    def __post_init__(self) -> None:
        for name, value in self.__dict__.items():
            if not (np.isfinite(value) and 0 <= value <= 2):
                raise InputError(f"The amount of {name} must lie between 0 and 2, not {value}")


def _mix(measured, usual, seconds: float, prior: float = _PRIOR):
    """Measured values, drawn to the usual ones as far as the clip is short."""
    share = seconds / (seconds + prior)
    return share * np.asarray(measured, float) + (1 - share) * np.asarray(usual, float)


def _forgetting_time(curve: np.ndarray, step: float) -> float:
    """s until the autocorrelation of [T] falls below 1/e."""
    x = curve - curve.mean()
    power = np.abs(np.fft.rfft(x, 2 * len(x))) ** 2
    correlation = np.fft.irfft(power)[: len(x)]
    below = np.flatnonzero(correlation < correlation[0] / np.e)
    return float(step * below[0]) if len(below) and correlation[0] > 0 else float(step * len(x))


def look_angles(arkit: np.ndarray) -> np.ndarray:
    """[T, 2] yaw (towards the subject's left) and pitch (upwards) of the eyes in the head, rad, of [T, 52]."""
    column = {name: arkit[:, INDEX[name]] for name in NAMES if name.startswith("eyeLook")}
    left = column["eyeLookOutLeft"] - column["eyeLookInLeft"]
    right = column["eyeLookInRight"] - column["eyeLookOutRight"]
    up = (
        column["eyeLookUpLeft"] + column["eyeLookUpRight"] - column["eyeLookDownLeft"] - column["eyeLookDownRight"]
    ) / 2
    return LOOK_ANGLE * np.stack([(left + right) / 2, up], 1)


def fit(motion: Motion) -> Habits:
    """A subject's habits from a tracked clip; short clips stay near the defaults.

    Blinks are counted at a lid curve above halfway between the subject's open eye and their most closed one.
    """
    motion.validate()
    usual = Habits()
    if len(motion.times) < 25:
        return usual
    seconds = float(motion.times[-1] - motion.times[0])
    step = seconds / (len(motion.times) - 1)
    lids = (motion.arkit[:, INDEX["eyeBlinkLeft"]] + motion.arkit[:, INDEX["eyeBlinkRight"]]) / 2
    low, high = np.percentile(lids, 20), lids.max()
    edges = np.diff(np.concatenate([[0], (lids > max((low + high) / 2, low + 0.25)).astype(int), [0]]))
    starts = np.flatnonzero(edges == 1)
    rate = 60 * len(starts) / seconds
    head, gaze = motion.rotation, look_angles(motion.arkit)
    brow = (motion.arkit[:, INDEX["browOuterUpLeft"]] + motion.arkit[:, INDEX["browOuterUpRight"]]) / 2
    moved = [_forgetting_time(head[:, i], step) for i in range(3)]
    jumps = np.flatnonzero(np.linalg.norm(np.diff(gaze, axis=0), axis=1) > np.radians(2.5))
    fixation = np.median(np.diff(jumps)) * step if len(jumps) > 3 else usual.fixation
    return Habits(
        blinks_per_minute=float(np.clip(_mix(rate, usual.blinks_per_minute, seconds, 30.0), 3, 60)),
        blink_spread=usual.blink_spread,
        blink_closing=usual.blink_closing,
        gaze_spread=tuple(np.clip(_mix(gaze.std(0), usual.gaze_spread, seconds), 0.005, 0.2).tolist()),  # type: ignore[arg-type]
        fixation=float(np.clip(_mix(fixation, usual.fixation, seconds), 0.4, 5)),
        head_spread=tuple(np.clip(_mix(head.std(0), usual.head_spread, seconds), 0.003, 0.2).tolist()),  # type: ignore[arg-type]
        head_time=float(np.clip(_mix(np.median(moved), usual.head_time, seconds), 0.25, 3)),
        sway=tuple(np.clip(_mix(motion.translation.std(0), usual.sway, seconds), 0, 0.02).tolist()),  # type: ignore[arg-type]
        brow_level=float(np.clip(_mix(np.median(brow), usual.brow_level, seconds), 0, 0.4)),
        brow_spread=float(np.clip(_mix(brow.std(), usual.brow_spread, seconds), 0, 0.3)),
    )
