"""The avatar: one person's head, splats and network, with their own motion, provenance and consent."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, files
from ..data import Camera, Splats, Track
from ..errors import FileFormatError
from ..heads.head import Head
from .bases import BasisNetwork
from .model import AvatarModel
from .rest import resting

FORMAT = 1
"""Version of the avatar file."""
MANIFEST, TENSORS = "manifest.json", "avatar.safetensors"
_MAX_MEMBER = 2 << 30
_TRACK = (
    "identity", "frame", "times", "expression", "rotation", "translation", "torso_rotation", "torso_translation",
    "landmark_offsets", "confidence",
)  # fmt: skip
_SPLATS = tuple(Splats.__dataclass_fields__)


@dataclass
class Subject:
    """What this person's face did in the footage, for retargeting; all over the used frames."""

    neutral: np.ndarray
    """[E] face state at rest."""
    low: np.ndarray
    """[E] 2nd percentile."""
    high: np.ndarray
    """[E] 98th percentile."""
    mean: np.ndarray
    """[E]."""
    spread: np.ndarray
    """[E] standard deviation."""

    @staticmethod
    def of_track(track: Track, head: Head) -> Subject:
        """Statistics of a track; `head` is this person's."""
        e = track.expression
        return Subject(resting(e, head), np.percentile(e, 2, 0), np.percentile(e, 98, 0), e.mean(0), e.std(0))


@dataclass
class Avatar:
    """Everything that is stored; `model()` makes it render."""

    head: Head
    splats: Splats
    network: BasisNetwork
    track: Track
    subject: Subject
    manifest: dict[str, Any] = field(default_factory=dict)
    """Plain values: name, provenance (source name and sha256, versions, dates), consent, figures, preset."""
    plate: np.ndarray | None = None
    """[H, W, 3] uint8 background of the capture, where the camera was static."""
    speech: dict[str, np.ndarray] = field(default_factory=dict)
    """The subject's way of speaking by name, empty where none was learned; what is not a tensor of it lies in the
    manifest under "speech". `motion.voice` reads and writes both."""

    @property
    def camera(self) -> Camera:
        """The capture's camera."""
        return self.track.camera

    def model(self) -> AvatarModel:
        """Tensors and the forward pass."""
        return AvatarModel(self.head, self.splats, self.network)

    def validate(self) -> Avatar:
        """Return self, or raise FileFormatError."""
        self.head.validate()
        self.splats.validate(len(self.head.faces))
        self.track.validate()
        size = self.head.expression_basis.shape[0]
        if self.track.expression.shape[1] != size or len(self.subject.neutral) != size:
            raise FileFormatError("Track and head disagree about the number of expression axes")
        bases = self.splats.bases.shape[2]
        if bases not in (0, self.network.bases):
            raise FileFormatError(f"{bases} bases, but the network drives {self.network.bases}")
        return self

    # -- disk ---------------------------------------------------------------------------------------------------

    def save(self, path: Path | str, *, overwrite: bool = False, extras: dict[str, bytes] | None = None) -> None:
        """Write the avatar directory whole: it appears under its name only when complete.

        Args:
            extras: more files by name (the report).

        Raises:
            InputError: exists and `overwrite` is off.
        """
        path = Path(path)
        files.require_new(path, overwrite)
        self.validate()
        tensors, head_words = self.head.tensors()
        out = {f"head.{k}": v for k, v in tensors.items()}
        out |= {f"splats.{k}": getattr(self.splats, k) for k in _SPLATS}
        out |= {f"track.{k}": getattr(self.track, k) for k in _TRACK}
        out |= {f"track.corrections.{k}": v for k, v in self.track.corrections.items()}
        out |= {f"subject.{k}": np.asarray(getattr(self.subject, k), np.float32) for k in Subject.__dataclass_fields__}
        out |= self.network.tensors()
        out |= {f"speech.{k}": v for k, v in self.speech.items()}
        if self.plate is not None:
            out["plate"] = self.plate
        with files.atomic_directory(path) as temporary:
            files.save_tensors(temporary / TENSORS, out)
            manifest = self.manifest | {
                "format": FORMAT,
                "kind": "avatar",
                "written_by": f"avatars {__version__}",
                "units": "m",
                "axes": "head: y up, z out of the face, x to the head's left; camera: x right, y down, z forward",
                "head": head_words,
                "track_head": self.track.head,
                "camera": self.camera.to_json(),
                "splats": len(self.splats),
                "sha256": files.sha256(temporary / TENSORS),
            }
            for name, data in (extras or {}).items():
                files.write_bytes(files.safe_join(temporary, name), data)
            files.write_json(temporary / MANIFEST, manifest)
        self.manifest = manifest

    @staticmethod
    def load(path: Path | str) -> Avatar:
        """Read and check an avatar directory or zip; nothing in it can run code.

        Raises:
            FileFormatError: missing, damaged, newer than this program, or not an avatar.
        """
        path = Path(path)
        if path.is_file():
            with tempfile.TemporaryDirectory() as unpacked:
                _unpack(path, Path(unpacked))
                return Avatar.load(unpacked)
        if not path.is_dir():
            raise FileFormatError(
                "No such avatar", where=path, fix="Build one with `avatars build VIDEO -o NAME.avatar`"
            )
        manifest = files.read_json(path / MANIFEST)
        _check_manifest(manifest, path)
        if files.sha256(path / TENSORS) != manifest["sha256"]:
            raise FileFormatError("The avatar is damaged: its tensors do not match the manifest", where=path)
        tensors, _ = files.load_tensors(path / TENSORS)
        try:
            return _assemble(tensors, manifest).validate()
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise FileFormatError(f"The avatar is incomplete: {error}", where=path) from error
        except FileFormatError as error:
            raise FileFormatError(error.what, where=error.where or path, fix=error.fix) from error

    def pack(self, path: Path | str, directory: Path | str) -> None:
        """Zip an avatar directory into one file for sharing (stored, not compressed: tensors hardly shrink)."""
        with files.atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for member in sorted(Path(directory).iterdir()):
                if member.is_file():
                    archive.write(member, member.name)

    def with_track(self, track: Track) -> Avatar:
        """The same avatar with another captured motion."""
        return replace(self, track=track)


def _check_manifest(manifest: Any, path: Path) -> None:
    if (
        not isinstance(manifest, dict)
        or manifest.get("kind") != "avatar"
        or not isinstance(manifest.get("sha256"), str)
    ):
        raise FileFormatError("Not an avatar", where=path)
    version = manifest.get("format")
    if not isinstance(version, int) or version > FORMAT:
        raise FileFormatError(
            f"The avatar has format {version}; this program reads up to {FORMAT}", where=path, fix="Update avatars"
        )


def _assemble(tensors: dict[str, np.ndarray], manifest: dict[str, Any]) -> Avatar:
    def part(prefix: str) -> dict[str, np.ndarray]:
        return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

    track = part("track.")
    corrections = {k[len("corrections.") :]: track.pop(k) for k in list(track) if k.startswith("corrections.")}
    return Avatar(
        head=Head.from_tensors(part("head."), manifest["head"]),
        splats=Splats(**part("splats.")),
        network=BasisNetwork.from_tensors(tensors),
        track=Track(
            **track,
            camera=Camera.from_json(manifest["camera"]),
            corrections=corrections,
            head={str(k): str(v) for k, v in manifest["track_head"].items()},
        ),
        subject=Subject(**part("subject.")),
        manifest=manifest,
        plate=tensors.get("plate"),
        speech=part("speech."),
    )


def _unpack(path: Path, directory: Path) -> None:
    """Take the two files of an avatar out of a zip, by name and within limits; nothing else is touched."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            for name in (MANIFEST, TENSORS):
                if names.count(name) != 1:
                    raise FileFormatError(f"'{name}' is not in the file exactly once", where=path)
                info = archive.getinfo(name)
                if info.file_size > _MAX_MEMBER or info.file_size > 1000 * max(info.compress_size, 1):
                    raise FileFormatError(f"'{name}' claims an unreasonable size", where=path)
                with archive.open(info) as source, open(directory / name, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise FileFormatError(f"Not an avatar: {error}", where=path) from error
