"""How fast the viewer is, for pages that count pictures.

    python -m tests.viewer.measure X.avatar|SPLATS [PAGES] [SECONDS]

Given a number, an invented avatar of so many splats with as many bases as a trained one is shown. The 100 pages that
come and go are counted in test_load.py, lips and sound in test_browser_sound.py; both print what they find (pytest -s).
"""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from avatars.splats.avatar import Avatar
from avatars.viewer.app import Options, Viewer
from avatars.viewer.sources.livelink import LiveLink

from .conftest import difference
from .making import make_avatar
from .page import Page
from .patience import until
from .test_sources import packet, values

_SIZE = (512, 512)
_BASES = 20
_TRIES = 15


def small(image: np.ndarray) -> np.ndarray:
    """A picture of any size made comparable with others."""
    return cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)


def throughput(viewer: Viewer, pages: int, seconds: float) -> None:
    """Print pictures per second and latency for pages that watch the captured motion."""
    place = viewer.stage.front()
    opened = [Page(viewer.server.port, place.turned(8 * i), _SIZE) for i in range(pages)]
    time.sleep(4)  # until the size of the pictures has settled
    start, counts, busy = time.monotonic(), [page.pictures for page in opened], time.process_time()
    rows: list[int] = []
    while time.monotonic() < start + seconds:
        time.sleep(0.25)
        rows += [v.rows for v in viewer.stage.renderer.visitors.values()]
    took, busy = time.monotonic() - start, time.process_time() - busy
    numbers = [page.pictures - count for page, count in zip(opened, counts, strict=True)]
    gaps = np.diff([t for t in opened[0].times if t > start])
    late = [v.latency for v in viewer.stage.renderer.visitors.values()]
    size = np.mean([len(page.jpeg) for page in opened]) / 1000
    splats = len(viewer.stage.avatar.splats)
    print(f"{splats} splats, {pages} pages: {' '.join(f'{n / took:.1f}' for n in numbers)} pictures/s of {size:.0f} kB")
    print(
        f"rows {np.median(rows):.0f} (median) of {_SIZE[1]}; 95 % of gaps under {1000 * np.percentile(gaps, 95):.0f} ms"
    )
    print(f"{1000 * busy / max(sum(numbers), 1):.0f} ms of processor time per picture, pages included")
    print(f"pose to sent picture {1000 * np.mean(late):.0f} ms")
    for page in opened:
        page.close()


def latency(viewer: Viewer) -> None:
    """Print how long after a phone's packet a page holds a picture that shows it, half of the way."""
    viewer.stage.choose("Live Link Face (iPhone)")
    link = viewer.stage.puppet.source
    assert isinstance(link, LiveLink)
    page = Page(viewer.server.port, viewer.stage.front(), _SIZE)
    taken, came = [], 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:

        def show(jaw: float, seconds: float) -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                phone.sendto(packet(values(jawOpen=jaw)), ("127.0.0.1", link.port))
                time.sleep(1 / 60)

        try:
            show(0.9, 1.0)
            wide = small(page.picture())
            show(0.0, 1.0)
            shut = small(page.picture())
            for _ in range(_TRIES):
                show(0.0, 0.7)
                began, image = time.monotonic(), shut
                while difference(image, wide) > difference(image, shut):
                    show(0.9, 0.005)
                    image, came = small(page.picture()), page.times[-1]
                taken.append(came - began)
        finally:
            page.close()
    print(f"packet to picture at the page {1000 * np.median(taken):.0f} ms (median of {_TRIES}; slowest "
          f"{1000 * max(taken):.0f} ms)")  # fmt: skip


def main(what: str, pages: int = 1, seconds: float = 10) -> None:
    """Measure one avatar."""
    avatar = make_avatar(splats=int(what), bases=_BASES) if what.isdecimal() else Avatar.load(Path(what))
    with Viewer(avatar, Options(port=0, livelink_port=0)) as viewer:
        throughput(viewer, pages, seconds)
        until(lambda: not viewer.stage.renderer.visitors)
        latency(viewer)


if __name__ == "__main__":
    main(sys.argv[1], *(f(x) for f, x in zip((int, float), [*sys.argv[2:], "1", "10"][:2], strict=True)))  # type: ignore[arg-type]
