"""Many pages, slow pages, pages that vanish: nothing piles up and the driver does not wait."""

from __future__ import annotations

import gc
import math
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from avatars.viewer.app import Viewer
from avatars.viewer.sharpness import MAX_ROWS, MIN_ROWS, Sharpness
from avatars.viewer.sources.livelink import LiveLink

from .page import Page
from .patience import PATIENCE, until
from .test_sources import packet, values

_CYCLES, _WARM_UP = 100, 30


def resident() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settle(running: Viewer) -> None:
    """Wait until all pages are gone."""
    server = running.server.viser._websock_server
    until(lambda: not running.stage.renderer.visitors and not server._client_state_from_id)


def test_pages_that_come_and_go_leave_nothing(viewer: Viewer) -> None:
    settle(viewer)
    place, before, threads = viewer.stage.front(), 0, 0
    for i in range(_CYCLES):
        if i == _WARM_UP:
            settle(viewer)
            gc.collect()
            before, threads = resident(), threading.active_count()
        page = Page(viewer.server.port, place, (128, 96))
        if i % 3 == 0:
            page.wait(lambda page=page: page.pictures, "a picture")
        if i % 3 == 1:  # vanish without a word, perhaps in the middle of a picture
            page.socket.socket.shutdown(socket.SHUT_RDWR)
        page.close()
    settle(viewer)
    until(lambda: threading.active_count() <= threads + 1)
    gc.collect()
    growth = (resident() - before) / (1 << 20)
    print(f"{_CYCLES - _WARM_UP} pages that came and went: {growth:.1f} MB, {threading.active_count()} threads")
    assert growth < 20


def test_a_page_that_does_not_read_gets_less_and_slows_nobody(viewer: Viewer, page: Page) -> None:
    viewer.stage.choose("Captured motion")
    stuck = Page(viewer.server.port, viewer.stage.front(), (960, 720), reads=False)
    try:
        page.wait(lambda: len(viewer.stage.renderer.visitors) == 2, "the other page")
        visitor = viewer.stage.renderer.visitors[max(viewer.stage.renderer.visitors)]
        deadline, last, count = time.monotonic() + 2 * PATIENCE, -1.0, 0
        # Buffers on the way fill up; from then on none is drawn for it, while the other page gets one after another.
        while not visitor.sent or last != visitor.sent[-1] or page.pictures < count + 15:
            assert time.monotonic() < deadline, "pictures are drawn for nobody"
            if visitor.sent and last != visitor.sent[-1]:
                last, count = visitor.sent[-1], page.pictures
            time.sleep(0.02)
        assert visitor.waiting()
    finally:
        stuck.socket.socket.close()


def test_three_pages_and_a_slow_one_do_not_slow_the_phone(viewer: Viewer) -> None:
    viewer.stage.choose("Live Link Face (iPhone)")
    link = viewer.stage.puppet.source
    assert isinstance(link, LiveLink)
    place = viewer.stage.front()
    pages = [Page(viewer.server.port, place.turned(a), (640, 480)) for a in (-20, 0, 20)]
    stuck = Page(viewer.server.port, place, (960, 720), reads=False)
    try:
        for page in pages:
            page.picture()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            counts = [page.pictures for page in pages]
            for i in range(120):
                # The system drops packets that nobody fetches: no more are sent than it surely keeps.
                until(lambda i=i: i - link.count < 30)
                phone.sendto(packet(values(jawOpen=0.5 + 0.4 * math.sin(i / 5))), ("127.0.0.1", link.port))
                time.sleep(1 / 60)
        until(lambda: link.count == 120)
        for page, count in zip(pages, counts, strict=True):
            page.wait(lambda page=page, count=count: page.pictures > count + 3, "pictures for everybody")
    finally:
        stuck.socket.socket.close()
        for page in pages:
            page.close()


def test_the_clock_does_not_wait_for_drawing(viewer: Viewer) -> None:
    viewer.stage.choose("Captured motion")
    pages = [Page(viewer.server.port, viewer.stage.front().turned(a), (640, 480)) for a in (-20, 0, 20)]
    try:
        for page in pages:
            page.picture()
        recording = viewer.stage.recording
        assert recording is not None
        start = time.monotonic()
        recording.clock.set_loop(False, start)
        recording.clock.seek(0.0, start)
        end = start + recording.clock.duration
        while (now := time.monotonic()) < end:
            assert recording.clock.time(now) == pytest.approx(now - start, abs=1e-6)
            time.sleep(0.01)
        assert recording.clock.time(time.monotonic()) == recording.clock.duration
        assert not recording.clock.playing
    finally:
        for page in pages:
            page.close()


def test_pictures_shrink_until_they_are_in_time() -> None:
    def rows_after(cost: float, visitors: int) -> int:
        """`cost`: s per square row."""
        sharp = Sharpness(25.0)
        for _ in range(200):
            rows = sharp.moving(1080)
            sharp.took(rows, cost * rows * rows, visitors)
        return sharp.moving(1080)

    cost = 0.032 / 540**2  # 540 rows take the 32 ms that one visitor may cost
    assert abs(rows_after(cost, 1) - 540) <= 16
    assert abs(rows_after(cost, 4) - 270) <= 16, "four visitors share the time"
    assert rows_after(cost / 100, 1) == MAX_ROWS
    assert rows_after(cost * 100, 1) == MIN_ROWS
    assert Sharpness(25.0).moving(100) == 100
    assert Sharpness.still(720) == 720
