"""Formats that PlayCanvas' splat-transform writes: .sog, .compressed.ply and a self-contained .html viewer.

Nobody else writes these well, and it needs node: where either is missing, the error names what to install.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from .. import files
from ..errors import BackendError
from .ply import save_ply
from .posed import PosedSplats

FORMATS = {"sog": ".sog", "compressed-ply": ".compressed.ply", "html": ".html"}
"""Format name -> ending that the tool goes by."""
NODE, TOOL = 22, (3, 7)
"""Oldest node, and the release of the tool whose conventions are known (2.x flips axes on the way)."""
_INSTALL = f"Install node {NODE} or newer and `npm install -g @playcanvas/splat-transform@{TOOL[0]}.{TOOL[1]}`"
_SECONDS = 300


def find() -> list[str]:
    """The command that runs the tool.

    Raises:
        BackendError: node or the tool is missing or too old.
    """
    node, tool = shutil.which("node"), shutil.which("splat-transform")
    if node is None:
        raise BackendError("This format needs node, which is not installed", fix=_INSTALL)
    return list(_checked(node, tool))


@lru_cache(maxsize=4)
def _checked(node: str, tool: str | None) -> tuple[str, ...]:
    """The command, once its parts have told their versions: each start of node takes half a second."""
    version = _version([node, "--version"])
    if version < (NODE,):
        raise BackendError(
            f"This format needs node {NODE} or newer; this one is {'.'.join(map(str, version))}", fix=_INSTALL
        )
    if tool is None:
        raise BackendError("This format needs splat-transform, which is not installed", fix=_INSTALL)
    command = (node, str(Path(tool).resolve()))
    version = _version((*command, "--version"))
    if version[:2] < TOOL or version[0] != TOOL[0]:
        raise BackendError(f"splat-transform {'.'.join(map(str, version))} is not known to keep axes", fix=_INSTALL)
    return command


def _version(command: Sequence[str]) -> tuple[int, ...]:
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"Cannot run {Path(command[0]).name}: {error}", fix=_INSTALL) from error
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text.stdout + text.stderr)
    return tuple(map(int, found.groups())) if found else (0,)


def convert(splats: PosedSplats, path: Path | str, name: str) -> None:
    """Write posed splats in one of `FORMATS`.

    Raises:
        BackendError: node or the tool is missing, or the tool failed.
        AvatarError: `path` cannot be written.
    """
    command = find()
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "in.ply"), Path(directory, f"out{FORMATS[name]}")
        save_ply(splats, source)
        run(command, ["-q", "-w", "-g", "cpu", str(source), str(target)])
        if not target.is_file():
            raise BackendError("splat-transform wrote nothing", where=name)
        with files.atomic(path) as temporary:
            shutil.copyfile(target, temporary)


def run(command: list[str], arguments: list[str]) -> str:
    """What the tool prints.

    Raises:
        BackendError: it failed.
    """
    try:
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"splat-transform did not finish: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise BackendError(f"splat-transform failed: {lines[-1][:300]}")
    return done.stdout
