"""`avatars speech evaluate` and `personalize` on an avatar whose clip has sound."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatars.capture.store import load_clip as load_stored
from avatars.capture.store import save_clip
from avatars.cli import parse
from avatars.commands.speech import whole_movement
from avatars.data import Clip, Track
from avatars.errors import InputError
from avatars.motion.voice import movement, style_of, teach
from avatars.speech.articulation import GAP, JAW, to_arkit
from avatars.speech.condition import condition
from avatars.speech.runtime import Runtime
from avatars.speech.score import run
from avatars.speech.vocal import sing
from avatars.splats.avatar import Avatar
from avatars.tracking.track import save_track
from avatars.training.build import Run, rows_of
from tests.splats.making import make_avatar

RATE, FPS, COUNT = 16000, 25, 150


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An avatar whose subject sings for six seconds with a lazy jaw, in X.run beside it their clip."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(9)
    sound = np.concatenate([sing(rng).pcm for _ in range(3)])[: COUNT * RATE // FPS]
    assert len(sound) == COUNT * RATE // FPS
    runtime = Runtime()
    runtime.set_condition(condition())
    curves = run(runtime, sound)[1]
    curves[:, JAW] *= 0.7
    curves[:, GAP] *= 0.6
    times = np.arange(COUNT) / FPS
    made = make_avatar(60)
    row = np.zeros(COUNT, int)
    track = replace(
        rows_of(made.track, row),
        frame=np.arange(COUNT),
        times=times,
        expression=to_arkit(curves[np.minimum((times * 50).astype(int), len(curves) - 1)]),
    )
    path = tmp_path_factory.mktemp("speaker") / "x.avatar"
    replace(made, track=track, manifest={"provenance": {"source": {"sha256": "a"}}}).save(path)
    marks, matte = np.zeros((COUNT, 478, 3), np.float32), np.zeros((COUNT, 64, 64), np.uint8)
    frames = np.repeat(np.arange(COUNT, dtype=np.uint8)[:, None, None, None], 64, 1).repeat(64, 2).repeat(3, 3)
    save_clip(
        Clip(frames, times, marks, matte, [""] * COUNT, sound, source={"sha256": "a"}),
        path.with_suffix(".run") / "clip",
    )
    return path


def test_personalisation_lands_in_the_avatar_and_in_the_figures(
    speaker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatars.speech.personal.RUNGS", ("affine",))
    parse(["speech", "personalize", str(speaker)]).run()
    style = style_of(speaker)
    assert style is not None
    assert style.facts["accepted"][:1] == ["affine"]
    assert style.facts["personal"]["error"] < style.facts["base"]["error"]
    figures, page = tmp_path / "figures.json", tmp_path / "page.html"
    parse(["speech", "evaluate", str(speaker), "--json", str(figures), "-o", str(page)]).run()
    found = json.loads(figures.read_text())
    asked = (
        "lip_gap_correlation", "lip_gap_correlation_personal", "offset_ms", "closure_recall", "false_closure_rate",
        "latency_ms", "rtf",
    )  # fmt: skip
    for name in asked:
        assert np.isfinite(found[name]), name
    assert found["lip_gap_correlation"] > 0.85
    assert found["lip_gap_correlation_personal"] == style.facts["personal"]["lip_gap_correlation"]
    assert abs(found["offset_ms"]) <= 40
    text = page.read_text()
    assert text.count("<video") == 1
    assert "data:video/mp4;base64," in text
    assert "lip gap, personal" in text


def test_a_build_that_has_speech_learns_by_itself(
    speaker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatars.speech.personal.RUNGS", ("affine",))
    path = tmp_path / "y.avatar"
    Avatar.load(speaker).save(path)
    sound = load_stored(speaker.with_suffix(".run") / "clip").audio
    said: list[str] = []
    line = teach(path, sound, said.append)
    assert "affine" in line
    assert len(said) >= 1
    assert style_of(path) is not None


def test_frames_that_training_left_out_are_learned_from(speaker: Path, tmp_path: Path) -> None:
    avatar, run_of = Avatar.load(speaker), Run(tmp_path)
    clip = load_stored(speaker.with_suffix(".run") / "clip")
    thinned = avatar.with_track(rows_of(avatar.track, np.arange(0, COUNT, 3)))
    with pytest.raises(InputError, match="no track"):
        whole_movement(thinned, clip, run_of)
    generic: Track = replace(avatar.track, landmark_offsets=np.zeros((478, 3), np.float32))
    save_track(generic, run_of.track)
    assert len(whole_movement(thinned, clip, run_of).times) == COUNT
    assert len(whole_movement(avatar, clip, run_of).times) == len(movement(avatar).times) == COUNT
