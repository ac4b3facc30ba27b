"""The page of viser, with what keeps arrow keys on a slider from the camera (in a browser: `test_browser`)."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import viser

from avatars.viewer.app import Viewer
from avatars.viewer.keys import _PLACE, _SCRIPT

from .test_security import get

ORIGINAL = (Path(viser.__file__).parent / "client/build/index.html").read_bytes()


@pytest.mark.parametrize("encoding", ["identity", "gzip", "br, gzip;q=0.5"])
def test_the_page_is_visers_own_with_one_script_more(viewer: Viewer, encoding: str) -> None:
    answer = get(viewer.server.port, "/", **{"Accept-Encoding": encoding})
    body: bytes = answer.body  # type: ignore[attr-defined]
    assert answer.getheader("Content-Length") == str(len(body))
    packed = answer.getheader("Content-Encoding") == "gzip"
    assert packed == ("gzip" in encoding)
    assert (gzip.decompress(body) if packed else body) == ORIGINAL.replace(_PLACE, _PLACE + _SCRIPT)


def test_viser_has_one_place_for_it() -> None:
    assert ORIGINAL.count(_PLACE) == 1
