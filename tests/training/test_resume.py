"""A run killed at random moments ends bit-equal to one that never stopped."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from avatars import files
from avatars.data import Clip, Track
from avatars.errors import FileFormatError, TrainingError
from avatars.heads.head import Head
from avatars.training import checkpoint, loop, slim
from avatars.training.loop import Trainer
from avatars.training.presets import Preset

PRESET = Preset(size=64, splats=400, bases=4, iterations=120, coarse=0.3)
ROWS = np.arange(19)

CHILD = """
import sys
from pathlib import Path
from avatars.training import loop, slim
from tests.training.scene import make_scene
from tests.training.test_resume import PRESET, ROWS
import torch
torch.set_num_threads(2)
loop._SAVE_SECONDS = 0.0  # a checkpoint after every step, so that kills fall into saves too
slim._FREE, slim._LONG = -1.0, 0.0  # all hair is long: nothing that fades may forget how far it was
head, clip, track = make_scene()
print("ready", flush=True)
loop.Trainer(head.shape(track.identity), clip, track, ROWS, PRESET).run(Path(sys.argv[1]))
print("done", flush=True)
"""


def _final(directory: Path) -> dict[str, np.ndarray]:
    tensors, words = files.load_tensors(directory / checkpoint.NAME, finite=False)
    assert int(words["iteration"]) == PRESET.iterations
    return tensors


@pytest.mark.slow
def test_ten_kills_change_nothing(
    tmp_path: Path, scene: tuple[Head, Clip, Track], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slim, "_FREE", -1.0)
    monkeypatch.setattr(slim, "_LONG", 0.0)
    head, clip, track = scene
    whole = tmp_path / "whole"
    whole.mkdir()
    trainer = Trainer(head.shape(track.identity), clip, track, ROWS, PRESET)
    assert len(trainer.optimizer.slim.splats) > 20
    trainer.run(whole)
    killed = tmp_path / "killed"
    killed.mkdir()
    rng = random.Random(0)
    kills = 0
    for _ in range(30):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(killed)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "ready"
        if kills < 10:
            time.sleep(rng.uniform(0.2, 1.2))
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                kills += 1
            child.wait()
        else:
            assert child.wait(timeout=300) == 0
            break
    assert kills >= 3  # a fast machine may finish before the tenth
    if kills < 10 and not (killed / checkpoint.NAME).exists():
        pytest.fail("no checkpoint survived")
    expected, found = _final(whole), _final(killed)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert np.array_equal(value, found[name], equal_nan=True), name


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path, scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    person = head.shape(track.identity)
    first = Trainer(person, clip, track, ROWS, Preset(size=64, splats=200, bases=2, iterations=5))
    first.run(tmp_path)
    other = Trainer(person, clip, track, ROWS, Preset(size=64, splats=200, bases=2, iterations=6))
    with pytest.raises(FileFormatError, match="other settings"):
        other.run(tmp_path)


@pytest.mark.parametrize("keep", [0, 8, 1000, 0.5])
def test_a_cut_checkpoint_is_named(tmp_path: Path, scene: tuple[Head, Clip, Track], keep: float) -> None:
    head, clip, track = scene
    trainer = Trainer(head.shape(track.identity), clip, track, ROWS, Preset(size=64, splats=200, bases=2, iterations=2))
    trainer.run(tmp_path)
    path = tmp_path / checkpoint.NAME
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 or keep == 0 else keep * len(data))])
    with pytest.raises(FileFormatError, match="checkpoint"):
        checkpoint.restore(tmp_path, trainer)


def test_one_bad_frame_is_skipped_and_many_stop(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    trainer = Trainer(
        head.shape(track.identity), clip, track, ROWS, Preset(size=64, splats=200, bases=2, iterations=50)
    )
    good = trainer._loss
    before = {k: v.detach().clone() for k, v in trainer.model.parameters.items()}
    trainer._loss = lambda *a: good(*a) * float("nan")  # type: ignore[method-assign]
    assert np.isnan(trainer.step())
    assert all(bool((before[k] == v).all()) for k, v in trainer.model.parameters.items())
    trainer._loss = good  # type: ignore[method-assign]
    assert np.isfinite(trainer.step())
    trainer._loss = lambda *a: good(*a) * float("nan")  # type: ignore[method-assign]
    for _ in range(loop._BAD_STEPS - 1):
        trainer.step()
    with pytest.raises(TrainingError, match="not finite"):
        trainer.step()


def test_training_lowers_the_loss(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    trainer = Trainer(
        head.shape(track.identity), clip, track, ROWS, Preset(size=96, splats=800, bases=4, iterations=150)
    )
    losses = [trainer.step() for _ in range(150)]
    # Measured 0.082 -> 0.042, and it starts at 0.13; this is plenty to catch a broken gradient.
    assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:10])


def test_rare_faces_come_more_often() -> None:
    common = 0.01 * np.random.default_rng(0).normal(size=(90, 3))
    rare = np.array([[1.0, 0, 0]]) + 0.2 * np.random.default_rng(1).normal(size=(10, 3))
    share = loop.rarity(np.concatenate([common, rare]))
    assert share.sum() == pytest.approx(1)
    assert share[90:].mean() > 2 * share[:90].mean()


def test_sides_that_are_hardly_shown_come_more_often() -> None:
    faces = 0.1 * np.random.default_rng(0).normal(size=(100, 3))
    turns = 0.01 * np.random.default_rng(1).normal(size=(100, 3))
    turns[90:, 1] += np.linspace(0.2, 0.5, 10)
    share = loop.rarity(faces, turns)
    assert share.sum() == pytest.approx(1)
    assert share[90:].mean() > 2 * share[:90].mean()
    np.testing.assert_allclose(loop.rarity(faces[:1], turns[:1]), [1.0])
    still = np.zeros((2, 3))  # neighbours at no distance count as near in both
    np.testing.assert_allclose(loop.rarity(still, still), [0.5, 0.5])
