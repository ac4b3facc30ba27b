"""What the linters say; a failure shows their words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _say(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-4000:]


@pytest.mark.parametrize("command", [("check",), ("format", "--check")], ids=["lint", "format"])
def test_ruff(command: tuple[str, ...]) -> None:
    said = _say("ruff", *command, "--no-cache", "avatars", "tests", "scripts")
    assert not said, said


@pytest.mark.slow
def test_types() -> None:
    said = _say("pyright", "--pythonpath", sys.executable)
    assert not said, said
