"""The face model file that newer mediapipe wheels do not carry: where it lies, and how it is fetched once.

Nothing is fetched unless `fetch_landmarker` is called.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from ..errors import AssetError
from ..files import sha256, user_cache, write_bytes

NAME = "face_landmarker.task"
URL = "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
SIZE = 3_758_596
"""Bytes."""
OVERRIDE = "AVATARS_FACE_LANDMARKER"
"""Environment variable that names a file to use instead."""


def landmarker_path() -> Path:
    """The model file: $AVATARS_FACE_LANDMARKER, else the verified one in the user's cache.

    Raises:
        AssetError: it is not there, or damaged.
    """
    chosen = os.environ.get(OVERRIDE)
    if chosen:
        if not Path(chosen).is_file():
            raise AssetError(f"${OVERRIDE} names no file", where=chosen, fix=f"Unset it or give the path of {NAME}")
        return Path(chosen)
    path = user_cache() / NAME
    advice = (
        "Install mediapipe 0.10.21, which carries its models, or call avatars.capture.landmarker.fetch_landmarker()"
    )
    if not path.is_file():
        raise AssetError("The installed mediapipe carries no face model", where=path, fix=advice)
    if sha256(path) != SHA256:
        raise AssetError("The face model is damaged", where=path, fix=f"Delete it. {advice}")
    return path


def fetch_landmarker(timeout: float = 30.0) -> Path:
    """Fetch the model over https into the user's cache unless it is there, and check it byte for byte.

    Raises:
        AssetError: no network, or what came is not the file that was asked for (nothing is kept then).
    """
    path = user_cache() / NAME
    if path.is_file() and sha256(path) == SHA256:
        return path
    manual = f"Check the connection, or fetch {URL} by other means and name it in ${OVERRIDE}"
    try:
        with _opener().open(URL, timeout=timeout) as reply:
            data = reply.read(SIZE + 1)
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        raise AssetError(f"The face model could not be fetched: {error}", where=URL, fix=manual) from error
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise AssetError("The face model that came is not the expected file", where=URL, fix=manual)
    write_bytes(path, data)
    return path


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """A redirect may not leave https."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Speaks https and nothing else (the default opener reads file: and ftp: as well)."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPSHandler(), _HttpsOnly(),
        urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener
