"""How good a track is, and what to film again if it is poor: figures, coverage and advice in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from .. import geometry
from ..capture import faces
from ..data import Clip, Track
from ..heads.head import Head, HeadModel
from .camera import project
from .habit import Habit

REGIONS: dict[str, tuple[int, ...]] = {
    "lips": faces.LIPS,
    "lids": faces.EYE_L + faces.EYE_R,
    "irises": faces.IRIS_L + faces.IRIS_R,
    "brows": faces.BROWS,
}
"""Landmarks of each region; 'all' is every landmark that the head has."""
_CHUNK = 64
_SKULL = (*faces.NOSE_BRIDGE[:6], 10, 151, 9, 8, 109, 338, 108, 337)
"""Nose bridge and forehead: landmarks that skin hardly moves."""
_STILL = 0.25
"""Share of the frames, those with the slowest head, over which jitter is measured."""
_YAW_WANTED, _YAW_STEP = 25.0, 10.0
_PITCH_WANTED = 10.0
_RMSE_POOR, _JITTER_POOR = 2.0, 0.5
"""px at 512."""
_SECONDS_WANTED = 10.0
MOVES: dict[str, tuple[float, str]] = {
    "mouth opening": (12.0, "open the mouth wide a few times, say 'ah'"),
    "mouth widening": (5.0, "smile broadly, teeth showing"),
    "mouth narrowing": (4.0, "purse the lips, say 'oo'"),
    "brow raising": (4.0, "raise and lower the brows"),
    "eyes closing": (5.0, "blink now and then, and close the eyes once for a second"),
    "gaze sideways": (4.0, "look left and right without turning the head"),
    "gaze up and down": (2.0, "look up and down without moving the head"),
}
"""How far, in mm, each move should go in good footage, and what to do where it does not."""


def quality(track: Track, clip: Clip, head: Head) -> dict[str, Any]:
    """Figures of a track against the landmarks that it was fitted to.

    Args:
        track: poses of some frames of the clip.
        clip: footage, for its landmarks.
        head: the head of the track, with its identity basis or already made this person's.

    Returns:
        Plain values: `landmark_rmse_px` by region (at 512 px), `jitter_px` of a still head (at 512 px), `yaw_deg` and
        `pitch_deg` as [lowest, highest], `yaw_histogram` (frames per 10 degrees), `moves_mm` by name, `coverage` (share
        of what good footage shows, by name), `seconds`, `frames`, `advice` (sentences).
    """
    person = head.shape(track.identity) if len(head.identity_basis) else head
    points = landmark_points(track, person)
    scale = max(track.camera.width, track.camera.height) / 512.0
    pixels = _pixels(track, points)
    seen = clip.landmarks[track.frame, :, :2] * (track.camera.width / clip.size[0])
    error = np.linalg.norm(pixels - seen, axis=-1) / scale
    valid = np.isfinite(error).all(0)
    rmse = {"all": _rms(error[:, valid])}
    rmse |= {
        name: _rms(error[:, [i for i in rows if valid[i]]]) for name, rows in REGIONS.items() if valid[list(rows)].any()
    }
    yaw, pitch = _angles(track)
    # On the face itself: a nod moves what a detector sees of a mouth, not the mouth.
    moves = _moves(_in_head(track, landmark_points(track, person, detected=False)))
    out: dict[str, Any] = {
        "landmark_rmse_px": {name: round(value, 3) for name, value in rmse.items()},
        "jitter_px": round(_jitter(track, pixels) / scale, 3),
        "yaw_deg": _range(yaw),
        "pitch_deg": _range(pitch),
        "yaw_histogram": _histogram(yaw),
        "moves_mm": {name: round(value, 2) for name, value in moves.items()},
        "coverage": {name: round(min(1.0, max(0.0, value) / MOVES[name][0]), 3) for name, value in moves.items()},
        "seconds": round(float(np.ptp(track.times)), 2),
        "frames": len(track.frame),
    }
    return out | {"advice": _advice(out, clip)}


def landmark_points(track: Track, head: Head, detected: bool = True) -> np.ndarray:
    """Posed landmarks [T, 478, 3] m in camera coordinates, NaN where the head has none.

    Args:
        head: made this person's.
        detected: where a detector sees them: its habit and the track's landmark offsets move each landmark in the
            head's rest coordinates, hence turn with its joints. Otherwise on the face itself.
    """
    model = HeadModel(head)
    weights = (model.skinning[model.landmark_corners] * model.landmark_barycentric[..., None]).sum(1)
    habit = Habit.of(head) if detected else None
    out = np.empty((len(track.frame), len(track.landmark_offsets), 3), np.float32)
    for first in range(0, len(out), _CHUNK):
        rows = slice(first, first + _CHUNK)
        turns = [geometry.matrix_from_rotvec(_tensor(getattr(track, n)[rows])) for n in ("rotation", "torso_rotation")]
        expression, place = _tensor(track.expression[rows]), _tensor(track.translation[rows])
        pose = (expression, turns[0], place, turns[1], _tensor(track.torso_translation[rows]))
        points = model.landmarks(model.pose(*pose))
        if habit:
            moves = habit.moves(track.expression[rows], turns[0].numpy(), track.translation[rows])
            offsets = _tensor(track.landmark_offsets + moves)
            bones = torch.einsum("lj,bjxy->blxy", weights, model.transforms(*pose)[:, :, :3, :3])
            points = points + (bones @ offsets[..., None])[..., 0]
        out[rows] = points.numpy()
    return out


def _tensor(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(value, np.float32))


def _pixels(track: Track, points: np.ndarray) -> np.ndarray:
    camera = track.camera
    return project(points.astype(float), camera.fx, np.array([camera.cx, camera.cy]))


def _in_head(track: Track, points: np.ndarray) -> np.ndarray:
    """Landmarks [T, 478, 3] m in head coordinates: what the face does besides moving as a whole."""
    rotation = Rotation.from_rotvec(track.rotation).as_matrix()
    return np.einsum("tji,tlj->tli", rotation, points - track.translation[:, None])


def _rms(error: np.ndarray) -> float:
    return float(np.sqrt((error**2).mean()))


def _angles(track: Track) -> tuple[np.ndarray, np.ndarray]:
    """Yaw (positive towards the picture's right) and pitch (positive upwards) of the face, degrees, [T] each."""
    looks = Rotation.from_rotvec(track.rotation).as_matrix()[:, :, 2]
    return np.degrees(np.arctan2(looks[:, 0], -looks[:, 2])), np.degrees(np.arcsin(np.clip(-looks[:, 1], -1, 1)))


def _range(angle: np.ndarray) -> list[float]:
    return [round(float(np.percentile(angle, q)), 1) for q in (1, 99)]


def _histogram(yaw: np.ndarray) -> dict[str, int]:
    edges = np.arange(-45.0, 45.1, _YAW_STEP)
    counts, _ = np.histogram(np.clip(yaw, -44.9, 44.9), edges)
    return {f"{low + _YAW_STEP / 2:+.0f}": int(n) for low, n in zip(edges[:-1], counts, strict=True)}


def _jitter(track: Track, pixels: np.ndarray) -> float:
    """Standard deviation, px, of skull landmarks about a smooth path while the head hardly moves.

    White noise of deviation s has second differences of deviation s * sqrt(6).
    """
    skull = [i for i in _SKULL if np.isfinite(pixels[:, i]).all()]
    if len(pixels) < 8 or not skull:
        return 0.0
    path = pixels[:, skull]
    bend = path[2:] - 2 * path[1:-1] + path[:-2]
    step = np.diff(track.times)
    even = (step[1:] < 1.6 * np.median(step)) & (step[:-1] < 1.6 * np.median(step))
    speed = np.linalg.norm(path[2:] - path[:-2], axis=-1).mean(1)
    if not even.any():
        return 0.0
    slow = even & (speed <= np.quantile(speed[even], _STILL))
    return float(np.sqrt((bend[slow] ** 2).mean() / 6.0))


def _moves(points: np.ndarray) -> dict[str, float]:
    """How far the face went, mm, by the names of `MOVES`; points [T, 478, 3] m in head coordinates."""

    def far(a: int, b: int) -> np.ndarray:
        return np.linalg.norm(points[:, a] - points[:, b], axis=-1) * 1000

    def reach(x: np.ndarray, up: float = 98, down: float = 2) -> float:
        return float(np.percentile(x, up) - np.percentile(x, down))

    width = far(faces.MOUTH_R, faces.MOUTH_L)
    brows = points[:, list(faces.BROWS), 1].mean(1) * 1000
    lids = (far(159, 145) + far(386, 374)) / 2
    sight = (points[:, [faces.IRIS_R[0], faces.IRIS_L[0]]]).mean(1) * 1000
    return {
        "mouth opening": reach(far(13, 14)),
        "mouth widening": reach(width, 98, 50),
        "mouth narrowing": reach(width, 50, 2),
        "brow raising": reach(brows),
        # A blink is short: two in a hundred frames must not hide it.
        "eyes closing": reach(lids, 90, 0),
        "gaze sideways": reach(sight[:, 0]),
        "gaze up and down": reach(sight[:, 1]),
    }


def _advice(found: dict[str, Any], clip: Clip) -> list[str]:
    """What to film again, most important first; empty for good footage."""
    out = [f"The footage is {line}." for line in clip.source.get("quality", {}).get("advice", [])]
    if found["landmark_rmse_px"]["all"] > _RMSE_POOR:
        out.append("The landmarks fit poorly: film with the whole face uncovered, in even light.")
    if found["jitter_px"] > _JITTER_POOR:
        out.append("The face trembles in the track: put the camera on something firm and add light.")
    left, right = -found["yaw_deg"][0], found["yaw_deg"][1]
    missing = [side for side, angle in (("left", left), ("right", right)) if angle < _YAW_WANTED]
    if missing:
        sides = " and ".join(missing)
        out.append(
            f"The head turns {max(left, 0):.0f}° to the picture's left and {max(right, 0):.0f}° to its right: "
            f"turn slowly to {sides} by {_YAW_WANTED:.0f}° or more, or side views are guesswork."
        )
    if np.ptp(found["pitch_deg"]) < _PITCH_WANTED:
        out.append("The head hardly nods: lift and lower the chin slowly once.")
    for name, (_, what) in MOVES.items():
        if found["coverage"].get(name, 1.0) < 0.5:
            out.append(f"Little {name} was seen ({found['moves_mm'][name]:.0f} mm): {what}.")
    if found["seconds"] < _SECONDS_WANTED:
        out.append(f"Only {found['seconds']:.0f} s are usable: 10 to 60 s give a better avatar.")
    return out
