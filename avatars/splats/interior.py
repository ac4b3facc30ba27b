"""What the inside of a mouth looks like where footage has not shown it: teeth, gums, tongue, throat.

The white of teeth is that of the subject's eyes: a film's light and white balance tint both.
"""

from __future__ import annotations

import numpy as np

from ..heads.head import Head

TEETH = ("teeth_upper", "teeth_lower")
INTERIOR = ("mouth_interior", "tongue", *TEETH)
"""Regions inside the mouth."""
_FLESH = {"mouth_interior": (0.16, 0.07, 0.07), "tongue": (0.60, 0.32, 0.32)}
_GUM = (0.62, 0.34, 0.34)
"""Colours (sRGB)."""
_ENAMEL = np.array([0.99, 0.96, 0.90])
_WHITE = np.array([0.73, 0.71, 0.69])
"""Colour of teeth relative to the white of an eye; and that white where no eye is in the picture."""
_ROOT, _ROUND, _FURROW, _FURROW_WIDTH = 0.55, 0.3, 0.25, 0.002
"""A tongue's shade: at its root, beside what it is at the tip; what its flanks and its middle line lose, in a width
(m)."""
_NECK, _BLEND = 0.66, 0.12
"""Share of a band's height at which teeth end and gums begin, and over which one turns into the other."""
_BRIGHT = 95
"""Percentile of the pixels of an eye that are its white."""


def eye_white(head: Head, screens: list[np.ndarray], images: list[np.ndarray]) -> np.ndarray:
    """[3] sRGB of the brightest pixels between the lids, over some frames.

    Args:
        screens: posed vertices [V, 3] each, (x px, y px, depth).
        images: [H, W, 3] uint8.
    """
    found = [np.zeros((0, 3))]
    for screen, image in zip(screens, images, strict=True):
        for name in ("eyeball_l", "eyeball_r"):
            x0, y0 = screen[head.regions[name], :2].min(0)
            x1, y1 = screen[head.regions[name], :2].max(0)
            middle, half = (y0 + y1) / 2, (y1 - y0) / 5  # what the lids leave open
            rows = slice(max(int(middle - half), 0), max(int(middle + half) + 1, 0))
            found.append(image[rows, max(int(x0), 0) : max(int(x1) + 1, 0)].reshape(-1, 3) / 255.0)
    pixels = np.concatenate(found)
    if not len(pixels):
        return _WHITE
    least = pixels.min(1)
    return pixels[least >= np.percentile(least, _BRIGHT)].mean(0)


def tongue_shade(head: Head, places: np.ndarray) -> np.ndarray:
    """[n] share of its light that reaches each of some places [n, 3] m of the tongue at rest: it is round and lies in
    the dark; flat colours would look like a cloth when it comes out.
    """
    tongue = head.template[head.regions["tongue"]]
    low, high = tongue.min(0), tongue.max(0)
    out = ((places[:, 2] - low[2]) / (high[2] - low[2])).clip(0, 1)
    aside = places[:, 0] - (low[0] + high[0]) / 2
    flank = (2 * aside / (high[0] - low[0])).clip(-1, 1) ** 2
    furrow = np.exp(-((aside / _FURROW_WIDTH) ** 2))
    return (_ROOT + (1 - _ROOT) * out) * (1 - _ROUND * flank) * (1 - _FURROW * furrow)


def interior_colors(head: Head, triangle: np.ndarray, barycentric: np.ndarray, white: np.ndarray) -> np.ndarray:
    """[N, 3] sRGB for splats on triangles [N] at barycentric [N, 3]; NaN outside the mouth.

    Args:
        white: [3] of the subject's eyes.
    """
    out = np.full((len(triangle), 3), np.nan)
    place = np.einsum("nc,nck->nk", barycentric, head.template[head.faces[triangle]])
    for name in INTERIOR:
        if name not in head.regions:
            continue
        inside = head.faces_of(name)[triangle]
        if name in _FLESH:
            out[inside] = _FLESH[name]
            if name == "tongue":
                out[inside] *= tongue_shade(head, place[inside])[:, None]
            continue
        low, high = head.template[head.regions[name], 1].min(), head.template[head.regions[name], 1].max()
        along = (place[inside, 1] - low) / (high - low)
        rooted = along if name == "teeth_upper" else 1 - along
        gum = ((rooted - _NECK) / _BLEND + 0.5).clip(0, 1)[:, None]
        out[inside] = (1 - gum) * (_ENAMEL * white) + gum * (np.array(_GUM) * white / white.max())
    return out
