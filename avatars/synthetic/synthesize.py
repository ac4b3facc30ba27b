"""From a seed to a video of somebody who does not exist, and the truth about it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..data import Camera, Track
from ..errors import InputError
from ..files import require_new
from ..heads.head import Head
from .film import write_film
from .look import Look, draw_look
from .performance import Performance, perform
from .room import paint_room
from .sounds import babble
from .studio import Body, Studio
from .truth import GroundTruth, NovelView, orbit
from .voice import RATE, speak

VISIBLE = 0.40
"""m of the scene that the picture is high, at the head."""
_HEAD_DROP = 0.004
"""m below the middle of the picture at which the head's origin rests."""
_NOISE = 0.004
"""Standard deviation of the sensor's noise, in sRGB."""
_LIMITS = {
    "seed": (0, 2**31 - 1), "seconds": (0.4, 600), "fps": (5, 120), "size": (128, 1024), "yaw_deg": (0, 60),
    "ambient": (0.05, 1), "focal": (0.8, 6), "views": (0, 100),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What can be asked of a synthetic video."""

    seed: int = 0
    """Decides all that is drawn by chance: the person, their clothes, the room, what they do."""
    seconds: float = 8.0
    fps: float = 25.0
    size: int = 384
    """Side of the square picture, px."""
    yaw_deg: float = 30.0
    """How far the head turns to either side."""
    ambient: float = 0.42
    """Share of the light that comes from all around; the rest comes from a lamp."""
    light: tuple[float, float, float] | None = None
    """Direction towards the lamp (x right, y down, z away from the camera); drawn by chance if None."""
    focal: float | None = None
    """Focal length in units of the picture's side; drawn by chance if None."""
    sound: bool = True
    views: int = 4
    """How many frames are also drawn from the sides."""
    view_yaws: tuple[float, ...] = (-45.0, -30.0, 30.0, 45.0)
    """Degrees around the head from which they are drawn."""

    def validate(self) -> Settings:
        """Return self, or raise InputError naming what is out of range."""
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise InputError(f"{name} = {value} is outside [{low}, {high}]", where="synth")
        if self.size % 2:
            raise InputError(f"size = {self.size} is odd", where="synth", fix="Video needs an even size")
        if self.light is not None and not (np.isfinite(self.light).all() and np.linalg.norm(self.light) > 1e-3):
            raise InputError(f"light = {self.light} is no direction", where="synth")
        return self

    def made(self, described: dict[str, Any]) -> bool:
        """Whether a truth's settings say that it was made with these."""
        asked = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: described.get(k) for k in asked} == json.loads(json.dumps(asked))


def synthesize(
    out: Path | str,
    head: Head,
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> GroundTruth:
    """Render a synthetic video and write it beside its truth: `NAME.mp4` and `NAME.truth/`.

    The same seed, settings and head give the same pictures on one machine.

    Args:
        out: the video to write.
        head: with its identity basis.
        settings: what is asked for.
        overwrite: replace files of these names.
        progress: called with the share done and what is being done.

    Raises:
        InputError: a setting is out of range, or the output exists.
        AvatarError: the output cannot be written.
    """
    settings = (settings or Settings()).validate()
    truth_path = require_outputs(out, overwrite)
    say = progress or (lambda share, news: None)
    say(0.0, "dressing")
    scene = _Scene.prepare(head, settings)
    mattes: list[np.ndarray] = []

    def pictures() -> Iterator[np.ndarray]:
        for row in range(len(scene.performance.times)):
            image, matte = scene.film(row)
            mattes.append(matte)
            say(0.05 + 0.85 * (row + 1) / len(scene.performance.times), f"frame {row + 1}")
            yield image

    write_film(out, pictures(), settings.fps, scene.sound, RATE)
    say(0.92, "side views")
    truth = GroundTruth(scene.track(head), np.stack(mattes), scene.views(), scene.describe())
    truth.save(truth_path)
    say(1.0, "done")
    return truth


def require_outputs(out: Path | str, overwrite: bool) -> Path:
    """Where the truth about the video `out` goes.

    Raises:
        InputError: `out` is no .mp4, or either exists and `overwrite` is off.
    """
    out = Path(out)
    if out.suffix.lower() != ".mp4":
        raise InputError("The video's name must end in .mp4", where=out)
    truth_path = out.with_suffix(".truth")
    require_new(out, overwrite)
    require_new(truth_path, overwrite)
    return truth_path


@dataclass
class _Scene:
    """All that is decided before the first picture."""

    settings: Settings
    look: Look
    identity: np.ndarray
    studio: Studio
    camera: Camera
    performance: Performance
    room: np.ndarray
    sound: np.ndarray | None

    @staticmethod
    def prepare(head: Head, settings: Settings) -> _Scene:
        # Each matter has its own stream of chance, so that a longer video is of the same person in the same room.
        person, room, speech, motion = (np.random.default_rng([settings.seed, k]) for k in range(4))
        look = draw_look(person, settings.ambient, settings.light, settings.focal)
        identity = person.normal(0, look.identity_spread, len(head.identity_basis)).astype(np.float32)
        shaped = head.shape(identity)
        studio = Studio(shaped, look, person, min(1024, max(512, 2 * settings.size)))
        focal = look.focal * settings.size
        half = settings.size / 2
        camera = Camera(focal, focal, half, half, settings.size, settings.size)
        times = np.arange(max(2, round(settings.seconds * settings.fps))) / settings.fps
        spoken = babble(settings.seconds, speech)
        place = np.array([0.0, _HEAD_DROP, look.focal * VISIBLE])
        performance = perform(shaped, spoken, times, place, math.radians(settings.yaw_deg), motion)
        background = paint_room(look, settings.size, settings.size, room)
        sound = speak(spoken, len(times) / settings.fps, speech) if settings.sound else None
        return _Scene(settings, look, identity, studio, camera, performance, background, sound)

    def body(self, row: int) -> Body:
        p = self.performance
        return self.studio.pose(
            p.expression[row], p.rotation[row], p.translation[row], p.torso_rotation[row], p.torso_translation[row]
        )

    def film(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """(picture [H, W, 3], matte [H, W]) uint8 of one frame."""
        color, cover = self.studio.draw(self.body(row), self.camera)
        shown = encode(color + (1 - cover[..., None]) * self.room)
        grain = np.random.default_rng([self.settings.seed, 4, row]).standard_normal(shown.shape, np.float32)
        return to_bytes(shown + _NOISE * grain), to_bytes(cover)

    def views(self) -> list[NovelView]:
        """Some frames, evenly spaced in time, from all the sides asked for."""
        count = len(self.performance.times)
        out = []
        for row in np.unique(np.linspace(0, count - 1, self.settings.views + 2).astype(int)[1:-1]).tolist():
            body = self.body(row)
            for yaw in self.settings.view_yaws:
                camera = orbit(self.camera, self.performance.translation[row].astype(float), yaw)
                color, cover = self.studio.draw(body, camera)
                straight = encode(color / np.maximum(cover, 1e-3)[..., None])
                out.append(NovelView(row, yaw, camera, to_bytes(np.dstack([straight, cover]))))
        return out

    def track(self, head: Head) -> Track:
        p = self.performance
        count = len(p.times)
        return Track(
            identity=self.identity,
            camera=self.camera,
            frame=np.arange(count, dtype=np.int64),
            times=p.times,
            expression=p.expression,
            rotation=p.rotation,
            translation=p.translation,
            torso_rotation=p.torso_rotation,
            torso_translation=p.torso_translation,
            landmark_offsets=np.zeros((478, 3), np.float32),
            confidence=np.ones(count, np.float32),
            head={"name": head.name, "version": head.version, "sha256": head.sha256},
        ).validate()

    def describe(self) -> dict[str, Any]:
        asked = {f.name: getattr(self.settings, f.name) for f in fields(self.settings)}
        versions = {"avatars": __version__, "torch": torch.__version__, "numpy": np.__version__}
        return {**asked, "look": asdict(self.look), "versions": versions}


def encode(color: np.ndarray) -> np.ndarray:
    """Linear light to sRGB in [0, 1], highlights rolled off softly."""
    knee = 0.8
    over = np.maximum(color - knee, 0)
    c = np.clip(np.minimum(color, knee) + (1 - knee) * (1 - np.exp(-over / (1 - knee))), 0, 1)
    return np.where(c <= 0.0031308, 12.92 * c, 1.055 * np.maximum(c, 1e-8) ** (1 / 2.4) - 0.055)


def to_bytes(value: np.ndarray) -> np.ndarray:
    """[0, 1] to uint8."""
    return np.round(np.clip(value, 0, 1) * 255).astype(np.uint8)
