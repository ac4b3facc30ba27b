"""What is not a video, is too much of one, or only part of one: an InputError or what can be used, nothing else."""

from __future__ import annotations

import struct
import subprocess
import sys
import threading
import zlib
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from avatars.capture.audio import read_audio
from avatars.capture.media import AUDIO_CONTAINERS, VIDEO_CONTAINERS, open_media
from avatars.capture.video import frames, probe
from avatars.errors import InputError

from .making import moving, tone, write_sound, write_video


def png(width: int, height: int) -> bytes:
    """A white 1-bit picture: tiny as a file, huge when decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\xff" * ((width + 7) // 8)) * height)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def mux_png(path: Path, data: bytes, side: int, times: tuple[float, ...] = (0.0,)) -> Path:
    """A mov whose pictures are given PNG files."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("png", rate=30)
        stream.width, stream.height, stream.pix_fmt = side, side, "rgb24"
        for time in times:
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = round(time * 1000)
            out.mux(packet)
    return path


NOT_VIDEOS = {
    "empty.mp4": b"",
    "text.mp4": b"This is not a video.\n" * 400,
    "zeros.mp4": bytes(100_000),
    "image.mp4": png(64, 64),
    "playlist.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
    "concat.mp4": b"ffconcat version 1.0\nfile real.mp4\n",
    "session.sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "page.mp4": b"<!DOCTYPE html><html><body>404</body></html>",
    "dash.mpd": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
}


@pytest.mark.parametrize("name", NOT_VIDEOS)
def test_not_a_video(tmp_path: Path, name: str) -> None:
    write_video(tmp_path / "real.mp4", moving(4))  # what the ffconcat script names
    path = tmp_path / name
    path.write_bytes(NOT_VIDEOS[name])
    for look in (probe, lambda p: list(frames(p)), read_audio):
        with pytest.raises(InputError) as error:
            look(path)
        assert name in str(error.value)


@pytest.mark.parametrize("containers", [VIDEO_CONTAINERS, AUDIO_CONTAINERS])
def test_the_whitelist_is_what_refuses_scripts(tmp_path: Path, containers: str) -> None:
    """libav by itself follows an ffconcat script to its sibling; with the whitelist it does not."""
    write_video(tmp_path / "real.mp4", moving(4))
    script = tmp_path / "concat.mp4"
    script.write_bytes(NOT_VIDEOS["concat.mp4"])
    with av.open(str(script)) as container:
        assert next(container.decode(video=0)).width == 96
    with pytest.raises(InputError):
        open_media(script, containers)


def test_no_file_directory_or_odd_name(tmp_path: Path) -> None:
    write_video(tmp_path / "real.mp4", moving(4))
    for bad in (tmp_path, tmp_path / "missing.mp4", "a\0b.mp4", f"concat:{tmp_path / 'real.mp4'}", "/dev/null", "-"):
        with pytest.raises(InputError):
            probe(bad)
    odd = tmp_path / "concat:50% été|x 😀.mp4"  # a legal name, taken as one
    odd.write_bytes((tmp_path / "real.mp4").read_bytes())
    assert probe(odd).width == 96


def test_no_socket_is_opened(tmp_path: Path) -> None:
    hits = []

    class Counter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Counter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/"
    try:
        playlist = tmp_path / "list.m3u8"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{base}a.ts\n#EXT-X-ENDLIST\n")
        script = tmp_path / "script.mp4"
        script.write_text(f"ffconcat version 1.0\nfile {base}b.mp4\n")
        for bad in (
            f"{base}c.mp4",
            Path(f"{base}d.mp4"),
            playlist,
            script,
            f"concat:{base}e.mp4",
            f"async:{base}f.mp4",
        ):
            for look in (probe, read_audio):
                with pytest.raises(InputError):
                    look(bad)
    finally:
        server.shutdown()
        server.server_close()
    assert hits == []


def test_sound_only_and_cover_art(tmp_path: Path) -> None:
    sound = write_sound(tmp_path / "sound.m4a", tone(1.0, 48000), 48000, codec="aac")
    with pytest.raises(InputError, match="no moving picture"):
        probe(sound)
    cover = tmp_path / "cover.m4a"
    with av.open(str(cover), "w", format="mp4") as out, av.open(str(sound)) as source:
        track = out.add_stream_from_template(source.streams.audio[0])
        art = out.add_stream("png", rate=1)
        art.width = art.height = 64
        art.pix_fmt = "rgb24"
        art.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(png(64, 64))
        packet.stream, packet.pts, packet.dts, packet.time_base = art, 0, 0, Fraction(1)
        out.mux(packet)
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = track
                out.mux(packet)
    with pytest.raises(InputError, match="no moving picture"):
        probe(cover)
    assert read_audio(cover) is not None


@pytest.mark.parametrize(("width", "height"), [(4098, 64), (64, 4098), (3000, 3000)])
def test_too_large_is_refused_from_the_header(tmp_path: Path, width: int, height: int) -> None:
    options = {"preset": "ultrafast", "crf": "40"}
    path = write_video(tmp_path / "large.mp4", [np.zeros((height, width, 3), np.uint8)], options=options)
    with pytest.raises(InputError, match="too large"):
        probe(path)


def test_too_fast_and_too_long(tmp_path: Path) -> None:
    fast = write_video(tmp_path / "fast.mp4", moving(10), rate=1000)
    with pytest.raises(InputError, match="1000 frames per second"):
        probe(fast)
    long = mux_png(tmp_path / "long.mov", png(64, 64), 64, times=(0.0, 36000.0, 36001.0))
    with pytest.raises(InputError, match="600 minutes"):
        probe(long)


def test_decompression_bomb_costs_nothing(tmp_path: Path) -> None:
    """A 20000 x 20000 picture in a 50 kB file: looking at it may not decode it (100 MB on top of what is loaded)."""
    lying = mux_png(tmp_path / "lying.mov", png(20000, 20000), 64)
    header = bytearray(lying.read_bytes())
    size = header.rindex(b"png ") + 28  # of the picture, in the sample description
    header[size : size + 4] = struct.pack(">HH", 20000, 20000)
    honest = tmp_path / "honest.mov"
    honest.write_bytes(header)
    code = (
        "import resource, sys, av; from avatars.capture.video import probe; from avatars.errors import InputError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    try: probe(path)\n"
        "    except InputError: print('refused')\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(honest), str(lying)], capture_output=True, text=True, timeout=60, check=True
    )
    first, second, megabytes = done.stdout.split()
    assert (first, second) == ("refused", "refused")
    assert int(megabytes) < 100


@pytest.mark.parametrize("percent", [25, 50, 90, 99])
@pytest.mark.parametrize("index_first", [False, True])
def test_truncated(tmp_path: Path, percent: int, index_first: bool) -> None:
    """With the index at the end nothing is left; with it in front, the pictures before the cut are."""
    container = {"movflags": "+faststart"} if index_first else {}
    whole = write_video(tmp_path / "whole.mp4", noise(60), container_options=container)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * percent // 100])
    if not index_first:
        with pytest.raises(InputError, match="cut off"):
            probe(cut)
        return
    warnings: list[str] = []
    count = len(list(frames(cut, warnings=warnings)))
    assert 0.6 * percent - 6 <= count <= 0.6 * percent
    if percent <= 90:
        assert any("breaks off" in w for w in warnings)


def noise(count: int) -> list[np.ndarray]:
    """Pictures that cost about the same number of bytes each."""
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize("flips", [50, 1000])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_flipped_bytes_never_crash(tmp_path: Path, flips: int, suffix: str) -> None:
    """Anywhere in the file, index included: pictures or an InputError, times that increase, sizes that hold."""
    codec = "mpeg4" if suffix == "avi" else "libx264"
    whole = write_video(tmp_path / f"whole.{suffix}", noise(30), codec=codec).read_bytes()
    random = np.random.default_rng(flips)
    outcomes = []
    for _ in range(8):
        data = bytearray(whole)
        for at in random.integers(0, len(data), flips):
            data[at] ^= int(random.integers(1, 256))
        path = tmp_path / f"flipped.{suffix}"
        path.write_bytes(data)
        try:
            info = probe(path)
            pairs = list(frames(info))
        except InputError:
            outcomes.append("refused")
            continue
        times = [t for t, _ in pairs]
        assert all(b > a for a, b in pairwise(times))
        assert all(image.shape == (info.height, info.width, 3) for _, image in pairs)
        outcomes.append("read")
    assert outcomes


def test_flipped_picture_bytes_lose_few_pictures(tmp_path: Path) -> None:
    """Damage to the pictures alone: the rest of the video is still read."""
    whole = bytearray(write_video(tmp_path / "whole.mp4", noise(60)).read_bytes())
    begin = whole.index(b"mdat") + 2000
    end = whole.index(b"moov") - 100
    random = np.random.default_rng(1)
    for at in random.integers(begin, end, 40):
        whole[at] ^= 0xFF
    path = tmp_path / "flipped.mp4"
    path.write_bytes(whole)
    assert len(list(frames(path))) >= 50
