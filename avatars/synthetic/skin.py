"""Painted skin: blotches, pores, redness, brows, lips, lashes, a shaven beard; mixed in space, drawn from landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..capture import faces as mesh
from ..heads.regions import landmark_points
from .canvas import Canvas, smooth_line
from .eyes import paint_eyes, paint_mouth
from .look import Look, linear
from .noise import field, smoothstep
from .texels import Texels

_CHEEK_L, _CHEEK_R = 280, 50
_BROW_HAIRS = 300


@dataclass(frozen=True)
class Paint:
    """Textures [R, R, ...] float32 over the head's uv map."""

    albedo: np.ndarray
    """[R, R, 3] linear."""
    slope: np.ndarray
    """[R, R, 3]: gradient of the fine relief along the unposed surface."""
    gloss: np.ndarray
    """[R, R, 2]: strength of the highlight, and its sharpness (0 broad to 1 wet)."""


class _Mix:
    """Colours [n, 3] that layers are laid over."""

    def __init__(self, count: int, color: tuple[float, float, float]) -> None:
        self.color = np.tile(np.array(color, np.float32), (count, 1))

    def lay(self, cover: np.ndarray, color: tuple[float, ...] | np.ndarray) -> None:
        self.color += cover[:, None] * (np.asarray(color, np.float32) - self.color)

    def tint(self, amount: np.ndarray, factor: tuple[float, float, float]) -> None:
        self.color *= np.exp(amount[:, None] * np.log(np.array(factor, np.float32)))


def paint_head(texels: Texels, look: Look, rng: np.random.Generator) -> Paint:
    """All that is painted on the head itself."""
    points = landmark_points(texels.head)
    p = texels.position
    front = smoothstep(0.02, 0.05, p[:, 2]) * (1 - texels.region("mouth_interior", "eyeball_l", "eyeball_r"))
    mix = _Mix(len(p), look.skin)
    _complexion(mix, texels, points, look, rng)
    _beard(mix, texels, points, look, rng)
    lips = _lips(mix, p, points, look, rng) * front
    _brows(mix, p, points, look, rng, front)
    _lashes(mix, p, points, front, texels)
    scalp = texels.region("scalp")
    ragged = scalp + 0.15 * field(p, 0.010, rng) + 0.20 * field(p * (1.0, 0.15, 0.4), 0.0015, rng)
    mix.lay(0.85 * smoothstep(0.45, 1.05, ragged) * smoothstep(0.1, 0.4, scalp), np.array(look.hair) * 0.8)
    height = _relief(p, lips, rng) * (1 - scalp)
    oily = np.exp(-(((p[:, 0] / 0.022) ** 2) + ((p[:, 1] - 0.02) / 0.06) ** 2)) * front
    gloss = np.stack([0.8 + 0.5 * oily + 0.8 * lips - 0.5 * scalp, 0.12 + 0.1 * oily + 0.25 * lips], 1)
    gloss *= np.clip(1 + 0.12 * field(p, 0.0015, rng), 0.3, 2)[:, None]
    paint_eyes(mix.color, gloss, texels, look, rng)
    paint_mouth(mix.color, gloss, texels)
    albedo = linear(np.clip(mix.color, 0.01, 1))
    slope = texels.slope(height) * (1 - texels.region("eyeball_l", "eyeball_r"))[:, None]
    images = (texels.image(np.ascontiguousarray(x.astype(np.float32))) for x in (albedo, slope, gloss))
    return Paint(*images)


def _complexion(mix: _Mix, texels: Texels, points: np.ndarray, look: Look, rng: np.random.Generator) -> None:
    p = texels.position
    pale = 1 - 0.7 * look.melanin
    mix.tint(0.035 * field(p, 0.030, rng, 2), (1.25, 1.12, 1.02))
    mix.tint(0.05 * field(p, 0.007, rng, 3), (1.3, 1.15, 1.1))
    mix.tint(0.05 * field(p, 0.0016, rng), (1.2, 1.2, 1.2))
    red = 0.55 * (_blob(p, points[_CHEEK_L], 0.020) + _blob(p, points[_CHEEK_R], 0.020))
    red += 0.5 * _blob(p, points[4], 0.012) + 0.3 * _blob(p, points[mesh.CHIN], 0.016)
    red += 0.5 * texels.region("ears") + 0.35 * texels.region("eyelids")
    mix.tint(red * pale * (1 + 0.3 * field(p, 0.006, rng)), (1.0, 0.82, 0.80))
    under = sum(_blob(p, points[i] - [0, 0.007, 0], 0.010) for i in (145, 374))
    mix.tint(0.5 * np.asarray(under), (0.86, 0.84, 0.90))
    freckles = smoothstep(1.6, 2.4, field(p, 0.0022, rng)) * pale * np.clip(red, 0.15, 0.6)
    mix.tint(0.9 * freckles, (0.75, 0.62, 0.52))
    for _ in range(4):
        spot = p[rng.integers(len(p))]
        mix.lay(0.7 * _blob(p, spot, 0.0009), np.array(look.skin) * (0.45, 0.33, 0.28))


def _blob(p: np.ndarray, center: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-((p - center.astype(np.float32)) ** 2).sum(1) / (2 * sigma * sigma))


def _beard(mix: _Mix, texels: Texels, points: np.ndarray, look: Look, rng: np.random.Generator) -> None:
    if look.beard <= 0:
        return
    p = texels.position
    mouth = points[[13, 14]].mean(0)
    low = smoothstep(mouth[1] + 0.030, mouth[1] + 0.004, p[:, 1] - 0.55 * np.abs(p[:, 0]))
    off_lips = smoothstep(0.012, 0.020, np.hypot((p[:, 0] - mouth[0]) * 0.42, p[:, 1] - mouth[1]))
    cover = (
        low
        * off_lips
        * np.clip(texels.region("face") + 0.8 * _blob(p, points[mesh.CHIN] - [0, 0.02, 0.02], 0.03), 0, 1)
    )
    grain = np.clip(0.7 + 0.25 * field(p, 0.0010, rng), 0, 1)
    mix.lay(0.45 * look.beard * cover * grain, np.array(look.hair) * 0.7 + 0.06)


def _lips(mix: _Mix, p: np.ndarray, points: np.ndarray, look: Look, rng: np.random.Generator) -> np.ndarray:
    outer = smooth_line(points[list(mesh.LIPS_OUTER)], 120, closed=True)
    cover = Canvas().polygon(outer).blur(0.0008).at(p) * smoothstep(0.05, 0.08, p[:, 2])
    creases = field(p * (1.0, 0.12, 0.12), 0.0012, rng)
    tone = (
        np.array(look.skin) * (0.93, 0.62, 0.62) * (1 - look.makeup)
        + np.array(look.skin) * (0.85, 0.42, 0.44) * look.makeup
    )
    mix.lay(0.85 * cover, tone)
    mix.tint(0.10 * cover * creases, (1.2, 1.15, 1.15))
    seam = Canvas().line(smooth_line(points[list(mesh.LIPS_INNER[:11])], 60), 0.0008).blur(0.0006).at(p)
    mix.tint(0.6 * seam, (0.75, 0.6, 0.6))
    return cover


def _brows(
    mix: _Mix, p: np.ndarray, points: np.ndarray, look: Look, rng: np.random.Generator, front: np.ndarray
) -> None:
    shade, hairs = Canvas(), Canvas()
    for ring, side in ((mesh.BROW_L, 1.0), (mesh.BROW_R, -1.0)):
        lower = smooth_line(points[list(ring[:5])], 60)[::-1]  # from the nose outwards
        upper = smooth_line(points[list(ring[:4:-1])], 60)[::-1]
        middle, half = (lower + upper) / 2, (upper - lower) / 2
        along = np.linspace(0, 1, 60)
        half = half * (0.75 * np.minimum(1, (1.02 - along) * 2.2))[:, None]
        shade.polygon(np.concatenate([middle + 0.8 * half, (middle - 0.8 * half)[::-1]]))
        for _ in range(_BROW_HAIRS):
            t, across = rng.uniform(0, 1), rng.uniform(-1, 1)
            i = int(t * 59)
            root = middle[i] + across * half[i]
            tangent = middle[min(i + 3, 59)] - middle[max(i - 3, 0)]
            angle = np.arctan2(tangent[1], tangent[0] * side) + (0.9 - 1.1 * t) - 0.35 * across + rng.normal(0, 0.12)
            length = rng.uniform(0.005, 0.009) * (0.7 + 0.3 * (1 - t))
            half_hair = length / 2 * np.array([side * np.cos(angle), np.sin(angle)])
            start, bend, tip = root[:2] - half_hair, root[:2] - np.array([0, 0.0004 * t]), root[:2] + half_hair
            hairs.line(np.stack([start, bend, tip]), 0.0003, rng.uniform(0.6, 1.0))
    dark = np.array(look.hair) * 0.75
    mix.lay(0.45 * shade.blur(0.0018).at(p) * front, dark)
    mix.lay(0.80 * hairs.blur(0.00015).at(p) * front, dark)


def _lashes(mix: _Mix, p: np.ndarray, points: np.ndarray, front: np.ndarray, texels: Texels) -> None:
    upper, lower, crease = Canvas(), Canvas(), Canvas()
    for ring in (mesh.EYE_L, mesh.EYE_R):
        top = smooth_line(points[[ring[0], *ring[:8:-1], ring[8]]], 40)
        upper.line(top, 0.0014)
        lower.line(smooth_line(points[list(ring[:9])], 40), 0.0007)
        crease.line(top[4:-4] + np.array([0, 0.0038, 0]), 0.0010)
    lid = front * texels.region("eyelids")
    mix.lay(0.90 * lid * upper.blur(0.0003).at(p), (0.05, 0.035, 0.03))
    mix.lay(0.40 * lid * lower.blur(0.0003).at(p), (0.16, 0.09, 0.08))
    mix.tint(0.6 * lid * crease.blur(0.0008).at(p), (0.72, 0.62, 0.60))


def _relief(p: np.ndarray, lips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Height [n] m of pores, fine lines and the lips' creases."""
    pores = -6e-5 * smoothstep(0.6, 1.8, field(p, 0.0011, rng))
    lines = 4e-5 * field(p, 0.0045, rng, 2)
    creases = 1.0e-4 * lips * field(p * (1.0, 0.15, 0.15), 0.0016, rng)
    return (1 - lips) * (pores + lines) + creases
