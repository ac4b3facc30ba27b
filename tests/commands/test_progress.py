from __future__ import annotations

import io

import pytest
from rich.console import Console

from avatars.commands import progress
from avatars.commands.interrupts import INTERRUPTS
from avatars.commands.progress import Bars
from avatars.training.loop import Progress


def plain() -> tuple[Bars, io.StringIO]:
    out = io.StringIO()
    return Bars(Console(file=out, width=200)), out


def test_plain_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10000, 7))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    bars, out = plain()
    with bars:
        bars.stage("capture", "my [red]film.mp4")
        for share in (0.1, 0.2, 0.3, 0.4):
            bars.step("following the face", share)
        bars.stage("train", "30 frames")
        bars.training(Progress(50, 200, 0.0123, 25.0, 2.0))
        bars.training(Progress(100, 200, 0.0123, 25.0, 4.0))
    lines = out.getvalue().splitlines()
    assert lines[0] == "capture: my [red]film.mp4"
    assert lines[1:3] == ["capture  20 %  following the face", "capture  40 %  following the face"]
    assert lines[3].startswith("capture done in ")
    assert lines[4] == "train: 30 frames"
    assert lines[5] == "train  50 %  25 it/s, loss 0.0123, 0:04 left"
    assert lines[6].startswith("train done in ")
    assert "\x1b" not in out.getvalue()


def test_held_out_psnr_is_shown_where_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    bars, out = plain()

    with bars:
        bars.stage("train")
        bars.training(Progress(50, 200, 0.0123, 25.0, 2.0, 28.34))
    assert "held-out PSNR 28.3" in out.getvalue()


def test_bars_on_a_terminal() -> None:
    out = io.StringIO()
    with Bars(Console(file=out, force_terminal=True, width=120)) as bars:
        bars.stage("capture", "my [red]film.mp4")
        bars.step("looking for the face", 0.9)
        bars.step("following the face", 0.1)
        bars.stage("train", "30 frames")
        bars.training(Progress(100, 200, 0.0123, 25.0, 4.0))
    text = out.getvalue()
    assert "capture" in text
    assert "100%" in text
    assert "25 it/s, loss 0.0123" in text


def test_an_error_leaves_the_stage_unfinished() -> None:
    bars, out = plain()

    def work() -> None:
        with bars:
            bars.stage("capture")
            raise ValueError

    with pytest.raises(ValueError):
        work()
    assert "done" not in out.getvalue()
    assert not INTERRUPTS.patient
