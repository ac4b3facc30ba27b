from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from avatars.data import Clip, Track
from avatars.heads.head import Head
from avatars.splats.avatar import Avatar
from avatars.training import build, page
from avatars.training.evaluate import Evaluation
from avatars.training.loop import Trainer
from avatars.training.presets import Preset
from avatars.training.report import report

EVIL = "</p><script>alert('x')</script><img src=x onerror=alert(1)>&\"'"
VOID = {"meta", "img", "input", "br", "line", "rect", "polyline"}


class Reader(HTMLParser):
    """Tags must be closed in order; collects what the page refers to and runs."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        self.sources += [
            value or "" for name, value in attributes if name in ("src", "href", "srcset", "data", "action")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def trained(scene: tuple[Head, Clip, Track]) -> tuple[Avatar, Clip, Track, Trainer, Evaluation]:
    head, clip, track = scene
    preset = Preset(size=96, splats=300, bases=2, iterations=60)
    trainer, thinned, train_rows, test_rows = build.prepare(head, clip, track, preset, "fifth")
    for _ in range(60):
        trainer.history.append((trainer.iteration, trainer.step()))
    avatar, result = build.conclude(trainer, clip, thinned, train_rows, test_rows)
    assert result is not None
    avatar.manifest = build.manifest(EVIL, f"yes {EVIL}", clip, track, preset, "fifth", {"train": 12.0}, result)
    return avatar, clip, thinned, trainer, result


@pytest.fixture(scope="module")
def whole(trained: tuple[Avatar, Clip, Track, Trainer, Evaluation]) -> str:
    avatar, clip, track, trainer, result = trained
    clip.source |= {"name": EVIL, "rejected": {EVIL: 3}, "warnings": [EVIL], "quality": {"advice": [EVIL]}}
    return report(avatar, clip, track, trainer, result, {"train": 12.0, EVIL: 1.0})


def test_page_is_whole_and_small(whole: str) -> None:
    assert len(whole.encode()) < 4_000_000
    assert whole.startswith("<!doctype html>")
    words = " ".join(read(whole).words)
    for heading in ("Turn the head", "Unseen frames", "The worst of them", "From the side", "Expressions", "The film"):
        assert heading in words


def test_nothing_comes_from_outside(whole: str) -> None:
    reader = read(whole)
    assert reader.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in reader.sources)
    assert "http://" not in whole
    assert "https://" not in whole
    assert "@import" not in whole
    assert "url(" not in whole


def test_user_strings_are_escaped(whole: str) -> None:
    reader = read(whole)
    assert reader.handlers == []
    assert len(reader.scripts) == 1
    assert "alert" not in reader.scripts[0]
    assert "<script>alert" not in whole
    assert sum("alert('x')" in words for words in reader.words) >= 7  # title, name, consent, film, reject, warning, ...


def test_only_its_own_script_may_run(whole: str) -> None:
    script = read(whole).scripts[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', whole)
    assert policy
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert whole.index("Content-Security-Policy") < whole.index("<script>")


def test_figures_are_the_evaluations(whole: str, trained: tuple[Avatar, Clip, Track, Trainer, Evaluation]) -> None:
    avatar, _, _, _, result = trained
    words = " ".join(read(whole).words)
    assert f"{result.photometric['psnr']:.1f} dB" in words
    assert f"{result.landmark['psnr']:.1f} dB" in words
    assert f"{len(avatar.splats)} splats" in words
    worst = min(row["psnr"] for row in result.photometric_rows)
    assert f"fitted, {worst:.1f} dB" in words


def test_pictures_show_film_and_avatar(whole: str, trained: tuple[Avatar, Clip, Track, Trainer, Evaluation]) -> None:
    """The wipe's left picture is the film's frame, and the right one resembles it."""
    _, clip, track, _, result = trained
    part = whole[whole.index("data-wipe>") :]
    film, drawn = (
        cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR_RGB).astype(float)
        for data in re.findall(r"base64,([^\"]+)\"", part)[:2]
    )
    captured = [np.abs(film - clip.frames[track.frame[row]]).mean() for row in result.rows]
    assert min(captured) < 6  # JPEG of a noisy picture, in levels of 255
    assert np.abs(film - drawn).mean() < 30


def test_without_held_out_frames(trained: tuple[Avatar, Clip, Track, Trainer, Evaluation]) -> None:
    avatar, clip, track, trainer, _ = trained
    text = report(avatar, clip, track, trainer, None, {})
    words = " ".join(read(text).words)
    assert "nothing was held out" in words
    assert "PSNR" not in words


def test_moving_camera(trained: tuple[Avatar, Clip, Track, Trainer, Evaluation]) -> None:
    """Without a plate the film is shown over white, as far as the matte goes."""
    from dataclasses import replace

    avatar, clip, track, trainer, result = trained
    text = report(avatar, replace(clip, plate=None, plate_seen=None), track, trainer, result, {})
    part = text[text.index("data-wipe>") :]
    data = re.findall(r"base64,([^\"]+)\"", part)[0]
    film = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert film[:4, :4].min() > 250


def test_curve() -> None:
    svg = page.curve([("a", [0, 1, 2, 3], [1, float("nan"), 3, 4]), ("b", [0, 3], [2, 2])], "s", "dB & more")
    read(svg)
    first = re.findall(r'points="([^"]+)"', svg)[0].split()
    assert len(first) == 3  # the value that is not finite is left out
    heights = [float(point.split(",")[1]) for point in first]
    assert heights == sorted(heights, reverse=True)  # larger values lie higher
    assert "dB &amp; more" in svg
    assert page.curve([("a", [1.0], [1.0])], "s", "dB") == ""


def test_bars_and_columns() -> None:
    assert "width:100%" in page.bars([("a", 1.7, "b")])
    assert "low" in page.bars([("a", 0.1, "b")])
    svg = page.columns({"-10": 0, "+0": 3, "+10": 6}, "degrees")
    read(svg)
    heights = [float(h) for h in re.findall(r'height="([\d.]+)"', svg)]
    assert heights == [0.0, 60.0, 120.0]
