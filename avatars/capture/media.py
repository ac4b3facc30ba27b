"""Opening media files of others' making: which containers, from where, and what is refused.

libav would follow playlists, scripts that name other files, and URLs; every open here passes a whitelist of
containers and the protocol `file` alone, so nothing but the named file is read and no socket is opened.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import InputError

VIDEO_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
AUDIO_CONTAINERS = f"{VIDEO_CONTAINERS},wav,mp3,flac,ogg"
_NAMES = {VIDEO_CONTAINERS: "mp4, mov, mkv, webm or avi", AUDIO_CONTAINERS: "wav, mp3, m4a, flac, ogg or a video"}
MAX_PIXELS = 8_900_000
"""Of one picture: a little more than 4K (3840 x 2160, 4096 x 2160)."""


def media_file(path: Path | str) -> Path:
    """`path` as an existing, non-empty, regular file.

    Raises:
        InputError: it is a URL, missing, a directory or device, empty, or may not be read.
    """
    text = str(path)
    if re.match(r"^[a-zA-Z][a-zA-Z0-9+.-]*://", text):
        raise InputError("URLs are not opened", where=text, fix="Download the file and give its path")
    path = Path(path)
    try:
        if not path.exists():
            raise InputError("No such file", where=path)
        if not path.is_file():
            raise InputError("Not a file", where=path, fix="Give a video or sound file")
        with open(path, "rb") as file:
            if not file.read(1):
                raise InputError("The file is empty", where=path, fix="Copy or record it again")
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        raise InputError(f"Cannot read the file: {error}", where=path) from error
    return path


def open_media(path: Path, containers: str) -> Any:
    """An open PyAV input container; the caller closes it.

    Raises:
        InputError: not one of `containers`, or damaged beyond opening.
    """
    import av
    from av.error import FFmpegError

    options = {
        "format_whitelist": containers,
        "protocol_whitelist": "file",
        "max_pixels": str(MAX_PIXELS),  # looking into a stream decodes a picture: let that not be a bomb
    }
    try:
        # "file:" and an absolute path: a name such as "concat:a|b" stays a name.
        return av.open(f"file:{path.absolute()}", mode="r", options=options, metadata_errors="replace")
    except (FFmpegError, ValueError, OverflowError) as error:
        raise InputError(
            "Not a media file that can be read",
            where=path,
            fix=(
                f"Use {_NAMES[containers]}. A recording or copy that was cut off before its end has lost its "
                "index: copy it again"
            ),
        ) from error
