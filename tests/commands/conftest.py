from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avatars.capture.store import save_clip
from avatars.cli import main
from avatars.tracking.track import save_track
from tests.training.scene import make_scene

TINY = {"size": 96, "splats": 400, "bases": 2, "iterations": 120}


def run(*arguments: object) -> int:
    """Exit code of one command, in this process."""
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def make_run(directory: Path) -> Path:
    """A run directory of a drawn clip and its true track, as capture and track would have left it."""
    head, clip, track = make_scene()
    clip.audio = 0.1 * np.random.default_rng(0).normal(size=16000).astype(np.float32)
    save_clip(clip, directory / "clip")
    save_track(track, directory / "track.safetensors")
    stamp = {"clip": clip.source["sha256"], "head": head.sha256, "frames": len(clip.times)}
    (directory / "track.json").write_text(json.dumps(stamp))
    return directory


@pytest.fixture(scope="session")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of a training that takes seconds."""
    path = tmp_path_factory.mktemp("settings") / "tiny.json"
    path.write_text(json.dumps(TINY))
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, preset: Path) -> Path:
    """An avatar made by `avatars train`, with its run directory beside it."""
    folder = tmp_path_factory.mktemp("trained")
    make_run(folder / "a.run")
    assert run("train", folder / "a.run", "-o", folder / "a.avatar", "--preset", preset, "--name", "A <script>") == 0
    return folder / "a.avatar"
