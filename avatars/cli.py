"""The command line: one verb per file of `avatars.commands`, put together here."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Annotated, Any, Protocol, Union

import tyro

from . import __version__
from .commands.build import Build
from .commands.capture import Capture
from .commands.demo import Demo
from .commands.doctor import Doctor
from .commands.drive import Drive
from .commands.evaluate import Evaluate
from .commands.export import Export
from .commands.head import Head
from .commands.interrupts import INTERRUPTS, Stopped
from .commands.reenact import Reenact
from .commands.render import Render
from .commands.speech import Speech
from .commands.synth import Synth
from .commands.track import Track
from .commands.train import Train
from .commands.view import View
from .errors import AvatarError

VERBS: dict[str, type] = {
    "build": Build,
    "capture": Capture,
    "track": Track,
    "train": Train,
    "render": Render,
    "reenact": Reenact,
    "drive": Drive,
    "view": View,
    "export": Export,
    "evaluate": Evaluate,
    "speech": Speech,
    "head": Head,
    "doctor": Doctor,
    "demo": Demo,
    "synth": Synth,
}
"""In the order of --help."""
_ABOUT = """Personal 3D Gaussian head avatars: build from a short video, drive, view and export.

Start with: avatars build VIDEO -o NAME.avatar
"""


class _Command(Protocol):
    def run(self) -> None: ...


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit: 0 done, 1 an error the user can act on, 2 wrong usage, 130 or 143 stopped."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        print(f"avatars {__version__}")
        raise SystemExit(0)
    try:
        command = parse(given or ["--help"])
        with INTERRUPTS.handling():
            command.run()
        sys.stdout.flush()
    except AvatarError as error:
        print(f"avatars: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt as error:
        print("\nstopped; run the same command to continue", file=sys.stderr)
        number = error.number if isinstance(error, Stopped) else 2
        raise SystemExit(128 + number) from None
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    raise SystemExit(0)


def parse(arguments: Sequence[str]) -> _Command:
    """The verb that the arguments name, filled in; wrong usage exits with 2, --help with 0."""
    asked = arguments[0] if arguments else ""
    kinds = [
        Annotated[kind, tyro.conf.subcommand(name, description=_description(kind, whole=name == asked))]
        for name, kind in VERBS.items()
    ]
    union: Any = Union[tuple(kinds)]  # noqa: UP007 (made at run time)
    return tyro.cli(
        union,
        prog="avatars",
        description=_ABOUT,
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
    )


def _description(kind: type, *, whole: bool) -> str:
    """A verb's documentation, or its first sentence where all verbs are listed."""
    paragraphs = [" ".join(part.split()) for part in (kind.__doc__ or "").split("\n\n")]
    if not whole:
        return paragraphs[0]
    width = min(100, shutil.get_terminal_size().columns)
    # tyro joins lines that begin with a letter, so every line is indented by a space.
    return "\n\n".join(textwrap.indent(textwrap.fill(paragraph, width - 1), " ") for paragraph in paragraphs)
