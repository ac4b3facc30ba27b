"""Build of the native CPU library: a C++17 compiler and nothing else (no torch, no Python headers).

One source, one library per instruction set; avatars/raster/native.py picks one when it is first used.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Distribution, Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "cuda").glob("*.cpp"))
HEADERS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "cuda").glob("*.h"))
# Never -ffast-math: the vector exponential relies on rounding, and NaN must stay visible to be pruned.
FLAGS = ["-std=c++17", "-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-psabi"]


def variants() -> dict[str, list[str]]:
    """Compiler flags by name of the instruction set."""
    found: dict[str, list[str]] = {"baseline": []}
    if platform.machine().lower() in ("x86_64", "amd64"):
        found["v3"] = ["-march=x86-64-v3"]
    return found


class BuildLibrary(build_ext):
    """Compiles with the C++ compiler directly: the result is loaded by ctypes, it is not a Python module."""

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", os.sep) + ".so"

    def build_extensions(self) -> None:
        with ThreadPoolExecutor(len(self.extensions)) as pool:
            for future in [pool.submit(self.build_extension, extension) for extension in self.extensions]:
                future.result()

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        inputs = [ROOT / name for name in (*SOURCES, *HEADERS, "setup.py")]
        if not self.force and target.exists() and target.stat().st_mtime > max(path.stat().st_mtime for path in inputs):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        compiler = shlex.split(os.environ.get("CXX", "c++"))
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        command = [
            *compiler,
            *FLAGS,
            *ext.extra_compile_args,
            "-shared",
            "-pthread",
            *ext.sources,
            "-o",
            str(temporary),
        ]
        print(" ".join(command), flush=True)
        try:
            subprocess.run(command, cwd=ROOT, check=True)
        except FileNotFoundError as error:
            raise SystemExit(
                f"No C++ compiler '{compiler[0]}'. Install one (Debian: apt-get install g++) or set CXX."
            ) from error
        except subprocess.CalledProcessError as error:
            raise SystemExit(
                "The native library did not compile; it needs a C++17 compiler such as g++ 9 or newer."
            ) from error
        os.replace(temporary, target)


class Wheel(bdist_wheel):
    """The library has a plain C interface, so one wheel serves every Python 3."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


class NativeDistribution(Distribution):
    """Puts files in the platform's directory although there is no Python extension module."""

    def has_ext_modules(self) -> bool:
        return True


setup(
    packages=[*find_packages(include=["avatars", "avatars.*"]), "avatars.configs"],
    package_dir={"avatars.configs": "configs"},
    ext_modules=[
        Extension(f"avatars.raster._cpu_{name}", SOURCES, extra_compile_args=flags)
        for name, flags in variants().items()
    ],
    cmdclass={"build_ext": BuildLibrary, "bdist_wheel": Wheel},
    distclass=NativeDistribution,
)
