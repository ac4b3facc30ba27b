"""How good the footage is: light and sharpness of the face, and what to film differently."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

BLURRED = "blurred"
_SIDE = 128
"""px: faces are brought to this size before sharpness is measured, so that it does not depend on theirs."""
_BLUR = 0.2
"""A frame this much less sharp than the clip's typical one is not used."""
_SOFT = 45.0
"""Typical sharpness below which the whole clip is soft (measured: good clips 250 to 1000, blurred by 3 px 30 to 80)."""
_DARK, _BRIGHT = 50.0, 215.0
"""Typical grey level of the face."""
_FLUCTUATION = 25.0
_SMALL = 128.0
"""px of the working clip: faces below show little detail."""


def measure(image: np.ndarray, points: np.ndarray) -> tuple[float, float]:
    """(sharpness, mean grey level) of the face at `points` [478, 3] px in an [H, W, 3] uint8 image.

    Sharpness is the variance of the Laplacian of the face scaled to 128 px (Pech-Pacheco et al. 2000).
    """
    height, width = image.shape[:2]
    low = np.clip(points[:, :2].min(0), 0, [width - 2, height - 2]).astype(int)
    high = np.clip(np.ceil(points[:, :2].max(0)).astype(int), low + 2, [width, height])
    face = cv2.cvtColor(image[low[1] : high[1], low[0] : high[0]], cv2.COLOR_RGB2GRAY)
    scale = _SIDE / max(face.shape)
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return float(cv2.Laplacian(small, cv2.CV_32F).var()), float(face.mean())


def blurred(sharpness: np.ndarray) -> np.ndarray:
    """[T] bool of [T] sharpness (NaN where there is no face): far below the clip's typical frame."""
    known = sharpness[np.isfinite(sharpness)]
    return sharpness < _BLUR * np.median(known) if len(known) else np.zeros(len(sharpness), bool)


def assess(sharpness: np.ndarray, brightness: np.ndarray, face_size: float, used: np.ndarray) -> dict[str, Any]:
    """Figures of a clip and advice in words.

    Args:
        sharpness: [T], NaN where there is no face.
        brightness: [T] grey level of the face, NaN where there is none.
        face_size: typical size of the face in the working clip, px.
        used: [T] bool.
    """
    sharp, bright = float(np.nanmedian(sharpness)), float(np.nanmedian(brightness))
    spread = float(np.nanpercentile(brightness, 95) - np.nanpercentile(brightness, 5))
    advice = []
    if bright < _DARK:
        advice.append("dark: turn to a window or add light from the front")
    if bright > _BRIGHT:
        advice.append("overexposed: lower the exposure until the skin keeps its colour")
    if spread > _FLUCTUATION:
        advice.append("the light changes: lock the exposure and keep out of moving shadows")
    if sharp < _SOFT:
        advice.append("blurred: clean the lens, lock the focus on the face, hold the camera still")
    if face_size < _SMALL:
        advice.append("the face is small: come closer, so that it fills a third of the picture")
    return {
        "sharpness": round(sharp, 2),
        "brightness": round(bright, 1),
        "brightness_spread": round(spread, 1),
        "face_size_px": round(face_size, 1),
        "used_fraction": round(float(used.mean()), 4),
        "advice": advice,
    }
