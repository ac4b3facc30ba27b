"""The nouns: what passes from one stage to the next. NumPy arrays, validated, with units.

Letters: T frames, N splats, V vertices, F faces, J joints, K bases, S identity, E expression, L landmarks.
Metres, radians, seconds, pixels. Cameras look along +z with x right and y down (OpenCV). Head coordinates:
y up, z out of the face, x to the head's own left. Transforms are named `world_from_camera`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from .errors import FileFormatError

LANDMARKS = 478
"""MediaPipe's face mesh with irises."""


def _require(ok: bool, name: str, problem: str) -> None:
    if not ok:
        raise FileFormatError(f"{name}: {problem}")


def require_array(name: str, value: np.ndarray, shape: tuple[int | None, ...], kind: str) -> None:
    """Check shape (None = any length), dtype kind ('f', 'i', 'u', 'b') and finiteness of one array."""
    _require(isinstance(value, np.ndarray) and value.dtype.kind in kind, name, f"expected an array of kind {kind!r}")
    good = value.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, value.shape, strict=True))
    _require(good, name, f"expected shape {shape}, found {value.shape}")
    if value.dtype.kind == "f":
        _require(bool(np.isfinite(value).all()), name, "holds NaN or infinity")


@dataclass(frozen=True)
class Camera:
    """Pinhole camera; focal lengths and principal point in pixels. Pixel centres lie at half-integers."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    world_from_camera: np.ndarray = field(default_factory=lambda: np.eye(4))

    def validate(self) -> Camera:
        """Return self, or raise FileFormatError."""
        numbers = np.array([self.fx, self.fy, self.cx, self.cy], float)
        _require(
            bool(np.isfinite(numbers).all()) and self.fx > 0 and self.fy > 0, "camera", "focal length must be positive"
        )
        _require(self.width > 0 and self.height > 0, "camera", "empty image")
        require_array("camera.world_from_camera", np.asarray(self.world_from_camera), (4, 4), "f")
        return self

    @property
    def intrinsics(self) -> np.ndarray:
        """[4] float32: fx, fy, cx, cy."""
        return np.array([self.fx, self.fy, self.cx, self.cy], np.float32)

    @property
    def camera_from_world(self) -> np.ndarray:
        """[4, 4] float64."""
        return np.linalg.inv(np.asarray(self.world_from_camera, float))

    def resized(self, width: int, height: int) -> Camera:
        """The same view in another number of pixels."""
        sx, sy = width / self.width, height / self.height
        return Camera(self.fx * sx, self.fy * sy, self.cx * sx, self.cy * sy, width, height, self.world_from_camera)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        out: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        out["world_from_camera"] = np.asarray(self.world_from_camera, float).tolist()
        return out

    @staticmethod
    def from_json(value: dict[str, Any]) -> Camera:
        """Inverse of `to_json`, validated."""
        try:
            pose = np.array(value["world_from_camera"], float)
            numbers = {k: float(value[k]) for k in ("fx", "fy", "cx", "cy")}
            return Camera(
                **numbers, width=int(value["width"]), height=int(value["height"]), world_from_camera=pose
            ).validate()
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"camera: {error}") from error


@dataclass
class Clip:
    """One subject's footage at its working resolution.

    Frames with a reason in `rejects` carry NaN landmarks and are never supervision.
    """

    frames: np.ndarray
    """[T, H, W, 3] uint8 upright sRGB; may be memory-mapped."""
    times: np.ndarray
    """[T] float64, presentation time in s, increasing."""
    landmarks: np.ndarray
    """[T, 478, 3] float32: x, y in px of these frames, z in the same scale; NaN where rejected."""
    matte: np.ndarray
    """[T, H, W] uint8, 255 = person."""
    rejects: list[str]
    """[T] reason why the frame is not used, '' where it is."""
    audio: np.ndarray | None = None
    """[samples] float32 mono at 16 kHz, starting at times[0] = 0 of the video."""
    plate: np.ndarray | None = None
    """[H, W, 3] uint8 background of a static camera."""
    plate_seen: np.ndarray | None = None
    """[H, W] uint8, 255 where the plate was ever observed."""
    source: dict[str, Any] = field(default_factory=dict)
    """Plain values: file name, sha256, original size and rate, crop box, rotation, versions, warnings."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) px."""
        return self.frames.shape[2], self.frames.shape[1]

    @property
    def used(self) -> np.ndarray:
        """[T] bool: frames that are not rejected."""
        return np.array([not reason for reason in self.rejects], bool)

    def validate(self) -> Clip:
        """Return self, or raise FileFormatError."""
        count, height, width, _ = self.frames.shape
        require_array("frames", self.frames[:0], (0, height, width, 3), "u")
        _require(len(self.rejects) == count, "rejects", f"found {len(self.rejects)} for {count} frames")
        require_array("times", self.times, (count,), "f")
        _require(bool((np.diff(self.times) > 0).all()), "times", "must increase")
        _require(self.landmarks.shape == (count, LANDMARKS, 3), "landmarks", f"found {self.landmarks.shape}")
        require_array("landmarks", self.landmarks[self.used], (None, LANDMARKS, 3), "f")
        _require(self.matte.shape == (count, height, width), "matte", f"found {self.matte.shape}")
        return self


@dataclass
class Track:
    """What the head and torso do in each used frame of a clip, in camera coordinates (world = camera).

    A face is posed by `expression` alone: its E entries move vertices and turn the jaw and eye joints (see `Head`).
    """

    identity: np.ndarray
    """[S] in standard deviations."""
    camera: Camera
    frame: np.ndarray
    """[T] int64, index into the clip's frames."""
    times: np.ndarray
    """[T] float64 s."""
    expression: np.ndarray
    """[T, E] within the head's bounds."""
    rotation: np.ndarray
    """[T, 3] axis-angle, rad: world_from_head."""
    translation: np.ndarray
    """[T, 3] m."""
    torso_rotation: np.ndarray
    """[T, 3] axis-angle, rad: world_from_torso, about the neck's base."""
    torso_translation: np.ndarray
    """[T, 3] m."""
    landmark_offsets: np.ndarray
    """[L, 3] m, in head coordinates: where this person's landmarks sit, relative to the template's."""
    confidence: np.ndarray
    """[T] in [0, 1]."""
    corrections: dict[str, np.ndarray] = field(default_factory=dict)
    """Learned map from landmark parameters to photometric corrections (see training/corrections.py)."""
    head: dict[str, str] = field(default_factory=dict)
    """Name, version and sha256 of the head that the numbers refer to."""

    def validate(self) -> Track:
        """Return self, or raise FileFormatError."""
        self.camera.validate()
        count = len(self.frame)
        require_array("identity", self.identity, (None,), "f")
        require_array("frame", self.frame, (count,), "i")
        require_array("times", self.times, (count,), "f")
        require_array("expression", self.expression, (count, None), "f")
        for name in ("rotation", "translation", "torso_rotation", "torso_translation"):
            require_array(name, getattr(self, name), (count, 3), "f")
        require_array("landmark_offsets", self.landmark_offsets, (None, 3), "f")
        require_array("confidence", self.confidence, (count,), "f")
        return self


@dataclass
class Splats:
    """N Gaussians bound to the triangles of a head, at rest, in each triangle's own frame.

    World position of splat i: the barycentric point of its triangle plus frame @ (mean * extent * stretch), where
    the frame is interpolated between vertices and `stretch` is the local growth of the surface (see splats/binding.py).
    """

    triangle: np.ndarray
    """[N] int32 index into the head's faces."""
    barycentric: np.ndarray
    """[N, 3] float32, sums to 1."""
    extent: np.ndarray
    """[N] float32 m: unit of length of the splat's local coordinates."""
    mean: np.ndarray
    """[N, 3] float32, in extents."""
    quaternion: np.ndarray
    """[N, 4] float32 wxyz, need not be unit."""
    log_scale: np.ndarray
    """[N, 3] float32, log of standard deviations in extents."""
    logit_opacity: np.ndarray
    """[N] float32."""
    color: np.ndarray
    """[N, 3] float32 sRGB (degree 0)."""
    bases: np.ndarray
    """[N, 9, K] float32: what each basis adds to mean (3), rotation vector (3) and colour (3); K may be 0."""

    def __len__(self) -> int:
        return len(self.triangle)

    def validate(self, faces: int) -> Splats:
        """Return self, or raise FileFormatError; `faces` is the number of triangles of the head."""
        n = len(self.triangle)
        require_array("triangle", self.triangle, (n,), "i")
        _require(
            n == 0 or (int(self.triangle.min()) >= 0 and int(self.triangle.max()) < faces), "triangle", "out of range"
        )
        shapes: dict[str, tuple[int | None, ...]] = {
            "barycentric": (n, 3), "extent": (n,), "mean": (n, 3), "quaternion": (n, 4), "log_scale": (n, 3),
            "logit_opacity": (n,), "color": (n, 3), "bases": (n, 9, None),
        }  # fmt: skip
        for name, shape in shapes.items():
            require_array(name, getattr(self, name), shape, "f")
        return self


@dataclass
class Motion:
    """Time-stamped face states: ARKit-52 coefficients and head pose, of one person or a generator."""

    times: np.ndarray
    """[T] float64 s, increasing."""
    arkit: np.ndarray
    """[T, 52] in [0, 1], ordered as motion.arkit.NAMES."""
    rotation: np.ndarray
    """[T, 3] head rotation, axis-angle rad, relative to looking at the camera."""
    translation: np.ndarray
    """[T, 3] m, relative to the resting place."""

    def validate(self) -> Motion:
        """Return self, or raise FileFormatError."""
        count = len(self.times)
        require_array("times", self.times, (count,), "f")
        _require(bool((np.diff(self.times) > 0).all()), "times", "must increase")
        require_array("arkit", self.arkit, (count, 52), "f")
        require_array("rotation", self.rotation, (count, 3), "f")
        require_array("translation", self.translation, (count, 3), "f")
        return self
