"""Painted eyeballs, teeth and the inside of the mouth."""

from __future__ import annotations

import numpy as np

from ..heads.portrait import IRIS_RADIUS, iris_axis
from .look import Look
from .noise import field, smoothstep
from .texels import Texels

_TEETH = 12
"""Teeth that show in one row."""


def paint_eyes(color: np.ndarray, gloss: np.ndarray, texels: Texels, look: Look, rng: np.random.Generator) -> None:
    """Lay both eyes over sRGB colours [n, 3] and gloss [n, 2], in place."""
    for side in "lr":
        on = texels.region(f"eyeball_{side}") > 0.5
        center, radius = iris_axis(texels.head, side)
        p = (texels.position[on] - center.astype(np.float32)) / radius
        polar = np.arctan2(np.hypot(p[:, 0], p[:, 1]), p[:, 2]) * radius / IRIS_RADIUS  # 1 at the iris's rim
        turn = np.arctan2(p[:, 1], p[:, 0])
        color[on], inside = _eye(polar.astype(np.float32), turn, p, look, rng)
        gloss[on] = np.stack([np.full(on.sum(), 1.3), 0.75 + 0.25 * inside], 1)


def _eye(
    polar: np.ndarray, turn: np.ndarray, p: np.ndarray, look: Look, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn], 1)
    fibres = field(ring * 0.03 + p * (0, 0, 0.002), 0.0022, rng, 3)
    collarette = 0.5 + 0.12 * np.sin(9 * turn + 2)
    iris = np.tile(np.array(look.iris, np.float32), (len(p), 1))
    iris = iris * np.exp(0.28 * fibres)[:, None]
    iris *= (1 + 0.25 * smoothstep(collarette + 0.12, collarette, polar))[:, None] * (0.85, 0.8, 0.75)
    iris *= (1 - 0.75 * smoothstep(0.82, 1.0, polar))[:, None]  # limbal ring
    iris *= (1 - 0.9 * smoothstep(0.46, 0.38, polar))[:, None]
    pupil = smoothstep(0.42, 0.37, polar)[:, None]
    iris = iris * (1 - pupil) + 0.015 * pupil
    veins = smoothstep(1.2, 2.2, np.abs(field(p * (1, 1, 0.4) * 0.012, 0.0035, rng, 2))) * smoothstep(1.4, 2.2, polar)
    white = np.array([0.86, 0.83, 0.81], np.float32) * (1 - 0.10 * smoothstep(1.3, 2.4, polar))[:, None]
    white = (
        white - veins[:, None] * np.array([0.06, 0.22, 0.22]) - smoothstep(1.6, 2.6, polar)[:, None] * (0.0, 0.08, 0.08)
    )
    inside = smoothstep(1.04, 0.96, polar)
    return (white * (1 - inside[:, None]) + iris * inside[:, None]).astype(np.float32), inside


def paint_mouth(color: np.ndarray, gloss: np.ndarray, texels: Texels) -> None:
    """Teeth with gaps and gums, tongue and flesh, in place."""
    for name, value in (("mouth_interior", (0.42, 0.16, 0.16)), ("tongue", (0.66, 0.34, 0.34))):
        on = texels.region(name) > 0.6
        color[on] = value
        gloss[on] = (0.6, 0.4)
    for name, up in (("teeth_upper", 1.0), ("teeth_lower", -1.0)):
        on = texels.region(name) > 0.5
        if not on.any():
            continue
        p = texels.position[on]
        middle = np.array([np.median(p[:, 0]), p[:, 2].max() - 0.030])
        angle = np.arctan2(p[:, 0] - middle[0], p[:, 2] - middle[1])
        along = angle / 2.6 * _TEETH
        gap = np.abs(along - np.round(along))
        ivory = np.array([0.88, 0.84, 0.76]) * (1 - 0.35 * smoothstep(0.07, 0.0, gap))[:, None]
        ivory = ivory * (1 - 0.08 * np.abs(np.sin(2.4 * np.round(along + 0.5))))[:, None]
        edge = p[:, 1].min() if up > 0 else p[:, 1].max()
        gum = smoothstep(0.0085, 0.0105, up * (p[:, 1] - edge) + 0.0018 * np.cos(2 * np.pi * along))
        color[on] = ivory * (1 - gum)[:, None] + np.array([0.70, 0.38, 0.38]) * gum[:, None]
        gloss[on] = (1.0, 0.65)
