"""Pictures and films of what was shown: drawn again afterwards, at full size and an even rate, with the sound."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError

from ..errors import InputError
from .figure import Figure
from .framing import Viewpoint
from .look import Look
from .person import Face

RATE, SOUND_RATE = 25, 16000
FILM_ROWS, PICTURE_ROWS = 720, 2160
MAX_SECONDS = 120.0


@dataclass
class Take:
    """What a film is made of."""

    times: np.ndarray
    """[n] s, increasing, monotonic clock."""
    faces: list[Face]
    viewpoint: Viewpoint
    look: Look
    sound: np.ndarray | None = None
    """[samples] 16 kHz, from the first time on."""

    @property
    def seconds(self) -> float:
        """Length of the film."""
        return float(self.times[-1] - self.times[0])


def png(figure: Figure, viewpoint: Viewpoint, look: Look) -> bytes:
    """The picture that a visitor sees, whole."""
    import imageio.v3 as iio

    rows = min(viewpoint.height, PICTURE_ROWS)
    show = look.show if look.show != "nothing" else "picture"
    image, _ = figure.picture(viewpoint.camera(rows), np.array(look.background, np.float32) / 255, show)
    return iio.imwrite("<bytes>", image, extension=".png")


def mp4(take: Take, figure_of: Callable[[Face], Figure], progress: Callable[[float], None] | None = None) -> bytes:
    """A film of a take: H.264, 25 frames/s, AAC sound if there is any.

    Raises:
        InputError: nothing was recorded.
    """
    if len(take.faces) < 2 or take.seconds <= 0:
        raise InputError("Nothing was recorded")
    # In a file of its own: an index at the front, for players that stream, needs a second pass over it.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        try:
            _encode(path, take, figure_of, progress)
        except FFmpegError as error:
            raise InputError(f"The film could not be encoded: {error}") from error
        return path.read_bytes()


def _encode(
    path: Path, take: Take, figure_of: Callable[[Face], Figure], progress: Callable[[float], None] | None
) -> None:
    rows = max(min(take.viewpoint.height, FILM_ROWS) // 2 * 2, 2)
    camera = take.viewpoint.camera(rows)
    columns = max(camera.width // 2 * 2, 2)
    background = np.array(take.look.background, np.float32) / 255
    show = take.look.show if take.look.show != "nothing" else "picture"
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as film:
        video = film.add_stream("libx264", rate=RATE, options={"crf": "17", "preset": "fast"})
        video.width, video.height, video.pix_fmt = columns, rows, "yuv420p"
        sound = film.add_stream("aac", rate=SOUND_RATE, layout="mono") if take.sound is not None else None
        count = max(round(take.seconds * RATE), 1)
        for i in range(count):
            face = take.faces[int(np.searchsorted(take.times, take.times[0] + i / RATE, side="right")) - 1]
            image, _ = figure_of(face).picture(camera, background, show)
            film.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image[:, :columns]), format="rgb24")))
            if progress is not None:
                progress((i + 1) / count)
        film.mux(video.encode(None))
        if sound is not None and take.sound is not None:
            _add_sound(film, sound, take.sound[: int(count / RATE * SOUND_RATE)])


def _add_sound(film: OutputContainer, stream: av.AudioStream, pcm: np.ndarray) -> None:
    for start in range(0, len(pcm), 1024):
        part = np.clip(pcm[start : start + 1024], -1, 1).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SOUND_RATE, start
        film.mux(stream.encode(frame))
    film.mux(stream.encode(None))
