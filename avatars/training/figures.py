"""The figures of a finished avatar, measured again from its file and the clip it was made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..data import Clip, Track
from ..errors import InputError
from ..heads.head import Head
from ..splats.avatar import Avatar
from ..splats.model import Pose
from ..tracking.personal import personalise
from ..tracking.report import quality
from . import corrections, metrics
from .evaluate import Evaluation, chosen, measure
from .frames import FrameStore, split
from .presets import Preset, parse_preset


def settings(avatar: Avatar) -> tuple[Preset, str]:
    """(preset, test split) that an avatar was trained with.

    Raises:
        InputError: its manifest does not say.
    """
    preset, test = avatar.manifest.get("preset"), avatar.manifest.get("test")
    if not isinstance(preset, dict) or test not in ("tail", "fifth", "none"):
        raise InputError("The avatar does not say how it was trained", where="manifest.json", fix="Build it again")
    return parse_preset(preset, "manifest.json"), test


def rows_like(landmark: Track, avatar: Avatar) -> Track:
    """The rows of a run's landmark track that the avatar was made from, in its order.

    Raises:
        InputError: the track is of another clip.
    """
    at = np.searchsorted(landmark.frame, avatar.track.frame).clip(0, len(landmark.frame) - 1)
    if not np.array_equal(landmark.frame[at], avatar.track.frame):
        raise InputError("The track belongs to another clip than the avatar", fix="Name its run directory with --run")
    names = ("frame", "times", "expression", "rotation", "translation", "torso_rotation", "torso_translation")
    return replace(landmark, **{name: getattr(landmark, name)[at] for name in (*names, "confidence")})


def remeasure(
    avatar: Avatar, clip: Clip, landmark: Track, head: Head, progress: Callable[[float, str], None]
) -> tuple[Evaluation, Track]:
    """Both protocols on the held-out frames, drawn anew.

    The photometric poses are those that the avatar's file holds; the landmark poses are made from the run's track with
    the avatar's own corrections.

    Args:
        landmark: the run's track, as landmarks left it.
        head: the generic head that it refers to.
        progress: called with the share done and a line of news.

    Returns:
        The figures, and the landmark track of the avatar's rows, in its head's units.

    Raises:
        InputError: clip or track belong to another avatar, or nothing was held out.
    """
    known = avatar.manifest.get("provenance", {}).get("source", {}).get("sha256")
    if known and known != clip.source.get("sha256"):
        raise InputError(
            "The clip is of another video than the avatar", fix="Name the avatar's run directory with --run"
        )
    preset, test = settings(avatar)
    track = personalise(head, rows_like(landmark, avatar))[1]
    train_rows, test_rows = split(track.times, test)
    test_rows = chosen(test_rows)
    if not len(test_rows):
        raise InputError("The avatar was trained on every frame", fix="Build it with --test tail to have figures")
    store = FrameStore(clip, track.frame, preset.size, preset.focus)
    model, camera, refined = avatar.model(), avatar.camera, Pose.of_track(avatar.track)
    corrected = corrections.apply(
        avatar.track.corrections, Pose.of_track(track), avatar.head.expression_low, avatar.head.expression_high
    )
    index = torch.from_numpy(test_rows)
    progress(0.1, "held-out frames, by landmarks")
    by_landmarks = measure(model, store, camera, corrected[index], test_rows)
    guessed = corrections.predict_torso(avatar.track.corrections, corrected)
    face_only = measure(model, store, camera, guessed[index], test_rows)
    progress(0.4, "held-out frames, fitted")
    fitted = refined[index]
    by_pixels = measure(model, store, camera, fitted, test_rows)
    progress(0.7, "training frames")
    some = train_rows[:: max(1, len(train_rows) // 30)]
    train = measure(model, store, camera, refined[torch.from_numpy(some)], some)
    return Evaluation(
        metrics.mean(by_pixels),
        metrics.mean(by_landmarks),
        metrics.mean(face_only),
        metrics.mean(train),
        test_rows,
        by_pixels,
        by_landmarks,
        fitted,
    ), track


def all_figures(avatar: Avatar, clip: Clip, landmark: Track, head: Head, result: Evaluation) -> dict[str, Any]:
    """Every figure by name: image quality by both protocols, the track's quality, counts and times.

    Args:
        landmark: the run's whole track, as landmarks left it.
        head: the generic head that it refers to.
    """
    person, whole = personalise(head, landmark)
    found = quality(whole, clip, person)
    seconds = avatar.manifest.get("seconds", {})
    out: dict[str, Any] = {k: round(v, 4) for k, v in result.to_json().items()}
    out["landmark_rmse_px"] = found["landmark_rmse_px"]["all"]
    out |= {f"landmark_rmse_px_{k}": v for k, v in found["landmark_rmse_px"].items() if k != "all"}
    out |= {k: found[k] for k in ("jitter_px", "yaw_deg", "pitch_deg", "moves_mm")}
    out |= {
        "splats": len(avatar.splats),
        "frames": len(avatar.track.frame),
        "held_out": len(result.rows),
        "test": settings(avatar)[1],
    }
    return out | {f"{stage}_seconds": value for stage, value in seconds.items()}
