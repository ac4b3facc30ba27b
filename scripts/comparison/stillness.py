"""A face that does not move: whatever trembles then is ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from avatars.capture import faces
from avatars.capture.views import FaceViews
from avatars.data import Clip, Track
from avatars.errors import InputError
from avatars.heads.anny import default_head
from avatars.motion.retarget import Manner, Retarget
from avatars.motion.smooth import steady
from avatars.motion.sources import motion_of_track
from avatars.splats.avatar import Avatar
from avatars.splats.model import AvatarModel, Pose
from avatars.tracking.personal import personalise
from avatars.tracking.report import landmark_points
from avatars.tracking.track import track

from .pictures import draw
from .trial import source

_RATE = 25
_DRAWN = 100
"""Frames that are drawn and looked at again, from the middle of the film."""
_SETTLING = 5
"""Frames that a follower needs until it has found its place."""


def stillness(path: Path, avatar_path: Path, work: Path, seconds: float) -> dict[str, float]:
    """Jitter, px at 512: deviation of each landmark from its mean place over time, root mean square over landmarks.

    The middle frame of a clip is repeated with noise of one grey level. Landmarks are followed as capturing follows
    them (which itself refuses a film in which nothing moves), the head is tracked, and drives an avatar as `avatars
    reenact` does.

    Args:
        path, work: see `trial.source`.
        avatar_path: whom the still face drives.

    Returns:
        `detected` (the detector's own), `track` (projected landmarks of the tracked head), `driven` (the same of the
        driven avatar's head) and `rendered` (found again on its pictures, followed as capturing does: a single follower
        can swing to and fro by .6 px on one picture shown again and again), each over all landmarks and with `_mouth`
        and `_lids`.
    """
    head = default_head()
    _, clip, _, _ = source(path, work, head)
    still = _repeated(clip, round(seconds * _RATE))
    tracked = track(still, head)
    person, own = personalise(head, tracked)
    scale = 512 / max(clip.size)
    out = _named("detected", still.landmarks[:, :, :2] * scale)
    out |= _named("track", _pixels(own, landmark_points(own, person)) * scale)
    avatar = Avatar.load(avatar_path)
    motion = steady(motion_of_track(own, person))
    poses = Retarget(avatar, Manner.of(motion))(motion)
    model = avatar.model()
    scale = 512 / max(avatar.camera.width, avatar.camera.height)
    out |= _named("driven", _mesh_landmarks(model, avatar, poses) * scale)
    first = max(0, (len(poses) - _DRAWN) // 2)
    follow, seen = FaceViews(), []
    for i in range(first, min(first + _DRAWN, len(poses))):
        found = follow.detect(draw(model, poses[i], avatar.camera))
        if found is not None:
            seen.append(found[:, :2])
    follow.close()
    return out | _named("rendered", np.array(seen[_SETTLING:]) * scale)


def _repeated(clip: Clip, count: int) -> Clip:
    """The middle frame of a clip, again and again, with noise of one grey level."""
    used = np.flatnonzero(clip.used)
    row = int(used[len(used) // 2])
    frame, rng = np.asarray(clip.frames[row]).astype(np.int16), np.random.default_rng(0)
    frames = np.empty((count, *frame.shape), np.uint8)
    marks = np.empty((count, 478, 3), np.float32)
    follow = FaceViews()
    for i in range(-_SETTLING, count):
        noisy = np.clip(frame + rng.integers(-1, 2, frame.shape), 0, 255).astype(np.uint8)
        found = follow.detect(noisy)
        if i >= 0:
            if found is None:
                raise InputError("No face was found in the middle frame", fix="Take another clip")
            frames[i], marks[i] = noisy, found
    follow.close()
    return Clip(
        frames=frames,
        times=np.arange(count) / _RATE,
        landmarks=marks,
        matte=np.repeat(np.asarray(clip.matte[row])[None], count, 0),
        rejects=[""] * count,
        source=clip.source,
    ).validate()


def jitter(points: np.ndarray) -> float:
    """Of landmarks [T, n, 2] px."""
    return float(np.sqrt(((points - points.mean(0)) ** 2).sum(-1).mean()))


def _named(name: str, points: np.ndarray) -> dict[str, float]:
    """Over all landmarks [T, 478, 2] that are there, and over mouth and lids."""
    known = np.isfinite(points).all((0, 2))
    groups = {"": range(478), "_mouth": faces.LIPS, "_lids": faces.EYE_L + faces.EYE_R}
    return {name + k: jitter(points[:, [i for i in rows if known[i]]]) for k, rows in groups.items()}


def _pixels(tracked: Track, points: np.ndarray) -> np.ndarray:
    camera = tracked.camera
    return points[..., :2] / points[..., 2:] * camera.fx + np.array([camera.cx, camera.cy])


@torch.no_grad()
def _mesh_landmarks(model: AvatarModel, avatar: Avatar, poses: Pose) -> np.ndarray:
    """[T, 478, 2] px of the driven head; NaN where it has no such landmark."""
    camera, points = avatar.camera, model.head.landmarks(model.vertices(poses)).numpy().astype(float)
    view = camera.camera_from_world
    points = points @ view[:3, :3].T + view[:3, 3]
    return points[..., :2] / points[..., 2:] * camera.fx + np.array([camera.cx, camera.cy])
