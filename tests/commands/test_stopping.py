"""Ctrl-C, SIGTERM, and two processes on one run directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from avatars import cli
from avatars.commands.interrupts import INTERRUPTS
from avatars.commands.lock import NAME, exclusive
from avatars.commands.progress import Bars
from avatars.errors import AvatarError
from avatars.files import load_tensors
from tests.commands.conftest import make_run, run


def tensors(avatar: Path) -> dict[str, np.ndarray]:
    return load_tensors(avatar / "avatar.safetensors")[0]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_training_continues_to_the_bit(
    tmp_path: Path,
    trained: Path,
    preset: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    code: int,
) -> None:
    directory = make_run(tmp_path / "b.run")
    command = ["train", directory, "-o", tmp_path / "b.avatar", "--preset", preset, "--name", "A <script>"]
    original = Bars.training
    seen: list[int] = []

    def training(self: Bars, progress: object) -> None:
        seen.append(progress.iteration)  # type: ignore[attr-defined]
        if len(seen) == 1:
            os.kill(os.getpid(), number)
        original(self, progress)

    monkeypatch.setattr(Bars, "training", training)
    assert run(*command) == code
    assert "stopped; run the same command to continue" in capsys.readouterr().err
    assert not (tmp_path / "b.avatar").exists()
    assert list(directory.glob("training-*/checkpoint.safetensors"))
    assert seen == [50]  # it stopped after the step it was in

    assert run(*command) == 0
    assert seen[1] == 100  # and went on from there
    whole, pieces = tensors(trained), tensors(tmp_path / "b.avatar")
    assert whole.keys() == pieces.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(pieces[name], value, err_msg=name)


@dataclass
class _Stub:
    """A verb that is interrupted in a stage of its own."""

    def run(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not reached")


def test_elsewhere_it_stops_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "parse", lambda arguments: _Stub())
    assert run("stub") == 130
    assert capsys.readouterr().err.strip() == "stopped; run the same command to continue"


def test_the_second_signal_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = []

    class Patient:
        def run(self) -> None:
            INTERRUPTS.patient = True
            os.kill(os.getpid(), signal.SIGINT)
            reached.append("after the first")
            os.kill(os.getpid(), signal.SIGINT)
            reached.append("after the second")

    monkeypatch.setattr(cli, "parse", lambda arguments: Patient())
    assert run("stub") == 130
    assert reached == ["after the first"]


def test_handlers_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(cli, "parse", lambda arguments: _Stub())
    run("stub")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_reader_that_has_seen_enough() -> None:
    """`avatars --help | head -1` prints one line and no traceback."""
    code = "import sys; from avatars.cli import main; sys.argv[1:] = ['--help']; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert "Traceback" not in child.stderr.read()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with exclusive(tmp_path / "x.run"):
        assert (tmp_path / "x.run" / NAME).read_text() == f"{os.getpid()}\n"
        code = (
            "import sys; from pathlib import Path; from avatars.commands.lock import exclusive\n"
            "try:\n    exclusive(Path(sys.argv[1])).__enter__()\nexcept Exception as error:\n    print(error)"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "x.run")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert f"Another process ({os.getpid()}) works on this run" in done.stdout
        with pytest.raises(AvatarError, match="Another process"), exclusive(tmp_path / "x.run"):
            pass
    assert not (tmp_path / "x.run").exists()  # nothing was made in it


def test_a_dead_owners_lock_is_taken_over(tmp_path: Path) -> None:
    """Even of a process that was killed and whose number is in use again."""
    directory = tmp_path / "x.run"
    code = (
        "import os, signal, sys; from pathlib import Path; from avatars.commands.lock import exclusive\n"
        "held = exclusive(Path(sys.argv[1])); held.__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(directory)], check=False)
    assert (directory / NAME).read_text().strip().isdigit()
    (directory / NAME).write_text("1\n")
    (directory / "clip").mkdir()
    with exclusive(directory):
        assert (directory / NAME).read_text() == f"{os.getpid()}\n"
    assert (directory / "clip").is_dir()


def test_the_lock_guards_the_verbs(
    tmp_path: Path, trained: Path, preset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = make_run(tmp_path / "c.run")
    with exclusive(directory):
        assert run("train", directory, "-o", tmp_path / "c.avatar", "--preset", preset) == 1
        assert "Another process" in capsys.readouterr().err
        assert run("track", directory) == 1
