"""What the synthetic person does: talks, blinks, looks about, turns, nods and sways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

from ..heads.arkit import INDEX, NAMES, admissible
from ..heads.head import Head
from .noise import smoothstep, wander
from .sounds import Spoken

FACING = np.diag([1.0, -1.0, -1.0])
"""Rotation of a head that looks into the camera."""
_PIVOT_DROP = 0.055
"""m below the head's origin: a skull turns about the upper neck."""
_TURN_EVERY = 1.1
"""s between one place to look at and the next."""
_BLINK = (0.07, 0.04, 0.13)
"""s of closing, closed and opening."""
_KEEP_GAZE = 0.45
"""Share of a turn of the head that the eyes take back to go on looking at the camera."""
_GAZE_SIDE, _GAZE_UP = np.radians(32.0), np.radians(25.0)
"""Turn of the eyes at a coefficient of 1 (as the default head has it)."""


@dataclass(frozen=True)
class Performance:
    """Every frame's face and pose, in camera coordinates; rows as in data.Track."""

    times: np.ndarray
    expression: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    torso_rotation: np.ndarray
    torso_translation: np.ndarray


def perform(
    head: Head, spoken: list[Spoken], times: np.ndarray, place: np.ndarray, yaw: float, rng: np.random.Generator
) -> Performance:
    """A performance at the given times.

    Args:
        head: personalised.
        spoken: what is said.
        times: [T] s.
        place: [3] m, where the head's origin rests, in camera coordinates.
        yaw: rad, how far the head turns to either side.
    """
    euler = _turning(times, yaw, rng)
    face = _mouth(spoken, times) + _mood(times, rng)
    _eyes(face, times, euler, rng)
    coefficients = admissible(face)
    expression = np.clip(coefficients @ head.arkit, head.expression_low, head.expression_high)
    turn = Rotation.from_euler("YXZ", euler).as_matrix()
    sway = 0.006 * wander(times, 2.5, rng, 3) * (1.0, 0.4, 0.8)
    lean = np.radians(2.0) * wander(times, 3.0, rng, 3) * (1.0, 1.2, 0.6)
    torso = Rotation.from_euler("YXZ", lean[:, [1, 0, 2]] + euler * (0.12, 0.05, 0.10)).as_matrix()
    neck = head.joints[0].astype(float)
    pivot = np.array([0.0, -_PIVOT_DROP, 0.0])
    carried = torso @ (pivot - neck) + neck + sway
    return Performance(
        times=times,
        expression=expression.astype(np.float32),
        rotation=Rotation.from_matrix(FACING @ turn).as_rotvec().astype(np.float32),
        translation=((carried - turn @ pivot) @ FACING + place).astype(np.float32),
        torso_rotation=Rotation.from_matrix(FACING @ torso).as_rotvec().astype(np.float32),
        torso_translation=((neck + sway) @ FACING + place - neck).astype(np.float32),
    )


def _turning(times: np.ndarray, yaw: float, rng: np.random.Generator) -> np.ndarray:
    """Yaw, pitch and roll [T, 3] rad: one place after the other, both extremes of yaw among them."""
    seconds = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    count = max(7, round(seconds / _TURN_EVERY) + 1)
    keys = np.stack(
        [
            rng.uniform(-0.6, 0.6, count) * yaw,
            np.radians(rng.uniform(-9, 9, count)),
            np.radians(rng.uniform(-5, 5, count)),
        ],
        1,
    )
    keys[0] = 0
    first, side = int(rng.integers(1, 3)), float(rng.choice([-1.0, 1.0]))
    keys[first, 0], keys[first + 2, 0] = side * yaw, -side * yaw
    keys[first + 1, 0] = 0
    at = np.linspace(times[0], times[0] + max(seconds, 1e-3), count)
    curve = CubicSpline(at, keys, bc_type="clamped")(times)
    nod = np.radians(1.2) * wander(times, 0.4, rng, 3) * (0.6, 1.0, 0.4)
    curve = curve + nod
    curve[:, 0] = np.clip(curve[:, 0], -1.05 * yaw, 1.05 * yaw)
    return curve


def _mouth(spoken: list[Spoken], times: np.ndarray) -> np.ndarray:
    """[T, 52]: every moment is a mean of the sounds around it (Cohen and Massaro 1993)."""
    targets = np.stack([_coefficients(s) for s in spoken])
    middle = np.array([(s.start + s.end) / 2 for s in spoken])
    reach = np.array([0.55 * (s.end - s.start) + 0.012 for s in spoken])
    firm = np.array([s.sound.firm for s in spoken])
    weight = firm * np.exp(-0.5 * ((times[:, None] - middle) / reach) ** 2) + 1e-9
    return (weight @ targets) / weight.sum(1, keepdims=True)


def _coefficients(spoken: Spoken) -> np.ndarray:
    out = np.zeros(len(NAMES))
    for name, value in spoken.sound.mouth.items():
        for full in (name,) if name in INDEX else (f"{name}Left", f"{name}Right"):
            out[INDEX[full]] = value * (spoken.stress if name == "jawOpen" else 1.0)
    return out


def _mood(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Slow changes: smiles that come and go, brows, a little asymmetry."""
    out = np.zeros((len(times), len(NAMES)))
    smile = np.clip(0.10 + 0.12 * wander(times, 2.5, rng)[:, 0], 0, 0.5)
    brow = np.clip(0.05 + 0.22 * wander(times, 0.9, rng)[:, 0], 0, 0.8)
    frown = np.clip(0.18 * wander(times, 1.7, rng)[:, 0] - 0.05, 0, 0.6)
    squint = np.clip(0.05 + 0.06 * wander(times, 1.2, rng)[:, 0], 0, 0.3)
    for side, lean in (("Left", 1.1), ("Right", 0.9)):
        for name, value in (
            ("mouthSmile", smile), ("cheekSquint", 0.5 * smile), ("browOuterUp", 0.8 * brow), ("browDown", frown),
            ("eyeSquint", squint),
        ):  # fmt: skip
            out[:, INDEX[f"{name}{side}"]] = value * lean
    out[:, INDEX["browInnerUp"]] = brow
    return out


def _eyes(face: np.ndarray, times: np.ndarray, euler: np.ndarray, rng: np.random.Generator) -> None:
    """Blinks and looks, in place."""
    look = _glances(times, rng) - _KEEP_GAZE * euler[:, :2]
    side, down = look[:, 0] / _GAZE_SIDE, look[:, 1] / _GAZE_UP  # positive yaw is to the person's left
    for name, value in (
        ("eyeLookOutLeft", side), ("eyeLookInRight", side), ("eyeLookInLeft", -side), ("eyeLookOutRight", -side),
        ("eyeLookDownLeft", down), ("eyeLookDownRight", down), ("eyeLookUpLeft", -down), ("eyeLookUpRight", -down),
    ):  # fmt: skip
        face[:, INDEX[name]] += np.clip(value, 0, 1)
    blink = np.zeros(len(times))
    at = float(times[0]) + rng.uniform(0.3, 1.2)
    while at < times[-1]:
        close, shut, opening = _BLINK
        t = times - at
        blink = np.maximum(blink, smoothstep(0, close, t) * smoothstep(close + shut + opening, close + shut, t))
        at += float(rng.uniform(1.5, 4.0))
    for side_name in ("Left", "Right"):
        face[:, INDEX[f"eyeBlink{side_name}"]] = blink


def _glances(times: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[T, 2] rad, sideways (positive to the person's left) and down: the eyes rest, then jump."""
    out, goal = np.zeros((len(times), 2)), np.zeros(2)
    at = float(times[0])
    while at < times[-1]:
        new = rng.normal(0, 1, 2) * np.radians([6.0, 3.0]) * float(rng.uniform() < 0.7)
        out += smoothstep(0, 0.045, times - at)[:, None] * (new - goal)
        goal = new
        at += float(rng.uniform(0.4, 1.6))
    return out
