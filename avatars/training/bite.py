"""Where a person's teeth are, from the frames that show them.

Landmarks say where lips are and nothing about what is behind them. How far teeth reach below the lip differs by
millimetres between people, and splats of teeth that hang into an open mouth learn to be its darkness: no other opening
looks right then. In an open mouth teeth are bright and without colour, the gap below them is not (Otsu 1979, "A
Threshold Selection Method from Gray-Level Histograms", tells them apart frame by frame, as lips cast shade). The upper
row is put where its edge parts the two best in the median frame, and takes the lower one and the tongue along.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from ..capture import faces
from ..data import Clip, Track
from ..heads.head import Head, HeadModel
from ..raster.mesh import rasterize_mesh
from ..splats.interior import TEETH
from ..splats.model import Pose
from ..splats.seeding import screen

_MOST = 60
"""Frames looked at."""
_OPEN, _FEW = 0.12, 5
"""Opening, as a share of the mouth's width, from which a frame tells, and how many frames must."""
_HEIGHTS = np.arange(-3.0, 8.01, 0.5) / 1000
"""m by which the upper row is tried raised."""
_HIGHEST = (-0.002, 0.005)
"""m by which it may be raised."""
_LOWER = np.arange(-8.0, 8.01, 0.5) / 1000
"""m by which the lower one is, frame by frame, while the upper one is judged: the jaw's share in an opening of the lips
is uncertain."""
_FINE = 3
"""Sub-pixels per pixel and axis."""
_DARK, _BRIGHT, _CONTRAST, _APART = 5, 97, 0.25, 0.4
"""Percentiles of `_whiteness` that are gap and teeth, how far apart they must be to tell, and the share of this by
which the two kinds of pixels of one frame must differ.
"""
_MARGIN = 60
"""px around a mouth's opening in which teeth are drawn."""


@dataclass
class _Mouth:
    """One open mouth: [h, w] evidence for teeth (+.5) or against (-.5), 0 outside the lips; where, in sub-pixels, the
    upper row ends and the lower begins in each of some columns [c]; sub-pixels per m."""

    evidence: np.ndarray
    columns: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    per_metre: float


def seat_teeth(head: Head, clip: Clip, track: Track, rows: np.ndarray) -> Head:
    """The head with teeth and tongue raised or lowered to where this person has them.

    Args:
        head: personal head; returned as it is where it has no teeth or the footage does not show any.
        track: poses of that head.
        rows: of the track, that may be looked at.
    """
    if any(name not in head.regions for name in TEETH):
        return head
    height = raised_by(head, clip, track, rows)
    template = head.template.copy()
    moved = np.logical_or.reduce([head.regions[name] for name in (*TEETH, "tongue") if name in head.regions])
    template[moved, 1] += height
    return replace(head, template=template)


def raised_by(head: Head, clip: Clip, track: Track, rows: np.ndarray) -> float:
    """m by which the upper row has to be raised; 0 where it cannot be told."""
    points = np.asarray(clip.landmarks)[track.frame[rows], :, :2]
    upper, lower, left, right = (points[:, k] for k in (13, 14, 78, 308))
    wide = np.linalg.norm(upper - lower, axis=1) > _OPEN * np.linalg.norm(left - right, axis=1)
    told = rows[wide]
    if len(told) < _FEW:
        return 0.0
    told = told[np.linspace(0, len(told) - 1, min(_MOST, len(told))).astype(int)]
    pictures = [_opening(clip, int(track.frame[row])) for row in told]
    shown = np.concatenate([white[inside] for white, inside, _ in pictures])
    if len(shown) < 100:
        return 0.0
    dark, bright = np.percentile(shown, [_DARK, _BRIGHT])
    if bright - dark < _CONTRAST:
        return 0.0
    body, best = HeadModel(head), []
    for row, (white, inside, corner) in zip(told, pictures, strict=True):
        threshold, apart = _parted(white[inside])
        if apart < _APART * (bright - dark):
            continue
        evidence = np.where(inside, ((white - threshold) / (bright - dark)).clip(-0.5, 0.5), 0)
        mouth = _teeth(head, body, track, int(row), evidence, corner)
        if len(mouth.columns):
            best.append(_HEIGHTS[_score(mouth).argmax()])
    return float(np.median(best).clip(*_HIGHEST)) if len(best) >= _FEW else 0.0


def _parted(values: np.ndarray) -> tuple[float, float]:
    """(threshold between two kinds of values [n] that explains most of their variance, difference of their means)."""
    if len(values) < 2:
        return 0.0, 0.0
    ranked = np.sort(values.astype(float))
    below, total = np.arange(1, len(ranked)), ranked.cumsum()
    above = len(ranked) - below
    low, high = total[:-1] / below, (total[-1] - total[:-1]) / above
    k = int((below * above * (high - low) ** 2).argmax())
    return float(low[k] + high[k]) / 2, float(high[k] - low[k])


def _opening(clip: Clip, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(`_whiteness` [h, w], [h, w] bool between the lips, [2] px of the picture's corner) around one mouth."""
    rim = np.asarray(clip.landmarks)[frame, list(faces.LIPS_INNER), :2]
    width, height = clip.size
    x0, y0 = np.clip(np.floor(rim.min(0) - 2), 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(np.ceil(rim.max(0) + 3), (x0 + 1, y0 + 1), (width, height)).astype(int)
    picture = np.asarray(clip.frames[frame])[y0:y1, x0:x1].astype(np.float32) / 255
    picture = cv2.resize(picture, None, fx=_FINE, fy=_FINE, interpolation=cv2.INTER_LINEAR)
    inside = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(inside, [((rim - (x0, y0)) * _FINE).astype(np.int32)], [1])
    inside = cv2.erode(inside, np.ones((_FINE + 2, _FINE + 2), np.uint8))
    return _whiteness(picture), inside > 0, np.array([x0, y0])


def _whiteness(picture: np.ndarray) -> np.ndarray:
    """[h, w]: bright without colour; the tongue is bright, too, but red."""
    return 2 * picture.min(2) - picture.max(2)


def _teeth(head: Head, body: HeadModel, track: Track, row: int, evidence: np.ndarray, corner: np.ndarray) -> _Mouth:
    """One row's mouth, with where the track and the head as it is put the teeth in its picture."""
    pose = Pose.of_track(track, [row])
    posed = body.pose(
        pose.expression, pose.rotation, pose.translation, pose.torso_rotation, pose.torso_translation
    )[0].numpy().astype(float)  # fmt: skip
    teeth = head.regions["teeth_upper"]
    rest, now = (v[teeth].astype(float) - v[teeth].mean(0) for v in (head.template, posed))
    up = Rotation.align_vectors(now, rest)[0].apply([0.0, 1.0, 0.0])
    ends = screen(np.stack([posed[teeth].mean(0), posed[teeth].mean(0) + 0.01 * up]), track.camera)
    at = screen(posed, track.camera)
    at[:, :2] = (at[:, :2] - corner + (0, _MARGIN)) * _FINE
    h, w = evidence.shape
    tall = h + 2 * _MARGIN * _FINE
    drawn = [rasterize_mesh(at, head.faces[head.faces_of(name)], w, tall).face >= 0 for name in TEETH]
    columns = np.flatnonzero(drawn[0].any(0) & drawn[1].any(0))
    upper = tall - drawn[0][::-1, columns].argmax(0) - _MARGIN * _FINE
    lower = drawn[1][:, columns].argmax(0) - _MARGIN * _FINE
    return _Mouth(evidence, columns, upper, lower, float(ends[0, 1] - ends[1, 1]) * _FINE / 0.01)


def _score(mouth: _Mouth) -> np.ndarray:
    """[heights] how well each parts teeth from gap, mm2, the lower row wherever it suits this frame."""
    h, _ = mouth.evidence.shape
    summed = np.concatenate([np.zeros((1, mouth.evidence.shape[1])), mouth.evidence.cumsum(0)])[:, mouth.columns]
    each = np.arange(len(mouth.columns))

    def line(edge: np.ndarray, raised: float) -> np.ndarray:
        return np.rint(edge - raised * mouth.per_metre).astype(int).clip(0, h)

    out = np.empty(len(_HEIGHTS))
    for i, height in enumerate(_HEIGHTS):
        end = line(mouth.upper, height)
        rest = [summed[h] - summed[np.maximum(line(mouth.lower, low), end), each] for low in _LOWER]
        out[i] = summed[end, each].sum() + max(part.sum() for part in rest)
    return out * (1000 / mouth.per_metre) ** 2
