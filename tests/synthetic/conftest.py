"""One short synthetic film, made once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatars.heads.head import Head
from avatars.synthetic.synthesize import Settings, synthesize
from avatars.synthetic.truth import GroundTruth

SHORT = Settings(seed=1, seconds=0.8, fps=15, size=256, views=1)


@pytest.fixture(scope="session")
def short_film(tmp_path_factory: pytest.TempPathFactory, default_head: Head) -> tuple[Path, GroundTruth]:
    """(mp4, truth) of twelve frames."""
    path = tmp_path_factory.mktemp("film") / "short.mp4"
    return path, synthesize(path, default_head, SHORT)
