"""Machine code of the CUDA kernels for a device: from the wheel, from the cache, or compiled now.

A wheel carries it for the architectures of nvrtc.ARCHITECTURES. Any other is compiled when it is first used, by the
NVRTC that a CUDA torch brings (or by nvcc, where there is no NVRTC), and kept in the user's cache under the hash of
the text, the architecture and the compiler's version.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import AvatarError, BackendError
from ..files import user_cache, write_bytes
from . import nvrtc

FOLDER = Path(__file__).with_name("cubins")
"""What setup.py left: kernels.cu, the whole text, and one sm_*.cubin per architecture."""


@dataclass(frozen=True)
class Image:
    """Machine code, and where it came from in words."""

    code: bytes
    origin: str


def text() -> str:
    """The kernels' text.

    Raises:
        BackendError: the installation lacks it.
    """
    try:
        return (FOLDER / "kernels.cu").read_text(encoding="utf-8")
    except OSError as error:
        raise BackendError(
            "The text of the CUDA kernels is missing", where=FOLDER, fix="Reinstall with `pip install .`"
        ) from error


def image(arch: str) -> Image:
    """Machine code for one architecture, such as `sm_90`.

    Raises:
        BackendError: the wheel has none for it, and it cannot be compiled here; says which step failed.
    """
    packed = FOLDER / f"{arch}.cubin"
    if packed.is_file():
        return Image(packed.read_bytes(), f"machine code for {arch} from the package")
    source = text()
    compiler = _nvrtc() or _nvcc()
    if compiler is None:
        raise BackendError(
            f"The package has no machine code for {arch}, and there is neither NVRTC nor nvcc here to compile it",
            fix="Install a CUDA build of torch, or run pip install nvidia-cuda-nvrtc-cu12",
        )
    kept = cached(source, arch, compiler.version)
    if kept.is_file():
        return Image(kept.read_bytes(), f"machine code for {arch} by {compiler.version}, from {kept}")
    try:
        code = compiler.compile(source, arch)
    except nvrtc.CompileError as error:
        raise BackendError(f"{compiler.version}: {error}", where=compiler.path, fix="Update torch") from error
    origin = f"machine code for {arch}, compiled here by {compiler.version}"
    try:
        write_bytes(kept, code)
    except AvatarError as error:
        return Image(code, f"{origin} and not kept: {error}")
    return Image(code, f"{origin} and kept in {kept}")


def cached(source: str, arch: str, version: str) -> Path:
    """Where machine code that was compiled here is kept."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    return user_cache() / "kernels" / f"{digest}-{arch}-{version.replace(' ', '-')}.cubin"


@dataclass(frozen=True)
class _Compiler:
    version: str
    path: Path
    library: nvrtc.Nvrtc | None = None

    def compile(self, source: str, arch: str) -> bytes:
        if self.library is not None:
            return self.library.compile(source, arch)
        return nvrtc.compile_with_nvcc(str(self.path), source, arch)


@cache
def _nvrtc() -> _Compiler | None:
    path = nvrtc.find()
    if path is None:
        return None
    try:
        library = nvrtc.Nvrtc(path)
    except nvrtc.CompileError:
        return None
    return _Compiler(f"NVRTC {library.version}", path, library)


@cache
def _nvcc() -> _Compiler | None:
    found = shutil.which("nvcc")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    release = re.search(r"release (\d+\.\d+)", said)
    return _Compiler(f"nvcc {release.group(1)}", Path(found)) if release else None
