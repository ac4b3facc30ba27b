"""Model files: found, fetched once, never half, never from elsewhere than https."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from avatars.capture import models
from avatars.errors import AssetError

DATA = b"a model" * 100


class Web:
    """Answers one address; counts how often it is asked."""

    def __init__(self, data: bytes | Exception) -> None:
        self.data, self.asked = data, []

    def open(self, url: str, timeout: float) -> Any:
        self.asked.append((url, timeout))
        if isinstance(self.data, Exception):
            raise self.data
        return io.BytesIO(self.data)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AVATARS_HOME", str(tmp_path))
    for model in (models.FACE, models.PERSON):
        monkeypatch.delenv(model.override, raising=False)
    for name in ("FACE", "PERSON"):
        known = dataclasses.replace(getattr(models, name), sha256=hashlib.sha256(DATA).hexdigest(), size=len(DATA))
        monkeypatch.setattr(models, name, known)
    return tmp_path


def test_fetched_once_and_verified(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web = Web(DATA)
    monkeypatch.setattr(models, "_opener", lambda: web)
    with pytest.raises(AssetError, match="does not carry"):
        models.model_path(models.FACE)
    assert web.asked == []  # looking fetches nothing
    paths = models.fetch_models()
    assert [p.read_bytes() for p in paths] == [DATA, DATA]
    assert models.model_path(models.FACE) == paths[0]
    assert len(web.asked) == 2
    models.fetch_models()
    assert len(web.asked) == 2


@pytest.mark.parametrize("answer", [DATA[:50], DATA + b"x", b"", TimeoutError("slow"), urllib.error.URLError("down")])
def test_anything_else_is_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(models, "_opener", lambda: Web(answer))
    with pytest.raises(AssetError, match="AVATARS_FACE_LANDMARKER"):
        models.fetch_models()
    assert list(cache.iterdir()) == []


def test_damaged_cache_is_said_and_mended(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / models.FACE.name).write_bytes(DATA[:-1])
    with pytest.raises(AssetError, match="damaged"):
        models.model_path(models.FACE)
    monkeypatch.setattr(models, "_opener", lambda: Web(DATA))
    models.fetch_models()
    assert models.model_path(models.FACE).read_bytes() == DATA


def test_named_file_is_taken(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = cache / "mine.task"
    monkeypatch.setenv(models.FACE.override, str(mine))
    with pytest.raises(AssetError, match="names no file"):
        models.model_path(models.FACE)
    mine.write_bytes(b"mine")
    assert models.model_path(models.FACE) == mine


def test_only_https_is_spoken() -> None:
    opener = models._opener()
    for url in ("http://127.0.0.1:9/x", "file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"):
        with pytest.raises(urllib.error.URLError, match="unknown url type"):
            opener.open(url, timeout=1)
    with pytest.raises(urllib.error.URLError, match="not https"):
        models._HttpsOnly().redirect_request(None, None, 302, "", {}, "http://127.0.0.1/")
    assert all(model.url.startswith("https://") for model in (models.FACE, models.PERSON))
