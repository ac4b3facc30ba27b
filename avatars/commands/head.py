"""`avatars head install | list | build`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Install:
    """Convert a FLAME file (2020, 2023 or 2023 Open) once, for use as --head NAME.

    The pickle is read in a separate, limited process that accepts arrays and nothing else. FLAME has its own licence;
    the file stays yours, the converted head lies in your cache and travels inside avatars made with it.
    """

    path: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FLAME.pkl")]
    """generic_model.pkl, flame2023.pkl or flame2023_Open.pkl, as downloaded from https://flame.is.tue.mpg.de."""

    def run(self) -> None:
        """Convert and keep it."""
        from ..heads.flame import install

        print(f"converting {self.path} (about a minute)")
        head = install(self.path)
        print(f"installed: use it with --head {head.name}")


@dataclass(frozen=True)
class List:
    """Name the heads that --head accepts."""

    def run(self) -> None:
        """Print them."""
        from .heads import DEFAULT, describe, installed

        known = installed()
        if DEFAULT not in known:
            print(f"{DEFAULT}: built when first needed (under a minute), or now with `avatars head build`")
        for name, path in known.items():
            print(f"{name}: {describe(path)[1]}, {path}")


@dataclass(frozen=True)
class Build:
    """Build the default head now instead of when it is first needed; it is kept in the cache."""

    def run(self) -> None:
        """Build it, or say where it lies."""
        from ..heads.anny import cache_path
        from .heads import DEFAULT, find_head
        from .progress import Bars

        with Bars() as bars:
            bars.stage("head", DEFAULT)
            head = find_head(DEFAULT, bars.progress)
        print(f"{len(head.template)} vertices, {len(head.identity_basis)} identity axes: {cache_path()}")


@dataclass(frozen=True)
class Head:
    """Head models: list them, build the default one, install FLAME.

    Writes to the cache directory ($AVATARS_HOME, or the user's cache).
    """

    action: (
        Annotated[Install, tyro.conf.subcommand("install")]
        | Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Build, tyro.conf.subcommand("build")]
    )

    def run(self) -> None:
        """Do what was asked."""
        self.action.run()
