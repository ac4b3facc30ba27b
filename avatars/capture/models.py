"""The two model files that newer mediapipe wheels do not carry: where they lie, and how they are fetched once.

mediapipe 0.10.21 has both inside its wheel and needs nothing of this. Nothing is fetched unless `fetch_models` is
called.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from ..errors import AssetError
from ..files import sha256, user_cache, write_bytes


@dataclass(frozen=True)
class Model:
    """One file, known to the byte."""

    name: str
    url: str
    sha256: str
    size: int
    """Bytes."""
    override: str
    """Environment variable that names a file to use instead."""


FACE = Model(
    name="face_landmarker.task",
    url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    size=3_758_596,
    override="AVATARS_FACE_LANDMARKER",
)
PERSON = Model(
    name="selfie_segmentation.tflite",
    url="https://storage.googleapis.com/mediapipe-assets/selfie_segmentation.tflite",
    sha256="9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    size=249_505,
    override="AVATARS_SELFIE_SEGMENTER",
)


def has_legacy() -> bool:
    """Whether the installed mediapipe carries `solutions`, with the models in its wheel."""
    fix = "Run pip install mediapipe==0.10.21"
    try:
        import mediapipe
    except ImportError as error:
        raise AssetError("mediapipe cannot be imported", where=error, fix=fix) from error
    return hasattr(mediapipe, "solutions")


def model_path(model: Model) -> Path:
    """The file of a model: the one its environment variable names, else the verified one in the user's cache.

    Raises:
        AssetError: it is not there, or damaged.
    """
    chosen = os.environ.get(model.override)
    if chosen:
        if not Path(chosen).is_file():
            raise AssetError(f"${model.override} names no file", where=chosen, fix="Unset it or correct the path")
        return Path(chosen)
    path = user_cache() / model.name
    advice = "Install mediapipe 0.10.21, which carries its models, or call avatars.capture.models.fetch_models() once"
    if not path.is_file():
        raise AssetError(f"The installed mediapipe does not carry {model.name}", where=path, fix=advice)
    if sha256(path) != model.sha256:
        raise AssetError("A model file is damaged", where=path, fix=f"Delete it. {advice}")
    return path


def fetch_models(timeout: float = 30.0) -> list[Path]:
    """Fetch over https into the user's cache what is not there yet, and check it byte for byte.

    Args:
        timeout: s, for each answer of the network.

    Raises:
        AssetError: no network, or what came is not the file that was asked for (nothing is kept then).
    """
    return [_fetch(model, timeout) for model in (FACE, PERSON)]


def _fetch(model: Model, timeout: float) -> Path:
    path = user_cache() / model.name
    if path.is_file() and sha256(path) == model.sha256:
        return path
    manual = f"Check the connection, or fetch the file by other means and name it in ${model.override}"
    try:
        with _opener().open(model.url, timeout=timeout) as reply:
            data = reply.read(model.size + 1)
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        raise AssetError(f"{model.name} could not be fetched: {error}", where=model.url, fix=manual) from error
    if hashlib.sha256(data).hexdigest() != model.sha256:
        raise AssetError(f"What came is not the expected {model.name}", where=model.url, fix=manual)
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
        urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler(), urllib.request.UnknownHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener
