"""What a run directory keeps is used again for the same footage, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatars.data import Clip, Track
from avatars.errors import TrackingError
from avatars.heads.head import Head
from avatars.training import build
from avatars.training.loop import Trainer
from avatars.training.presets import Preset

PRESET = Preset(size=64, splats=400, bases=4, iterations=6, coarse=0.3)


def _nothing(*_: object) -> Track:
    raise TrackingError("tracked again")


def test_another_track_is_another_training(
    tmp_path: Path, scene: tuple[Head, Clip, Track], monkeypatch: pytest.MonkeyPatch
) -> None:
    head, clip, track = scene
    steps: list[int] = []
    step = Trainer.step

    def counted(trainer: Trainer) -> float:
        steps.append(trainer.iteration)
        return step(trainer)

    monkeypatch.setattr(Trainer, "step", counted)
    turned = replace(track, rotation=track.rotation + 0.02)
    names = {
        build.training_name(PRESET, "tail", track),
        build.training_name(PRESET, "fifth", track),
        build.training_name(replace(PRESET, iterations=7), "tail", track),
        build.training_name(PRESET, "tail", turned),
        build.training_name(PRESET, "tail", replace(track, identity=track.identity + 0.1)),
        build.training_name(PRESET, "tail", replace(track, camera=replace(track.camera, fx=track.camera.fx * 1.01))),
    }
    assert len(names) == 6
    run = build.Run(tmp_path / "x.run")
    done = []
    for given in (track, track, turned):
        steps.clear()
        build.trained(
            run, tmp_path / "x.avatar", head, clip, given, PRESET, name="x", consent="", test="tail", overwrite=True,
            listener=build.Listener(),
        )  # fmt: skip
        done.append(len(steps))
    # the same track's training is there already; the other one's starts from nothing
    assert done == [PRESET.iterations, 0, PRESET.iterations]


def test_a_given_track_is_kept(
    tmp_path: Path, scene: tuple[Head, Clip, Track], monkeypatch: pytest.MonkeyPatch
) -> None:
    head, clip, track = scene
    monkeypatch.setattr(build, "track", _nothing)
    run = build.Run(tmp_path / "x.run")
    build.tracked_clip(run, clip, head, build.Listener(), given=track)
    again = build.tracked_clip(run, clip, head, build.Listener())
    assert np.array_equal(again.rotation, track.rotation)
    with pytest.raises(TrackingError, match="tracked again"):
        build.tracked_clip(run, clip, head, build.Listener(), again=True)
    with pytest.raises(TrackingError, match="tracked again"):
        build.tracked_clip(run, replace(clip, source={"sha256": "other"}), head, build.Listener())
