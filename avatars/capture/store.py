"""Clips on disk: `clip.json`, `clip.safetensors`, `frames.npy`, `matte.npy` in one directory.

The pictures are plain `.npy` files that are memory-mapped when read, so a long clip costs no memory. `clip.json` is
written last: a directory without it is not a clip. Nothing here can run code (no pickles are read).
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..data import Clip
from ..errors import AvatarError, FileFormatError
from ..files import atomic, load_tensors, read_json, save_tensors, sha256, write_json

FORMAT, VERSION = "avatars-clip", 1


def save_clip(clip: Clip, directory: Path | str) -> None:
    """Write a clip; one that is in the directory already is replaced when all of the new one is on disk.

    Raises:
        FileFormatError: the clip is not valid.
        AvatarError: no permission, or the disk is full.
    """
    clip.validate()
    with replacing(Path(directory)) as work:
        for name in ("frames", "matte"):
            array = getattr(clip, name)
            with writing(work / f"{name}.npy", array.shape) as append:
                for picture in array:
                    append(picture)
        save_rest(clip, work)


def load_clip(directory: Path | str) -> Clip:
    """Read a clip; frames and matte are memory-mapped, read-only.

    Raises:
        FileFormatError: not a clip, damaged, incomplete, or newer than this program.
    """
    directory = Path(directory)
    about = read_json(directory / "clip.json")
    where = directory / "clip.json"
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise FileFormatError("Not a clip", where=where)
    if about.get("version") != VERSION:
        raise FileFormatError(
            f"A clip of version {about.get('version')}; this program reads {VERSION}", where=where, fix="Capture again"
        )
    tensors_file = directory / "clip.safetensors"
    tensors, _ = load_tensors(tensors_file, finite=False)
    if sha256(tensors_file) != about.get("tensors_sha256"):
        raise FileFormatError("Does not belong to its clip.json", where=tensors_file, fix="Capture again")
    rejects, source, shape = _fields(about, where)
    try:
        return Clip(
            frames=_mapped(directory / "frames.npy", (*shape, 3)),
            times=tensors["times"],
            landmarks=tensors["landmarks"],
            matte=_mapped(directory / "matte.npy", shape),
            rejects=rejects,
            audio=tensors.get("audio"),
            plate=tensors.get("plate"),
            plate_seen=tensors.get("plate_seen"),
            source=source,
        ).validate()
    except KeyError as error:
        raise FileFormatError(f"Array {error} is missing", where=tensors_file, fix="Capture again") from error


def _fields(about: dict[str, Any], where: Path) -> tuple[list[str], dict[str, Any], tuple[int, ...]]:
    """(rejects, source, [T, H, W]) of a description, checked."""
    rejects, source, shape = about.get("rejects"), about.get("source"), about.get("shape")
    if (
        isinstance(rejects, list)
        and all(isinstance(reason, str) for reason in rejects)
        and isinstance(source, dict)
        and isinstance(shape, list)
        and len(shape) == 3
        and all(type(n) is int and n > 0 for n in shape)
        and len(rejects) == shape[0]
    ):
        return rejects, source, tuple(shape)
    raise FileFormatError("Fields are missing or of the wrong kind", where=where, fix="Capture again")


def save_rest(clip: Clip, directory: Path) -> None:
    """Write everything but the pictures, the description last."""
    tensors = {"times": clip.times, "landmarks": clip.landmarks}
    for name in ("audio", "plate", "plate_seen"):
        if getattr(clip, name) is not None:
            tensors[name] = getattr(clip, name)
    save_tensors(directory / "clip.safetensors", tensors)
    about = {
        "format": FORMAT,
        "version": VERSION,
        "shape": list(clip.matte.shape),
        "rejects": clip.rejects,
        "source": clip.source,
        "tensors_sha256": sha256(directory / "clip.safetensors"),
    }
    write_json(directory / "clip.json", about)


@contextmanager
def replacing(directory: Path) -> Iterator[Path]:
    """A directory to write the files of a clip into; they move to `directory` when all are there."""
    work = directory / f".clip.{os.getpid()}"
    with _os_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        for stale in directory.glob(".clip.*"):
            if stale == work or not _alive(stale.suffix[1:]):
                shutil.rmtree(stale, ignore_errors=True)
        work.mkdir()
    try:
        yield work
        with _os_errors(directory):
            (directory / "clip.json").unlink(missing_ok=True)  # between here and the last move there is no clip
            for name in ("frames.npy", "matte.npy", "clip.safetensors", "clip.json"):
                os.replace(work / name, directory / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _os_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise AvatarError(f"Cannot write: {error.strerror}", where=directory, fix="Choose another output") from error


def _alive(pid: str) -> bool:
    """Whether the process that a leftover is named after still runs."""
    if not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


@contextmanager
def writing(path: Path, shape: tuple[int, ...]) -> Iterator[Any]:
    """Write an uint8 `.npy` of known shape piece by piece, atomically; yields a function that appends one entry.

    Plain writes, not a memory map: a full disk is then an error instead of a signal.
    """
    with atomic(path) as temporary, open(temporary, "wb") as file:
        _write_header(file, shape)
        left = shape[0]

        def append(entry: np.ndarray) -> Path:
            nonlocal left
            if entry.shape != shape[1:] or entry.dtype != np.uint8 or left == 0:
                raise FileFormatError(f"Expected uint8 {shape[1:]}, found {entry.dtype} {entry.shape}", where=path)
            left -= 1
            file.write(np.ascontiguousarray(entry).data)
            if left == 0:
                file.flush()
            return temporary

        yield append
        if left:
            raise FileFormatError(f"{left} of {shape[0]} entries were not written", where=path)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


class Pictures:
    """Entries of an uint8 `.npy` of ours by number, read when asked for and not kept in memory; thread-safe."""

    def __init__(self, path: Path) -> None:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        self.shape: tuple[int, ...] = mapped.shape
        self._offset = mapped.offset
        self._file = open(path, "rb")  # noqa: SIM115 (closed by close)

    def __getitem__(self, index: int) -> np.ndarray:
        size = math.prod(self.shape[1:])
        data = os.pread(self._file.fileno(), size, self._offset + index * size)
        return np.frombuffer(data, np.uint8).reshape(self.shape[1:])

    def __enter__(self) -> Pictures:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileFormatError(f"Cannot be read: {error}", where=path, fix="Capture again") from error
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.shape != shape:
        raise FileFormatError(f"Expected uint8 {shape}", where=path, fix="Capture again")
    return array
