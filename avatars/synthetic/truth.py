"""What is true of a synthetic capture: parameters, geometry, mattes and views that the video does not show."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from .. import geometry
from ..data import Camera, Track, require_array
from ..errors import FileFormatError
from ..files import atomic_directory, load_tensors, read_json, save_tensors, write_bytes, write_json
from ..heads.head import Head, HeadModel

FORMAT = 1
_TRACK = (
    "identity", "frame", "times", "expression", "rotation", "translation", "torso_rotation", "torso_translation",
    "landmark_offsets", "confidence",
)  # fmt: skip


@dataclass(frozen=True)
class NovelView:
    """One frame seen from beside the camera."""

    frame: int
    yaw_deg: float
    """How far the camera went around the head; positive: to the person's left, so that their left cheek shows."""
    camera: Camera
    image: np.ndarray
    """[H, W, 4] uint8: sRGB colour (not multiplied) and coverage."""


@dataclass(frozen=True)
class GroundTruth:
    """Truth about one synthetic video, frame by frame."""

    track: Track
    """The parameters that the video was rendered with; world = the camera."""
    mattes: np.ndarray
    """[T, H, W] uint8 coverage, 255 = person."""
    views: list[NovelView]
    settings: dict[str, Any] = field(default_factory=dict)
    """Plain values: seed and all that was asked for or drawn."""

    def vertices(self, head: Head, rows: list[int] | np.ndarray | slice = slice(None)) -> np.ndarray:
        """True vertices [n, V, 3] m of some frames, in camera coordinates.

        Args:
            head: the one that the video was rendered with, identity basis included.

        Raises:
            FileFormatError: it is another head.
        """
        return vertices_of(self.track, head, rows)

    def save(self, directory: Path | str) -> None:
        """Write `truth.json`, `truth.safetensors` and the novel views as PNG; what was there is replaced."""
        words = {
            "format": FORMAT,
            "kind": "synthetic truth",
            "settings": self.settings,
            "camera": self.track.camera.to_json(),
            "head": self.track.head,
            "views": [{"frame": v.frame, "yaw_deg": v.yaw_deg, "camera": v.camera.to_json()} for v in self.views],
        }
        with atomic_directory(directory) as work:
            arrays = {name: getattr(self.track, name) for name in _TRACK}
            save_tensors(work / "truth.safetensors", arrays | {"mattes": self.mattes})
            write_json(work / "truth.json", words)
            for view in self.views:
                done, data = cv2.imencode(".png", cv2.cvtColor(view.image, cv2.COLOR_RGBA2BGRA))
                assert done
                write_bytes(work / _view_name(view.frame, view.yaw_deg), data.tobytes())

    @staticmethod
    def load(directory: Path | str) -> GroundTruth:
        """Read what `save` wrote.

        Raises:
            FileFormatError: missing, damaged, or of a newer program.
        """
        directory = Path(directory)
        words = read_json(directory / "truth.json")
        arrays, _ = load_tensors(directory / "truth.safetensors")
        try:
            if words["kind"] != "synthetic truth" or int(words["format"]) > FORMAT:
                raise FileFormatError("Not a truth that this program can read", where=directory)
            head = {str(k): str(v) for k, v in words["head"].items()}
            parts: dict[str, Any] = {k: arrays[k] for k in _TRACK}
            track = Track(**parts, camera=Camera.from_json(words["camera"]), head=head)
            require_array("mattes", arrays["mattes"], (len(track.frame), None, None), "u")
            views = [_read_view(directory, v) for v in words["views"]]
            return GroundTruth(track.validate(), arrays["mattes"], views, dict(words["settings"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise FileFormatError(f"The truth is incomplete: {error}", where=directory) from error


def _view_name(frame: int, yaw_deg: float) -> str:
    return f"view-{frame:05d}{yaw_deg:+04.0f}.png"


def _read_view(directory: Path, words: dict[str, Any]) -> NovelView:
    frame, yaw = int(words["frame"]), float(words["yaw_deg"])
    image = cv2.imread(str(directory / _view_name(frame, yaw)), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim != 3 or image.shape[2] != 4:
        raise FileFormatError("A novel view is missing or damaged", where=directory / _view_name(frame, yaw))
    return NovelView(frame, yaw, Camera.from_json(words["camera"]), cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA))


def vertices_of(
    track: Track, head: Head, rows: list[int] | np.ndarray | slice = slice(None), person: Head | None = None
) -> np.ndarray:
    """Vertices [n, V, 3] m that a track means, in camera coordinates.

    Args:
        head: that the track was made with.
        person: the personal head that the track moves; the head with the track's identity if None.

    Raises:
        FileFormatError: the track belongs to another head.
    """
    if track.head.get("sha256") != head.sha256:
        raise FileFormatError("The parameters belong to another head", where=track.head.get("version", ""))
    model = HeadModel(person or head.shape(track.identity))

    def tensor(value: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(value[rows], np.float32))

    turn, torso = (geometry.matrix_from_rotvec(tensor(r)) for r in (track.rotation, track.torso_rotation))
    with torch.no_grad():
        posed = model.pose(
            tensor(track.expression), turn, tensor(track.translation), torso, tensor(track.torso_translation)
        )
    return posed.numpy()


def orbit(camera: Camera, center: np.ndarray, yaw_deg: float) -> Camera:
    """The camera moved around a point [3] m by an angle about the vertical, towards the left of one who faces it."""
    angle = -np.radians(yaw_deg)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    moved = np.eye(4)
    moved[:3, :3], moved[:3, 3] = turn, center - turn @ center
    return replace(camera, world_from_camera=moved @ np.asarray(camera.world_from_camera, float))
