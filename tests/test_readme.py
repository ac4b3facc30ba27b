"""The README is true: its commands parse, and what it names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from avatars import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = "\n".join(re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", README, re.M | re.S))
COMMANDS = [line.split(" #")[0].strip() for line in BLOCKS.replace("\\\n", " ").splitlines() if line.strip()]
NAMED_VERBS = sorted(set(re.findall(r"`avatars ([a-z]+)`", README)))


def _run_of(command: str) -> list[str]:
    return [word for word in shlex.split(command) if word != "$"]


@pytest.mark.parametrize("command", [c for c in COMMANDS if _run_of(c)[0] == "avatars"])
def test_commands_parse(command: str) -> None:
    cli.parse(_run_of(command)[1:])


@pytest.mark.parametrize("verb", NAMED_VERBS)
def test_verbs_exist_and_explain_themselves(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb in cli.VERBS
    with pytest.raises(SystemExit) as stop:
        cli.parse([verb, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out) > 200


def test_every_verb_is_named() -> None:
    assert set(cli.VERBS) <= set(re.findall(r"\bavatars ([a-z]+)", README))


@pytest.mark.parametrize("command", [c for c in COMMANDS if _run_of(c)[0] == "bash"])
def test_scripts_are_there(command: str) -> None:
    script = ROOT / _run_of(command)[1]
    assert script.is_file()
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")


def test_links_and_pictures_are_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    missing = [t for t in targets if not t.startswith("https://") and not (ROOT / t).exists()]
    assert not missing


def test_folders_that_it_names_are_there() -> None:
    for name in re.findall(r"`([a-z]+/)`", README):
        assert (ROOT / name).is_dir() or name == "out/"


def test_picture_is_small() -> None:
    pictures = [ROOT / t for t in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)]
    assert pictures
    assert all(picture.stat().st_size < 300_000 for picture in pictures)
