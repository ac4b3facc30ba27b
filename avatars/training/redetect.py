"""Does a viewer see the same face? Landmarks found anew on rendered and on captured frames, and how far they are apart.

Pixels can agree while an eye stays open: these figures look at lips, lids and irises with the detector's eyes. It reads
the same frame with one grey level of noise 0.15 px apart, and softened by a sigma of 1 px 0.4 px apart, which is as
near to zero as a figure gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from torch import Tensor

from ..capture import faces
from ..data import Camera
from ..splats.model import AvatarModel, Pose
from ..tracking.report import REGIONS as _REGIONS
from .evaluate import render_row
from .frames import FrameStore

REGIONS: dict[str, tuple[int, ...]] = {name: _REGIONS[name] for name in ("lips", "lids", "irises")}
"""Landmarks of each region that has a figure of its own."""
_LIDS = (((159, 145), (158, 153), (160, 144), (33, 133)), ((386, 374), (385, 380), (387, 373), (263, 362)))
"""For each eye three pairs of upper and lower lid, and its corners."""
_FEW = 8
"""Frames under which a correlation says nothing."""
_INNER_LIPS = ((13, 14), (82, 87), (312, 317))
_SCALE = ((33, 263), (168, 152))
"""Outer corners of the eyes, and nose bridge to chin: what a mouth's opening is measured in."""


def detect(images: Iterable[np.ndarray]) -> np.ndarray:
    """Landmarks [T, 478, 2] px of images [H, W, 3] uint8, each on its own; NaN where no face was found."""
    with faces.FaceMesh(static=True) as mesh:
        found = [mesh.detect(np.ascontiguousarray(image)) for image in images]
    nothing = np.full((478, 2), np.nan)
    return np.array([one[0, :, :2] if len(one) else nothing for one in found]).reshape(len(found), 478, 2)


def captured_landmarks(store: FrameStore, rows: np.ndarray) -> np.ndarray:
    """[T, 478, 2] px found on captured frames, over the background that they are supervised with."""
    return detect(_picture(store.get(int(row), 0).image) for row in rows)


def rendered_landmarks(
    model: AvatarModel,
    store: FrameStore,
    camera: Camera,
    poses: Pose,
    rows: np.ndarray,
) -> np.ndarray:
    """[T, 478, 2] px found on renderings of some rows, posed by `poses` (one per row, in order)."""
    return detect(_picture(render_row(model, store, camera, poses[i], int(row))) for i, row in enumerate(rows))


def _picture(image: Tensor) -> np.ndarray:
    """[1, 3, H, W] in [0, 1] -> [H, W, 3] uint8."""
    return (image[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def redetect(
    model: AvatarModel,
    store: FrameStore,
    camera: Camera,
    protocols: dict[str, Pose],
    rows: np.ndarray,
    progress: Callable[[float], None] | None = None,
) -> dict[str, float]:
    """`figures` of some rows under several protocols.

    Args:
        protocols: poses of the rows, in order, by the prefix that the names of their figures get.
        rows: of the store.
        progress: called with the share done.
    """
    say = progress or (lambda share: None)
    captured, out = captured_landmarks(store, rows), {}
    for k, (prefix, poses) in enumerate(protocols.items()):
        say((k + 1) / (len(protocols) + 1))
        rendered = rendered_landmarks(model, store, camera, poses, rows)
        out |= {prefix + name: value for name, value in figures(rendered, captured, max(store.sizes[0])).items()}
    return out


def figures(rendered: np.ndarray, captured: np.ndarray, longest: int) -> dict[str, float]:
    """How two faces differ, from landmarks [T, 478, 2] px of the same frames.

    Args:
        longest: longer side of the pictures, px; distances are given as if it were 512.

    Returns:
        `redetected_px` (mean distance over all landmarks) and `redetected_px_lips`, `_lids`, `_irises`;
        `lid_correlation` (of each eye's aperture in eye widths, mean of both), `mouth_correlation` (of the opening);
        `lid_ratio` and `mouth_ratio` (spread of the rendered aperture over that of the captured one: 1 if lids and lips
        move as far as they should); `redetected_share` of frames in which a face was found. Figures that the frames
        do not determine are left out.
    """
    good = np.isfinite(rendered).all((1, 2)) & np.isfinite(captured).all((1, 2))
    out = {"redetected_share": float(good.mean()) if len(good) else 0.0}
    if not good.any():
        return out
    a, b = rendered[good], captured[good]
    apart = np.linalg.norm(a - b, axis=-1) * (512.0 / longest)
    out["redetected_px"] = float(apart.mean())
    out |= {f"redetected_px_{name}": float(apart[:, list(rows)].mean()) for name, rows in REGIONS.items()}
    for name, measure in (("lid", lid_apertures), ("mouth", mouth_openings)):
        drawn, seen = measure(a), measure(b)
        if len(a) >= _FEW and (drawn.std(0) > 1e-9).all() and (seen.std(0) > 1e-9).all():
            each = [_correlation(x, y) for x, y in zip(drawn.T, seen.T, strict=True)]
            out[f"{name}_correlation"] = float(np.mean(each))
            out[f"{name}_ratio"] = float(np.mean(drawn.std(0) / seen.std(0)))
    return out


def lid_apertures(points: np.ndarray) -> np.ndarray:
    """[T, 2] distance of the lids over the width of the eye, right and left, from landmarks [T, 478, 2]."""
    return np.stack([np.mean([_gap(points, p) for p in pairs], 0) / _gap(points, ends) for *pairs, ends in _LIDS], 1)


def mouth_openings(points: np.ndarray) -> np.ndarray:
    """[T, 1] distance of the inner lips over the size of the face, from landmarks [T, 478, 2]."""
    size = np.sqrt(np.prod([_gap(points, pair) for pair in _SCALE], 0))
    return (np.mean([_gap(points, pair) for pair in _INNER_LIPS], 0) / size)[:, None]


def _gap(points: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    return np.linalg.norm(points[:, pair[0]] - points[:, pair[1]], axis=-1)


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float((x @ y) / np.sqrt((x @ x) * (y @ y)))
