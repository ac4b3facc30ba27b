"""`avatars view`."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ..viewer.runs import Watched


@dataclass(frozen=True)
class View:
    """See, pose and talk to an avatar in a browser.

    Opens a page on this machine: the avatar from any side, driven by its captured motion, by sliders, by speech
    (microphone, sound files, typed text), by an iPhone's Live Link Face, by a face before a camera, or by recordings.
    Given a run directory, it shows the training as it was last saved, its loss and figures, and the film beside it,
    while the training goes on.

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
    camera: Annotated[str, tyro.conf.arg(metavar="N|FILM")] = ""
    """A camera of this machine by its number (0 is the first), or a film in its place: the face in it drives. It is
    opened only while that source is chosen."""
    styles: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="STYLE.safetensors")] = ()
    """Other people's ways of speaking (`avatars speech personalize`) to choose from."""
    livelink_port: int = 11111
    """UDP port for Live Link Face, opened only while that source is chosen."""

    def run(self) -> None:
        """Serve until Ctrl-C."""
        from ..motion.voice import style_of
        from ..splats.avatar import Avatar
        from ..viewer.app import Options, Viewer
        from ..viewer.security import is_loopback

        logging.basicConfig(format="%(message)s", level=logging.WARNING)
        is_run = self.avatar.suffix == ".run" or (self.avatar / "clip").is_dir()
        options = Options(
            self.host, self.port, self.splats, self.motions, self.sounds, self.livelink_port, self.camera,
            None if is_run else style_of(self.avatar), self.styles,
        )  # fmt: skip
        if is_run:
            viewer = Viewer(None, options, wait_for_training(self.avatar))
        else:
            viewer = Viewer(Avatar.load(self.avatar), options)
        with viewer:
            if not is_loopback(self.host):
                print("Warning: everybody who can reach this machine and has the token sees and drives this face.")
            print(f"Open {viewer.url}   (Ctrl-C ends)", flush=True)
            viewer.run()


def wait_for_training(run: Path) -> Watched:
    """The training in a run directory; while a build works there, until its training begins.

    Raises:
        InputError: there is none, and nobody is about to begin one.
    """
    from ..errors import InputError
    from ..viewer.runs import Watched
    from .lock import held

    said = False
    while True:
        building = held(run)
        try:
            return Watched(run)
        except InputError:
            if not building:
                raise
        if not said:
            print("The page opens when the training begins", flush=True)
            said = True
        time.sleep(_LOOK)


_LOOK = 0.5
"""s between looks at a run whose training has not begun."""
