"""NVIDIA's run-time compiler, by ctypes: CUDA text to machine code, without a GPU, a toolkit or a C compiler.

Standard library only, and no import of the package: setup.py runs this file before the package exists. As a program,
`python nvrtc.py LIBRARY ARCH SOURCE TARGET`, it compiles one architecture, so that several can be compiled at once.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
"""What a wheel carries machine code for: Turing to Blackwell."""
OPTIONS = ("-std=c++17",)
"""For NVRTC and nvcc alike."""
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"[^\n]*$', re.MULTILINE)
_LIBRARY = re.compile(r"libnvrtc(-\w+)?\.so(\.\d+)*")
_ONCE = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+once[^\n]*\n", re.MULTILINE)


class CompileError(Exception):
    """The text does not compile, or the compiler cannot be used."""


def joined(root: Path, folders: tuple[Path, ...] = ()) -> str:
    """The text of `root` with every `#include "..."` put in its place once, so that one string is the whole program.

    Args:
        folders: where an include is looked for besides the folder of the file that names it.
    """
    seen: set[Path] = set()

    def expand(path: Path) -> str:
        path = path.resolve()
        if path in seen:
            return ""
        seen.add(path)

        def replace(match: re.Match[str]) -> str:
            for folder in (path.parent, *folders):
                if (folder / match.group(1)).is_file():
                    return expand(folder / match.group(1))
            raise CompileError(f"{path.name} includes {match.group(1)}, which is not there")

        return _INCLUDE.sub(replace, _ONCE.sub("", path.read_text(encoding="utf-8")))

    return expand(root)


def find() -> Path | None:
    """The NVRTC library that pip or a CUDA torch brought, else the system's by its bare name, else None."""
    folders: list[Path] = []
    for package, below in (("nvidia", ("cuda_nvrtc/lib", "cu13/lib", "cuda_nvrtc/bin")), ("torch", ("lib",))):
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            folders += [Path(place) / name for name in below]
    for folder in folders:
        found = [p for p in sorted(folder.glob("libnvrtc*")) if _LIBRARY.fullmatch(p.name) and "builtins" not in p.name]
        if found:
            return found[0]
    for name in ("libnvrtc.so.13", "libnvrtc.so.12"):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return Path(name)
    return None


class Nvrtc:
    """One loaded library.

    Args:
        path: from `find`.

    Raises:
        CompileError: it does not load.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._lib = ctypes.CDLL(str(path))
            self._lib.nvrtcGetErrorString.restype = ctypes.c_char_p
        except (OSError, AttributeError) as error:
            raise CompileError(f"NVRTC does not load: {error}") from error
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._check(self._lib.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        self.version = f"{major.value}.{minor.value}"

    def _check(self, status: int) -> None:
        if status:
            raise CompileError(f"NVRTC: {self._lib.nvrtcGetErrorString(status).decode()}")

    def architectures(self) -> list[str]:
        """What this library can compile for, such as `sm_90`."""
        count = ctypes.c_int()
        self._check(self._lib.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
        values = (ctypes.c_int * count.value)()
        self._check(self._lib.nvrtcGetSupportedArchs(values))
        return [f"sm_{v}" for v in values]

    def compile(self, text: str, arch: str, name: str = "kernels.cu") -> bytes:
        """Machine code (a cubin) of a program for one architecture.

        Raises:
            CompileError: with the compiler's log.
        """
        program = ctypes.c_void_p()
        self._check(self._lib.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None))
        try:
            options = [o.encode() for o in (*OPTIONS, f"--gpu-architecture={arch}")]
            status = self._lib.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
            if status:
                raise CompileError(f"The kernels do not compile for {arch}:\n{self._log(program)}")
            size = ctypes.c_size_t()
            self._check(self._lib.nvrtcGetCUBINSize(program, ctypes.byref(size)))
            image = ctypes.create_string_buffer(size.value)
            self._check(self._lib.nvrtcGetCUBIN(program, image))
            return image.raw
        finally:
            self._lib.nvrtcDestroyProgram(ctypes.byref(program))

    def _log(self, program: ctypes.c_void_p) -> str:
        size = ctypes.c_size_t()
        self._check(self._lib.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
        log = ctypes.create_string_buffer(max(1, size.value))
        self._check(self._lib.nvrtcGetProgramLog(program, log))
        return log.value.decode(errors="replace").strip()


def compile_with_nvcc(nvcc: str, text: str, arch: str) -> bytes:
    """The same by the toolkit's compiler, where there is one and no NVRTC.

    Raises:
        CompileError: with the compiler's words.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "kernels.cu", Path(folder) / "kernels.cubin"
        source.write_text(text, encoding="utf-8")
        command = [nvcc, *OPTIONS, "-cubin", f"-arch={arch}", str(source), "-o", str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise CompileError(f"{nvcc} does not start: {error}") from error
        if done.returncode:
            raise CompileError(f"The kernels do not compile for {arch}:\n{done.stderr.strip()}")
        return target.read_bytes()


def main(library: str, arch: str, source: str, target: str) -> None:
    """Compile one file for one architecture, whole or not at all."""
    image = Nvrtc(Path(library)).compile(Path(source).read_text(encoding="utf-8"), arch)
    temporary = Path(target).with_name(f".{Path(target).name}.{os.getpid()}.tmp")
    temporary.write_bytes(image)
    os.replace(temporary, target)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except CompileError as problem:
        raise SystemExit(str(problem)) from problem
