"""Colour that is not sRGB: HDR transfer curves and wide gamuts, brought to 8-bit sRGB.

Phones record HLG with BT.2020 primaries by default. HLG and PQ: ITU-R BT.2100; the white that SDR shows as 255 is
203 cd/m2, as ITU-R BT.2408 advises; what is brighter is rolled off smoothly instead of being cut.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

BT709, BT2020, DISPLAY_P3 = 1, 9, 12
"""Colour primaries, by the numbers of ITU-T H.273."""
PQ, HLG = 16, 18
"""Transfer characteristics, by the numbers of ITU-T H.273."""
_WHITE = 203.0
_HLG_PEAK = 1000.0
_PQ_PEAK = 1000.0
"""cd/m2; phones and cameras grade to about this, and what is brighter becomes white."""
_KNEE = 0.8
"""Of SDR white: below it tones pass unchanged."""
_XY = {  # chromaticities of red, green, blue; white is D65 for all
    BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    DISPLAY_P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_D65 = (0.3127, 0.3290)


def needs_conversion(transfer: int, primaries: int) -> bool:
    """Whether `to_srgb` would change anything."""
    return transfer in (PQ, HLG) or (primaries != BT709 and primaries in _XY)


def to_srgb(rgb: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """Convert [H, W, 3] uint16 full-range R'G'B' (65535 = 1) of the given transfer and primaries to uint8 sRGB."""
    linear = _decode_table(transfer)[rgb]
    if transfer == HLG:  # the reference display's gamma acts on luminance (BT.2100, table 5)
        luminance = linear @ _luminance(primaries)
        linear *= (np.maximum(luminance, 1e-6) ** 0.2)[..., None] * np.float32(_HLG_PEAK / _WHITE)
    if primaries != BT709 and primaries in _XY:
        linear = linear @ _to_bt709(primaries).T
        # Colours outside sRGB are drawn towards grey just enough to fit, rather than shifted in hue.
        low = linear.min(-1, keepdims=True)
        grey = linear @ _luminance(BT709)[:, None]
        linear = np.where(low < 0, grey + (linear - grey) * (grey / np.maximum(grey - low, 1e-6)), linear)
    if transfer in (PQ, HLG):
        linear = _roll_off(linear)
    return _encode_table()[(np.clip(linear, 0, 1) * 4095 + 0.5).astype(np.uint16)]


def _roll_off(linear: np.ndarray) -> np.ndarray:
    """Keep tones below the knee; let brighter ones approach white with equal slope, without change of hue."""
    peak = linear.max(-1, keepdims=True)
    room = 1 - _KNEE
    target = np.where(peak > _KNEE, _KNEE + room * (1 - np.exp(-(peak - _KNEE) / room)), peak)
    return linear * (target / np.maximum(peak, 1e-6))


@lru_cache
def _decode_table(transfer: int) -> np.ndarray:
    """[65536] float32: linear light of each code; HLG scene light in [0, 1], PQ in units of SDR white."""
    v = np.linspace(0, 1, 65536)
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        linear = np.where(v <= 0.5, v * v / 3, (np.exp((v - c) / a) + b) / 12)
    elif transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        p = v ** (1 / m2)
        nits = 10000 * (np.maximum(p - c1, 0) / (c2 - c3 * p)) ** (1 / m1)
        linear = np.minimum(nits, _PQ_PEAK) / _WHITE
    else:  # SDR video is viewed as sRGB
        linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


@lru_cache
def _encode_table() -> np.ndarray:
    """[4096] uint8: sRGB code of linear light."""
    x = np.linspace(0, 1, 4096)
    v = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)
    return (v * 255 + 0.5).astype(np.uint8)


def _xyz(primaries: int) -> np.ndarray:
    """[3, 3]: CIE XYZ from linear RGB (SMPTE RP 177)."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in _XY[primaries]]).T
    wx, wy = _D65
    white = np.array([wx / wy, 1, (1 - wx - wy) / wy])
    return columns * np.linalg.solve(columns, white)


def _luminance(primaries: int) -> np.ndarray:
    """[3] float32 weights of luminance."""
    return _xyz(primaries if primaries in _XY else BT709)[1].astype(np.float32)


@lru_cache
def _to_bt709(primaries: int) -> np.ndarray:
    """[3, 3] float32: linear sRGB from linear RGB of other primaries."""
    return (np.linalg.inv(_xyz(BT709)) @ _xyz(primaries)).astype(np.float32)
