"""`avatars view` and `avatars build --view` from the outside."""

from __future__ import annotations

import fcntl
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from avatars.cli import main
from avatars.commands.lock import NAME, exclusive, held
from avatars.commands.view import wait_for_training
from avatars.commands.watching import watching
from avatars.errors import InputError
from avatars.splats.avatar import FORMAT, MANIFEST, Avatar
from avatars.training import checkpoint
from avatars.viewer.app import Viewer

from .patience import until


@pytest.fixture(scope="module")
def saved(avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The invented avatar on disk."""
    path = tmp_path_factory.mktemp("saved") / "nobody.avatar"
    avatar.save(path)
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What one command says when it is refused: one error, no traceback."""
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("avatars: ")
    assert "Traceback" not in error
    return error


def test_what_cannot_be_viewed_is_one_clear_error(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = tmp_path / "newer.avatar"
    newer.mkdir()
    manifest = json.loads((saved / MANIFEST).read_text()) | {"format": FORMAT + 1}
    (newer / MANIFEST).write_text(json.dumps(manifest))
    (newer / "avatar.safetensors").write_bytes((saved / "avatar.safetensors").read_bytes())
    text = tmp_path / "notes.wav"
    text.write_text("no sound")
    assert "Update avatars" in refused(capsys, "view", newer)
    assert "No such avatar" in refused(capsys, "view", tmp_path / "nobody.avatar")
    assert "No such run" in refused(capsys, "view", tmp_path / "nobody.run")
    assert "notes.wav" in refused(capsys, "view", saved, "--sounds", text)
    assert "notes.wav" in refused(capsys, "view", saved, "--camera", text)
    assert "notes.wav" in refused(capsys, "view", saved, "--motions", text)
    assert "notes" in refused(capsys, "view", saved, "--styles", text)


def test_a_taken_port_is_one_clear_error(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"127.0.0.1:{port}" in refused(capsys, "view", saved, "--port", port)


def test_beyond_this_machine_a_warning_and_a_token_are_printed(
    saved: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[int] = []

    def ask(viewer: Viewer) -> None:
        """Instead of serving until Ctrl-C: what is answered with and without the token."""
        for address in (viewer.url, viewer.url.split("?")[0]):
            try:
                with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(address) as answer:
                    answers.append(answer.status)
            except urllib.error.HTTPError as error:
                answers.append(error.code)

    monkeypatch.setattr(Viewer, "run", ask)
    with pytest.raises(SystemExit, match="0"):
        main(["view", str(saved), "--port", "0", "--livelink-port", "0"])
    here = capsys.readouterr().out
    assert "Warning" not in here
    assert "token" not in here
    with pytest.raises(SystemExit, match="0"):
        main(["view", str(saved), "--host", "0.0.0.0", "--port", "0", "--livelink-port", "0"])
    everywhere = capsys.readouterr().out
    assert "Warning: everybody who can reach this machine" in everywhere
    (token,) = re.findall(r"\?token=(\S+)", everywhere)
    assert len(token) >= 20
    assert answers == [200, 200, 200, 403]


def test_a_view_waits_while_a_build_has_not_begun_to_train(avatar: Avatar, tmp_path: Path) -> None:
    run = tmp_path / "new.run"
    run.mkdir()
    with pytest.raises(InputError, match="No training has begun"):
        wait_for_training(run)
    assert not held(run)

    def build() -> None:
        time.sleep(0.8)
        avatar.save(run / "training-0" / checkpoint.START)

    with exclusive(run):
        assert held(run)
        thread = threading.Thread(target=build)
        thread.start()
        watched = wait_for_training(run)
        thread.join()
    assert watched.name == "new"
    assert not held(run)
    with open(run / NAME) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.slow
def test_a_viewer_runs_beside_a_build_and_ends_with_it(avatar: Avatar, tmp_path: Path) -> None:
    run = tmp_path / "made.run"
    avatar.save(run / "training-0" / checkpoint.START)
    said: list[str] = []
    with watching(run, said.append):
        until(lambda: any("http://" in line for line in said), 240)
        (address,) = re.findall(r"http://\S+", " ".join(said))
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert answer.status == 200
    port = int(address.rstrip("/").rsplit(":", 1)[1])
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_no_viewer_runs_where_none_was_asked_for() -> None:
    with watching(None, pytest.fail):
        pass
