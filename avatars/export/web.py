"""The web export: one folder with the page, its scripts, the avatar and the speech network, for any static host."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np

from .. import files
from ..errors import AvatarError
from ..motion.voice import habits_of
from ..speech.style import Style
from ..splats.avatar import Avatar
from ..splats.model import Pose
from .bundle import Bundle, bundle
from .voice import voice_bundle

PAGE = ("index.html", "page.css", "player.js", "capture.js")
AVATAR, SPEECH = "avatar", "speech"
"""Folders of the bundles inside the export; `index.html` and the script name them."""


def page_files() -> dict[str, bytes]:
    """The built player by file name.

    Raises:
        AvatarError: the installation lacks it.
    """
    folder = resources.files("avatars.export") / "player" / "dist"
    try:
        return {name: (folder / name).read_bytes() for name in PAGE}
    except OSError as error:
        fix = "Install avatars again, or run `npm ci && npm run build` in avatars/export/player"
        raise AvatarError("The web player is missing from this installation", where=error.filename, fix=fix) from error


def save_web(
    avatar: Avatar,
    directory: Path | str,
    motion: tuple[np.ndarray, Pose] | None = None,
    *,
    style: Style | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write the folder; it appears when complete.

    Args:
        motion: times [T] s and T poses that the page plays; the avatar's own track if None.
        style: how the subject speaks and moves; if None the usual lips, and blinks, gaze and head as in the track.

    Raises:
        InputError: `directory` exists and `overwrite` is off.
    """
    files.require_new(directory, overwrite)
    page, packed = page_files(), bundle(avatar, motion, style.habits if style else habits_of(avatar))
    with files.atomic_directory(directory) as temporary:
        for name, data in page.items():
            files.write_bytes(temporary / name, data)
        (temporary / AVATAR).mkdir()
        packed.save(temporary / AVATAR)
        (temporary / SPEECH).mkdir()
        voice_bundle(style).save(temporary / SPEECH)
    return packed
