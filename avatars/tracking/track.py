"""From a clip to a track: landmarks fitted, then the torso."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from .. import files
from ..data import Camera, Clip, Track
from ..errors import FileFormatError, TrackingError
from ..heads.head import Head
from .denoise import denoised, steadied
from .lids import shut_lids
from .residuals import LandmarkModel
from .solve import Solver
from .torso import track_torso

_MIN_FRAMES = 8
_FACE_SHARE = 0.7
"""Of the time that tracking takes, the rest goes to the torso."""
_FORMAT = 1


def track(clip: Clip, head: Head, progress: Callable[[float, str], None] | None = None) -> Track:
    """Fit a head to a clip's used frames.

    Args:
        clip: captured footage.
        head: with its identity basis (not personalised).
        progress: called with the share done and a line of news.

    Raises:
        TrackingError: too few usable frames, or footage that does not determine a head.
    """
    rows = np.flatnonzero(clip.used)
    if len(rows) < _MIN_FRAMES:
        raise TrackingError(
            f"Only {len(rows)} usable frames; at least {_MIN_FRAMES} are needed",
            fix="Film 10 to 60 seconds of one face in good light",
        )
    width, height = clip.size
    landmarks = denoised(clip.landmarks[rows], clip.size)
    solver = Solver(LandmarkModel.detected(head), landmarks, clip.times[rows], clip.size, head.expression_names)
    say = progress or (lambda share, news: None)
    state = solver.run(lambda share, news: say(_FACE_SHARE * share, news))
    camera = Camera(state.focal, state.focal, width / 2, height / 2, width, height)
    person = head.shape(state.identity)
    torso_rotation, torso_translation = track_torso(
        clip, rows, state.rotation, state.translation, person, camera,
        lambda share: say(_FACE_SHARE + (1 - _FACE_SHARE) * share, "following the torso"),
    )  # fmt: skip
    expression = steadied(state.expression, head.expression_names, landmarks, clip.size)
    error = solver.errors()[:, solver.model.valid] / solver.scale
    return Track(
        identity=state.identity.astype(np.float32),
        camera=camera,
        frame=rows.astype(np.int64),
        times=clip.times[rows],
        expression=shut_lids(expression, landmarks, person).astype(np.float32),
        rotation=Rotation.from_matrix(state.rotation).as_rotvec().astype(np.float32),
        translation=state.translation.astype(np.float32),
        torso_rotation=Rotation.from_matrix(torso_rotation).as_rotvec().astype(np.float32),
        torso_translation=torso_translation.astype(np.float32),
        landmark_offsets=state.offsets.astype(np.float32),
        confidence=np.exp(-((np.sqrt((error**2).mean(1)) / 3.0) ** 2)).astype(np.float32),
        head={"name": head.name, "version": head.version, "sha256": head.sha256},
    ).validate()


_ARRAYS = (
    "identity", "frame", "times", "expression", "rotation", "translation", "torso_rotation", "torso_translation",
    "landmark_offsets", "confidence",
)  # fmt: skip


def save_track(track: Track, path: Path | str) -> None:
    """Write `track.safetensors`."""
    import json

    tensors = {name: getattr(track, name) for name in _ARRAYS}
    tensors |= {f"corrections.{k}": v for k, v in track.corrections.items()}
    words = {
        "kind": "track",
        "format": str(_FORMAT),
        "camera": json.dumps(track.camera.to_json()),
        "head": json.dumps(track.head),
    }
    files.save_tensors(path, tensors, words)


def load_track(path: Path | str) -> Track:
    """Read and check a track.

    Raises:
        FileFormatError: missing, damaged, newer, or not a track.
    """
    import json

    tensors, words = files.load_tensors(path)
    if words.get("kind") != "track" or int(words.get("format", "0")) > _FORMAT:
        raise FileFormatError("Not a track that this program can read", where=path)
    prefix = "corrections."
    try:
        return Track(
            **{name: tensors[name] for name in _ARRAYS},
            camera=Camera.from_json(json.loads(words["camera"])),
            corrections={k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)},
            head={str(k): str(v) for k, v in json.loads(words["head"]).items()},
        ).validate()
    except (KeyError, ValueError, AttributeError) as error:
        raise FileFormatError(f"The track is incomplete: {error}", where=path) from error
