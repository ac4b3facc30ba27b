"""Arrow keys on a slider move the slider and nothing else.

viser turns the camera by the arrow keys, and lets pass only those that come from an <input> or its like. Its sliders
are none, so a key held on one moved the slider and swung the camera at 50 degrees a second, and a single press did so
for as long as the page took to draw. viser listens at the document, its controls below: what is stopped in between
reaches the controls alone.
"""

from __future__ import annotations

import gzip
import http

from websockets.http11 import Response

_SCRIPT = b"""<script>
document.documentElement.addEventListener('keydown', event => {
  if (event.key?.startsWith('Arrow') && event.target.closest?.('[role=slider], [role=tab]')) event.stopPropagation();
});
</script>"""
_PLACE = b"<head>"


def with_keys(answer: Response) -> Response:
    """The page of viser with the script in it; every other answer as it is."""
    if answer.status_code != http.HTTPStatus.OK or not answer.headers.get("Content-Type", "").startswith("text/html"):
        return answer
    packed = answer.headers.get("Content-Encoding") == "gzip"
    body = gzip.decompress(answer.body) if packed else bytes(answer.body)
    body = body.replace(_PLACE, _PLACE + _SCRIPT, 1)
    answer.body = gzip.compress(body, 1) if packed else body  # most of it is packed already
    del answer.headers["Content-Length"]
    answer.headers["Content-Length"] = str(len(answer.body))
    return answer
