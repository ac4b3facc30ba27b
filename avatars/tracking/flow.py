"""Where features of cloth and shoulders go, or of the room behind: sparse optical flow from one frame to all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..capture import faces
from ..capture.plate import clear_of
from ..data import Clip

_MIN_FEATURES = 12
_LEVELS = 2
"""Halvings of the picture in which what moves fast is found."""
_MOST_KEYS, _TRIED = 16, 3
"""Frames whose own features are followed, and how many of them are looked for where nothing was seen before."""
_FEATURES = 400, 120
"""Features of the reference, and of another such frame: every frame has a place for each."""
_AGAIN = 5
"""Frames after which earlier features are looked for again."""
_BACK, _CERTAIN = 1.0, 0.4
"""px within which a feature that is found again leads back, and share of a frame's features that must."""
_STILL = np.eye(2, 3)


@dataclass(frozen=True, eq=False)
class Flow:
    """N features below the chin over T frames, or of the room (see `feature_flow`)."""

    reference: int
    """The frame they were found in."""
    points: np.ndarray
    """[N, 2] px, there (by the similarity, of those that were found in another frame)."""
    places: np.ndarray
    """[T, N, 2] px, where each frame has them."""
    found: np.ndarray
    """[T, N] bool; nowhere, where they are of the room."""
    similar: np.ndarray
    """[T, 2, 3] similarity from the reference to each frame."""


@dataclass(frozen=True, eq=False)
class _Key:
    """A frame whose own features are followed."""

    row: int
    gray: np.ndarray
    points: np.ndarray
    """[n, 2] px."""
    matrix: np.ndarray
    """[2, 3] similarity from the reference to this frame."""
    first: int
    """Number of its first feature among all."""


@dataclass(frozen=True, eq=False)
class _Sight:
    """What one frame shows of a key's features: places [n, 2] px, which were found [n], similarity from the key."""

    key: _Key
    places: np.ndarray
    good: np.ndarray
    matrix: np.ndarray


def feature_flow(clip: Clip, rows: np.ndarray, progress: Callable[[float], None] = lambda share: None) -> Flow:
    """By pyramidal Lucas-Kanade: from frame to frame, so that a stripe is not taken for the next one, and then against
    the middle frame, so that nothing drifts.

    Who leans forward or sinks in the chair takes features out of the picture. Then those of the last frame that still
    had some are followed, and what was followed before is looked for again. Frames in which less than a dozen are seen
    lie between those before and after them. Where the middle frame shows none of cloth and the camera moves, the torso
    is taken to stand still in the room. A few pictures at a time are in memory.

    Args:
        rows: [T] indices of the clip's frames.
        progress: called with the share done.
    """
    flow = _flow(clip, rows, _on_cloth, progress)
    if len(flow.points) or clip.plate is not None:
        return flow
    room = _flow(clip, rows, _in_the_room, progress)
    return replace(room, found=np.zeros_like(room.found))


_Look = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""From a gray picture [H, W], its matte [H, W] and landmarks [478, 3] to a mask [H, W] uint8 of what to follow."""


def _flow(clip: Clip, rows: np.ndarray, look: _Look, progress: Callable[[float], None]) -> Flow:
    count, reference = len(rows), len(rows) // 2
    keys = [_key(clip, rows, reference, _STILL, 0, look)]
    sights: dict[int, _Sight] = {}
    if len(keys[0].points):
        sights[reference] = _Sight(keys[0], keys[0].points, np.ones(len(keys[0].points), bool), _STILL)
        forward, backward = range(reference + 1, count), range(reference - 1, -1, -1)
        _follow(clip, rows, forward, look, keys, sights, lambda done: progress(done / count))
        _follow(clip, rows, backward, look, keys, sights, lambda done: progress((count - reference + done) / count))
    total = sum(len(key.points) for key in keys)
    points = np.concatenate([_applied(_inverse(key.matrix), key.points) for key in keys]).astype(np.float32)
    places, found = np.tile(points, (count, 1, 1)), np.zeros((count, total), bool)
    similar = np.tile(_STILL, (count, 1, 1))
    for t, sight in sights.items():
        own = slice(sight.key.first, sight.key.first + len(sight.key.points))
        places[t, own], found[t, own] = sight.places, sight.good
        similar[t] = _chained(sight.matrix, sight.key.matrix)
    known = np.array(sorted(sights) or [reference])
    for row in range(2):
        for column in range(3):
            similar[:, row, column] = np.interp(np.arange(count), known, similar[known, row, column])
    return Flow(reference, points, places, found, similar)


def _follow(
    clip: Clip, rows: np.ndarray, order: range, look: _Look, keys: list[_Key], sights: dict[int, _Sight],
    progress: Callable[[float], None],
) -> None:  # fmt: skip
    """Follow the first key's features through frames in this order, adding to the keys and to the sights by frame."""
    key, before, last, seen = keys[0], keys[0].gray, keys[0].points, True
    for done, t in enumerate(order):
        progress(done)
        now = _gray(clip, rows[t])
        sight = _seen(key, now, last, before) if seen else None
        if sight is None:
            if seen and done and len(keys) < _MOST_KEYS:  # what the last frame shows of cloth goes on from here
                earlier = sights[t - order.step]
                fresh = _key(clip, rows, t - order.step, _chained(earlier.matrix, key.matrix), _end(keys), look)
                sight = _seen(fresh, now, fresh.points, before) if len(fresh.points) else None
                if sight is not None:
                    keys.append(fresh)
            sight = sight or _found_again(clip, rows, t, keys, now)
        elif key is not keys[0] and t % _AGAIN == 0:  # the fewer steps from the reference, the less drift
            sight = _found_again(clip, rows, t, keys[: keys.index(key)], now, sight) or sight
        seen, before = sight is not None, now
        if sight is not None:
            sights[t], key = sight, sight.key
            last = np.where(sight.good[:, None], sight.places, _applied(sight.matrix, key.points)).astype(np.float32)


def _seen(key: _Key, now: np.ndarray, last: np.ndarray, before: np.ndarray) -> _Sight | None:
    """A key's features in a frame that comes after one that had them at `last`; None where too few are."""
    stepped, _ = _lucas_kanade(before, now, last, last, _LEVELS)
    moved, good = _lucas_kanade(key.gray, now, key.points, stepped, 0)
    return _sight(key, np.where(good[:, None], moved, stepped), good)


def _found_again(
    clip: Clip, rows: np.ndarray, t: int, keys: list[_Key], now: np.ndarray, known: _Sight | None = None
) -> _Sight | None:
    """Features of the keys whose head was nearest to where it is now: where `known` says, or else where they were, or
    moved as the head has.
    """
    face = clip.landmarks[rows[t], :468, :2].mean(0)

    def moved(key: _Key) -> np.ndarray:
        return face - clip.landmarks[rows[key.row], :468, :2].mean(0)

    for key in sorted(keys, key=lambda key: float(np.linalg.norm(moved(key))))[:_TRIED]:
        guesses = [key.points + moved(key), key.points]
        if known is not None:
            guesses = [_applied(_chained(_chained(known.matrix, known.key.matrix), _inverse(key.matrix)), key.points)]
        for guess in guesses:
            places, good = _lucas_kanade(key.gray, now, key.points, guess.astype(np.float32), _LEVELS)
            back, there = _lucas_kanade(now, key.gray, places, key.points, _LEVELS)
            sight = _sight(key, places, good & there & (np.linalg.norm(back - key.points, axis=1) < _BACK))
            if sight is not None and sight.good.sum() > _CERTAIN * len(key.points):
                return sight
    return None


def _sight(key: _Key, places: np.ndarray, good: np.ndarray) -> _Sight | None:
    if good.sum() < _MIN_FEATURES:
        return None
    fitted, inliers = cv2.estimateAffinePartial2D(key.points[good], places[good], ransacReprojThreshold=2.0)
    return None if fitted is None or inliers.sum() < _MIN_FEATURES else _Sight(key, places, good, fitted)


def _key(clip: Clip, rows: np.ndarray, row: int, matrix: np.ndarray, first: int, look: _Look) -> _Key:
    at = rows[row]
    gray = _gray(clip, at)
    allowed = look(gray, np.asarray(clip.matte[at]), clip.landmarks[at])
    return _Key(row, gray, _features(gray, allowed, _FEATURES[first > 0]), matrix, first)


def _end(keys: list[_Key]) -> int:
    return keys[-1].first + len(keys[-1].points)


def _gray(clip: Clip, row: int) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(clip.frames[row]), cv2.COLOR_RGB2GRAY)


def _applied(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def _chained(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """[2, 3]: what leads through both."""
    return np.concatenate([second[:, :2] @ first[:, :2], _applied(second, first[None, :, 2]).T], 1)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    inner = np.linalg.inv(matrix[:, :2])
    return np.concatenate([inner, -(inner @ matrix[:, 2:])], 1)


def _lucas_kanade(
    source: np.ndarray, target: np.ndarray, points: np.ndarray, guess: np.ndarray, levels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where points [N, 2] of one gray picture are in another [N, 2] px, near a guess [N, 2]; and which were found."""
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        source, target, points[:, None].astype(np.float32), guess[:, None].astype(np.float32), winSize=(25, 25),
        maxLevel=levels, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )  # fmt: skip
    return moved[:, 0], status[:, 0] > 0


def _on_cloth(gray: np.ndarray, matte: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The person well below the chin."""
    face = landmarks[:468, :2]
    below = int(landmarks[faces.CHIN, 1] + 0.15 * (face[:, 1].max() - face[:, 1].min()))
    allowed = cv2.erode((matte > 200).astype(np.uint8), np.ones((7, 7), np.uint8))
    allowed[: min(below, len(gray))] = 0
    return allowed


def _in_the_room(gray: np.ndarray, matte: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """All that is not near the person."""
    return clear_of(matte, 8, 12 * max(gray.shape) / 512).astype(np.uint8)


def _features(gray: np.ndarray, allowed: np.ndarray, most: int) -> np.ndarray:
    """[N, 2] px float32 corners to follow in a mask [H, W] uint8, the best ones; none where there are too few."""
    if allowed.sum() < 0.01 * allowed.size:
        return np.zeros((0, 2), np.float32)
    points = cv2.goodFeaturesToTrack(gray, most, 0.005, 5, mask=allowed)
    return np.zeros((0, 2), np.float32) if points is None or len(points) < _MIN_FEATURES else points[:, 0]
