"""How fast the viewer is, for pages that count pictures: python -m tests.viewer.measure X.avatar [PAGES] [SECONDS]"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from avatars.splats.avatar import Avatar
from avatars.viewer.app import Options, Viewer

from .page import Page


def main(path: Path, pages: int, seconds: float) -> None:
    """Print pictures per second and latency for pages of 512 x 512 px that watch the captured motion."""
    avatar = Avatar.load(path)
    with Viewer(avatar, Options(port=0, livelink_port=0)) as viewer:
        place = viewer.stage.front()
        opened = [Page(viewer.server.port, place.turned(8 * i), (512, 512)) for i in range(pages)]
        time.sleep(4)  # until the size of the pictures has settled
        start, counts, busy = time.monotonic(), [page.pictures for page in opened], time.process_time()
        rows: list[int] = []
        while time.monotonic() < start + seconds:
            time.sleep(0.25)
            rows += [v.rows for v in viewer.stage.renderer.visitors.values()]
        took, busy = time.monotonic() - start, time.process_time() - busy
        rates = [(page.pictures - count) / took for page, count in zip(opened, counts, strict=True)]
        gaps = np.diff([t for t in opened[0].times if t > start])
        late = [v.latency for v in viewer.stage.renderer.visitors.values()]
        print(f"{len(avatar.splats)} splats, {pages} pages: {' '.join(f'{r:.1f}' for r in rates)} pictures/s")
        print(
            f"rows {int(np.median(rows))} (median) of 512; 95 % of gaps under {1000 * np.percentile(gaps, 95):.0f} ms"
        )
        drawn = max(sum(page.pictures - count for page, count in zip(opened, counts, strict=True)), 1)
        print(f"{1000 * busy / drawn:.0f} ms of processor time per picture, pages included")
        size = np.mean([len(page.jpeg) for page in opened]) / 1000
        print(f"pose to sent picture {1000 * np.mean(late):.0f} ms; {size:.0f} kB")
        for page in opened:
            page.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(f(x) for f, x in zip((int, float), [*sys.argv[2:], "1", "10"][:2], strict=True)))  # type: ignore[arg-type]
