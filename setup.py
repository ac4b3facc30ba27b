"""Build of the native libraries: a C++17 compiler and nothing else (no torch, no Python headers, no CUDA toolkit).

One CPU source, one library per instruction set; avatars/raster/native.py picks one when it is first used. The launcher
of the CUDA kernels is plain C++ too; the kernels are compiled for every architecture by NVIDIA's run-time compiler,
which pip brings, and lie beside their text in avatars/raster/cubins.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

from setuptools import Distribution, Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "cuda").glob("*.cpp"))
LAUNCHER = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "cuda/launch").glob("*.cpp"))
HEADERS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "cuda").rglob("*.h"))
CUBINS = "avatars/raster/cubins"
# Never -ffast-math: the vector exponential relies on rounding, and NaN must stay visible to be pruned.
FLAGS = ["-std=c++17", "-O3", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wno-psabi"]


def variants() -> dict[str, list[str]]:
    """Compiler flags by name of the instruction set."""
    found: dict[str, list[str]] = {"baseline": []}
    if platform.machine().lower() in ("x86_64", "amd64"):
        found["v3"] = ["-march=x86-64-v3"]
        found["v4"] = ["-march=x86-64-v4"]
    return found


def run_time_compiler() -> ModuleType:
    """avatars/raster/nvrtc.py, which needs nothing of the package."""
    spec = importlib.util.spec_from_file_location("nvrtc", ROOT / "avatars/raster/nvrtc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nvrtc"] = module
    spec.loader.exec_module(module)
    return module


class BuildLibrary(build_ext):
    """Compiles with the C++ compiler directly: the result is loaded by ctypes, it is not a Python module."""

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", os.sep) + ".so"

    def build_extensions(self) -> None:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            jobs = [pool.submit(self.build_extension, extension) for extension in self.extensions]
            jobs += self.build_kernels(pool)
            for future in jobs:
                future.result()

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        inputs = [ROOT / name for name in (*ext.sources, *HEADERS, "setup.py")]
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
            "-x",
            "c++",
            "-",
            *ext.extra_link_args,
            "-o",
            str(temporary),
        ]
        # All sources as one text: half the time goes into reading the same headers.
        text = "".join(f'#include "{source}"\n' for source in ext.sources)
        print(" ".join(command), flush=True)
        try:
            subprocess.run(command, cwd=ROOT, check=True, input=text, text=True)
        except FileNotFoundError as error:
            raise SystemExit(
                f"No C++ compiler '{compiler[0]}'. Install one (Debian: apt-get install g++) or set CXX."
            ) from error
        except subprocess.CalledProcessError as error:
            raise SystemExit(
                "The native library did not compile; it needs a C++17 compiler such as g++ 9 or newer."
            ) from error
        os.replace(temporary, target)

    def copy_extensions_to_source(self) -> None:
        """In place and for editable installs: the kernels' text and machine code go beside the sources too."""
        super().copy_extensions_to_source()
        built, target = Path(self.build_lib) / CUBINS, ROOT / CUBINS
        old, new = target / "kernels.cu", built / "kernels.cu"
        if old.exists() and old.read_bytes() != new.read_bytes():
            shutil.rmtree(target)
        shutil.copytree(built, target, dirs_exist_ok=True)

    def build_kernels(self, pool: ThreadPoolExecutor) -> list[Future[None]]:
        """Put the kernels' text in place and start one compiler per architecture whose machine code is not there."""
        nvrtc = run_time_compiler()
        folder = Path(self.build_lib) / CUBINS
        folder.mkdir(parents=True, exist_ok=True)
        text = nvrtc.joined(ROOT / "cuda/gpu/kernels.cu", (ROOT / "cuda", ROOT / "cuda/gpu"))
        source = folder / "kernels.cu"
        fresh = source.exists() and source.read_text(encoding="utf-8") == text
        if not fresh:
            for stale in folder.iterdir():
                stale.unlink()
            source.write_text(text, encoding="utf-8")
        library = nvrtc.find()
        if library is None:
            print(
                "No NVRTC here: a machine with a CUDA device compiles the kernels when it first needs them.", flush=True
            )
            return []
        missing = [arch for arch in nvrtc.ARCHITECTURES if self.force or not (folder / f"{arch}.cubin").exists()]
        program = [sys.executable, str(ROOT / "avatars/raster/nvrtc.py"), str(library)]

        def compile_for(arch: str) -> None:
            print(f"NVRTC {library.name}: {arch}", flush=True)
            if subprocess.run([*program, arch, str(source), str(folder / f"{arch}.cubin")], check=False).returncode:
                raise SystemExit(f"The CUDA kernels did not compile for {arch} with {library}; see the lines above.")

        return [pool.submit(compile_for, arch) for arch in missing]


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
        *(
            Extension(f"avatars.raster._cpu_{name}", SOURCES, extra_compile_args=flags)
            for name, flags in variants().items()
        ),
        Extension("avatars.raster._cuda", LAUNCHER, extra_link_args=["-ldl"]),
    ],
    cmdclass={"build_ext": BuildLibrary, "bdist_wheel": Wheel},
    distclass=NativeDistribution,
)
