"""Disk formats: safetensors and JSON, written whole or not at all, checked when read.

Nothing read here can run code. `save_tensors` and `write_bytes` go through a temporary file, fsync and rename,
so a reader sees the old file or the new one, never a part.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import AvatarError, FileFormatError, InputError

MAX_TENSOR_FILE = 8 << 30
"""Largest tensor file that is read, bytes."""


def user_cache() -> Path:
    """Directory of built heads and fetched models: $AVATARS_HOME, else the platform's cache directory."""
    home = os.environ.get("AVATARS_HOME")
    if home:
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avatars"


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` durably, on failure it is removed.

    Raises:
        AvatarError: the directory cannot be written, the disk is full, or the rename is refused.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_directory(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _write_error(error, path) from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_error(error: OSError, path: Path) -> AvatarError:
    if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return AvatarError("The disk is full", where=path, fix="Free some space and run the same command again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AvatarError("No permission to write", where=path, fix="Choose another output with -o")
    return AvatarError(f"Cannot write: {error.strerror or error}", where=path)


def require_writable(path: Path | str, expected_bytes: int = 0) -> None:
    """Fail now, before hours of work, if `path` cannot be written or has no room for `expected_bytes`."""
    path = Path(path)
    with atomic(path.with_name(f".{path.name}.probe")) as probe:
        probe.write_bytes(b"")
    path.with_name(f".{path.name}.probe").unlink(missing_ok=True)
    free = shutil.disk_usage(path.parent).free
    if free < expected_bytes * 1.2:
        raise AvatarError(
            f"Not enough disk space: about {expected_bytes / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free",
            where=path.parent,
            fix="Free some space or choose another output with -o",
        )


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path | str, value: Any) -> None:
    """Write plain values as JSON; NaN and infinity are refused, since JSON has none."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode())


def read_json(path: Path | str, limit: int = 64 << 20) -> Any:
    """Read JSON of at most `limit` bytes.

    Raises:
        FileFormatError: missing, too large, not JSON, or holding NaN.
    """
    path = Path(path)

    def refuse(token: str) -> float:
        raise ValueError(f"{token} is not a JSON number")

    try:
        if path.stat().st_size > limit:
            raise FileFormatError(f"JSON file larger than {limit} bytes", where=path)
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except FileNotFoundError as error:
        raise FileFormatError("No such file", where=path) from error
    except (OSError, ValueError, RecursionError) as error:
        raise FileFormatError(f"Not a readable JSON file: {error}", where=path) from error


def save_tensors(
    path: Path | str, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays as safetensors, atomically."""
    from safetensors.numpy import save

    data = save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, dict(metadata or {}) or None)
    write_bytes(path, _in_order(data))


def _in_order(data: bytes) -> bytes:
    """The same safetensors bytes with the header's entries sorted: the library shuffles them from run to run."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + memoryview(data)[end:]


def load_tensors(path: Path | str, *, finite: bool = True) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read (arrays by name, metadata) from a safetensors file.

    Args:
        finite: refuse NaN and infinity in floating-point arrays.

    Raises:
        FileFormatError: missing, truncated, damaged, too large, or not finite.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        if path.stat().st_size > MAX_TENSOR_FILE:
            raise FileFormatError("Tensor file too large", where=path)
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise FileFormatError("No such file", where=path) from error
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise FileFormatError(f"Damaged or not a safetensors file: {error}", where=path) from error
    if finite:
        for name, value in tensors.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise FileFormatError(f"Tensor '{name}' holds NaN or infinity", where=path)
    return tensors, metadata


def sha256(path: Path | str) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def safe_join(root: Path | str, name: str) -> Path:
    """`root / name` for a name from an untrusted file: no absolute path, drive, parent step or NUL.

    Raises:
        FileFormatError: the name would leave `root`.
    """
    parts = name.replace("\\", "/").split("/")
    if (
        not name
        or "\0" in name
        or ":" in name
        or name.startswith(("/", "\\"))
        or any(p in ("", ".", "..") for p in parts)
    ):
        raise FileFormatError(f"Unsafe file name {name!r}", where=root)
    return Path(root, *parts)


def require_new(path: Path | str, overwrite: bool) -> None:
    """Refuse an output that exists, unless overwriting was asked for."""
    if Path(path).exists() and not overwrite:
        raise InputError("The output exists already", where=path, fix="Choose another name or pass --overwrite")


def require_finite(value: float, name: str) -> float:
    """`value` if it is finite, else InputError naming it."""
    if not math.isfinite(value):
        raise InputError(f"{name} must be a finite number, not {value}")
    return value


@contextmanager
def atomic_directory(path: Path | str) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; on success it takes the name, replacing what was there."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    retired = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        try:
            yield temporary
            if path.is_dir():
                os.replace(path, retired)
            elif path.exists():
                path.unlink()
            os.replace(temporary, path)
            _sync_directory(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(retired, ignore_errors=True)
    except OSError as error:
        raise _write_error(error, path) from error
