"""`avatars view`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ..heads.head import Head


@dataclass(frozen=True)
class View:
    """See, pose and talk to an avatar in a browser.

    Opens a page on this machine: the avatar from any side, driven by its captured motion, by sliders, by speech
    (microphone, sound files, typed text), by an iPhone's Live Link Face, or by recordings. Given a run directory, it
    shows the training's newest checkpoint and its loss while the training goes on.

    Reads X.avatar or X.run; writes nothing (pictures, films and motion go to the browser). Ctrl-C ends it.
    """

    avatar: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="X.avatar|X.run")]
    """The avatar, or the run directory of a build."""
    port: int = 8080
    """Where the page is served; 0 takes a free port."""
    host: str = "127.0.0.1"
    """Address to listen on. Any other than this machine's own opens the viewer to the network: a token is printed
    then, which a page must present."""
    splats: Literal["server", "client"] = "server"
    """Who draws: this machine (the exact picture), or the browser."""
    motions: tuple[Path, ...] = ()
    """Live Link Face recordings (.csv) to choose from."""
    sounds: tuple[Path, ...] = ()
    """Sound files to choose from."""
    livelink_port: int = 11111
    """UDP port for Live Link Face, opened only while that source is chosen."""

    def run(self) -> None:
        """Serve until Ctrl-C."""
        from ..splats.avatar import Avatar
        from ..viewer.app import Options, Viewer
        from ..viewer.runs import Watched
        from ..viewer.security import is_loopback

        logging.basicConfig(format="%(message)s", level=logging.WARNING)
        options = Options(self.host, self.port, self.splats, self.motions, self.sounds, self.livelink_port)
        if (self.avatar / "clip").is_dir() or self.avatar.suffix == ".run":
            viewer = Viewer(None, options, Watched(self.avatar, _head_of))
        else:
            viewer = Viewer(Avatar.load(self.avatar), options)
        with viewer:
            if not is_loopback(self.host):
                print("Warning: everybody who can reach this machine and has the token sees and drives this face.")
            print(f"Open {viewer.url}   (Ctrl-C ends)", flush=True)
            viewer.run()


def _head_of(wanted: dict[str, str]) -> Head:
    """The head that a track was made with."""
    from .heads import find_head

    return find_head(wanted.get("name", "default"), lambda share, what: None)
