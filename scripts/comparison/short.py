"""Two seconds of footage: an avatar from the first frames of a clip, measured on all that follow."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from avatars.data import Clip, Track
from avatars.heads.anny import default_head
from avatars.heads.head import Head
from avatars.splats.model import AvatarModel
from avatars.tracking.denoise import denoised
from avatars.tracking.personal import personalise
from avatars.tracking.residuals import LandmarkModel
from avatars.tracking.solve import Solver
from avatars.tracking.track import track
from avatars.training import corrections
from avatars.training.bite import seat_teeth
from avatars.training.evaluate import evaluate
from avatars.training.finish import finish
from avatars.training.loop import Trainer
from avatars.training.presets import Preset, suited
from avatars.training.redetect import redetect

from .trial import source

_MEASURED = 24


def short(path: Path, work: Path, preset: Preset, frames: int, say: Callable[[str], None]) -> dict[str, float]:
    """Figures on the frames after the first `frames`.

    Identity, focal length, landmark seats and everything that is trained come from the first frames alone; the others
    are posed by landmarks with those held fixed, then as held-out frames always are.

    Args:
        path, work: see `trial.source`.
    """
    head = default_head()
    _, clip, tracked, _ = source(path, work, head)
    first = tracked.frame[:frames]
    tracked = _tracked(clip, head, tracked, first)
    person, own = personalise(head, tracked)
    train_rows = np.arange(len(first))
    test_rows = np.arange(len(first), len(own.frame))
    test_rows = test_rows[np.linspace(0, len(test_rows) - 1, min(_MEASURED, len(test_rows))).astype(int)]
    return trained_and_measured(person, clip, own, train_rows, test_rows, preset, say)


def trained_and_measured(
    person: Head, clip: Clip, own: Track, train_rows: np.ndarray, test_rows: np.ndarray, preset: Preset,
    say: Callable[[str], None],
) -> dict[str, float]:  # fmt: skip
    """Figures on test rows after training on others, by both protocols, landmarks found again among them."""
    person, preset = seat_teeth(person, clip, own, train_rows), suited(preset, len(train_rows))
    trainer = Trainer(person, clip, own, train_rows, preset)
    with tempfile.TemporaryDirectory() as directory:
        trainer.run(Path(directory), lambda p: say(f"  step {p.iteration}") if p.iteration % 1000 == 0 else None)
    learned = corrections.fit(trainer.tracked, trainer.poses.pose, train_rows, person.expression_names)
    corrected = corrections.apply(learned, trainer.tracked, person.expression_low, person.expression_high)
    model = AvatarModel(*finish(trainer))
    result = evaluate(model, trainer.store, trainer.camera, trainer.poses, learned, corrected, train_rows, test_rows)
    landmark = corrected[torch.from_numpy(result.rows)]
    found = redetect(model, trainer.store, trainer.camera, {"": result.fitted, "landmark_": landmark}, result.rows)
    return result.to_json() | found | {"trained_on": float(len(train_rows)), "seconds": trainer.seconds}


def _tracked(clip: Clip, head: Head, whole: Track, first: np.ndarray) -> Track:
    """A track of all frames whose shared unknowns the first ones alone decided.

    The torso's motion is taken over from the whole track, see `_carried_over`.
    """
    part = _cut(clip, first)
    known = track(part, head)
    rows = whole.frame
    model = LandmarkModel.detected(head)
    points = denoised(clip.landmarks[rows], clip.size)
    solver = Solver(model, points, clip.times[rows], clip.size, head.expression_names)
    solver.state = replace(
        solver.state,
        identity=known.identity.astype(float),
        focal=known.camera.fx,
        offsets=known.landmark_offsets.astype(float),
    )
    depth = known.translation[:, 2].mean() / solver.state.translation[:, 2].mean()
    solver.state.translation *= depth
    for damping in (1e-1, 1e-2, *[1e-3] * 8):
        solver.step(identity=False, focal=False, damping=damping)

    count, state = len(first), solver.state
    torso_rotation, torso_translation = _carried_over(whole, known)
    joined = replace(
        whole,
        identity=known.identity,
        camera=known.camera,
        landmark_offsets=known.landmark_offsets,
        expression=state.expression.astype(np.float32),
        rotation=Rotation.from_matrix(state.rotation).as_rotvec().astype(np.float32),
        translation=state.translation.astype(np.float32),
        torso_rotation=torso_rotation,
        torso_translation=torso_translation,
    )
    for name in ("expression", "rotation", "translation", "torso_rotation", "torso_translation"):
        getattr(joined, name)[:count] = getattr(known, name)
    return joined.validate()


def _carried_over(whole: Track, known: Track) -> tuple[np.ndarray, np.ndarray]:
    """The whole track's torso (rotation vectors [T, 3], places [T, 3] m), standing in itself as the short one's does.

    Both follow the same features, but each has its own idea of how the torso stands, and how far away everything is:
    one turn and one shift in the torso's own axes, and one factor, which are those of the first frames.
    """
    count = len(known.frame)
    turned = Rotation.from_rotvec(whole.torso_rotation.astype(float))
    other = Rotation.from_rotvec(known.torso_rotation.astype(float))
    scale = float((known.translation[:, 2] / whole.translation[:count, 2]).mean())
    place = scale * whole.torso_translation.astype(float)
    shift = turned[:count].inv().apply(known.torso_translation - place[:count]).mean(0)
    turn = (turned[:count].inv() * other).mean()
    return (turned * turn).as_rotvec().astype(np.float32), (place + turned.apply(shift)).astype(np.float32)


def _cut(clip: Clip, frames: np.ndarray) -> Clip:
    """The clip's frames up to the last of some."""
    end = int(frames[-1]) + 1
    return replace(
        clip,
        frames=clip.frames[:end],
        times=clip.times[:end],
        landmarks=clip.landmarks[:end],
        matte=clip.matte[:end],
        rejects=clip.rejects[:end],
    )
