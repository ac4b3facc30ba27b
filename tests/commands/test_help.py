"""--help is documentation: it names what is read, written and asked for, and costs nothing."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from avatars import __version__
from avatars.cli import VERBS, main
from tests.commands.conftest import run


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(*arguments) == 0
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.mark.parametrize("verb", list(VERBS))
def test_each_verb_explains_itself(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    text = shown(capsys, verb, "--help")
    first = " ".join((VERBS[verb].__doc__ or "").split("\n\n")[0].split())
    assert first in text
    for field in dataclasses.fields(VERBS[verb]):
        if "subcommand" in str(field.type) or "Positional" in str(field.type):  # these show other names
            continue
        assert field.name.replace("_", "-").split("-")[0] in text.lower(), field.name


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (
            "build",
            ["X.run", "goes on where it was", "capture", "track", "train", "evaluate", "report.html", "--consent"],
        ),
        ("capture", ["RUN/clip", "background", "--subject {None,largest,left,right}"]),
        ("track", ["RUN/track.safetensors", "what to film again"]),
        ("train", ["RUN/training-*", "to the bit"]),
        ("render", ["{front,orbit,sides,sweep,track,compare}", "--background", "PNG"]),
        ("reenact", ["--video", "--csv LIVELINK.csv", "the driver's resting face is subtracted", "sound"]),
        ("evaluate", ["psnr_landmark", "landmark_rmse_px", "anew"]),
    ],
)
def test_help_says_what_matters(capsys: pytest.CaptureFixture[str], verb: str, words: list[str]) -> None:
    text = shown(capsys, verb, "--help")
    for word in words:
        assert word in text


@pytest.mark.parametrize("action", ["install", "list", "build"])
def test_head_actions(capsys: pytest.CaptureFixture[str], action: str) -> None:
    assert f"avatars head {action}" in shown(capsys, "head", action, "--help")


def test_without_arguments_all_verbs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys)
    assert text == shown(capsys, "--help")
    assert all(f"• {verb}" in text for verb in VERBS)
    assert "avatars build VIDEO -o NAME.avatar" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--version") == f"avatars {__version__}"


def test_wrong_usage_exits_with_2_and_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, hint in (
        (["biuld"], "build"),
        (["render", "x.avatar", "-o", "y", "--siez", "3"], "--size"),
        (["build", "v.mp4"], "--output"),
        (["capture", "v.mp4", "-o", "r", "--size", "big"], "size"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert hint in capsys.readouterr().err


def test_starting_imports_nothing_heavy() -> None:
    code = (
        "import sys; import avatars.cli; avatars.cli.parse(['render', 'a', '-o', 'b']);"
        "print([m for m in ('torch', 'mediapipe', 'cv2', 'av', 'scipy', 'anny', 'viser') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
