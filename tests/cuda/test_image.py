"""Machine code of the kernels: where it comes from, and what is said where it cannot be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from avatars.errors import BackendError
from avatars.raster import cuda_driver, cuda_image, nvrtc

ROOT = Path(__file__).resolve().parents[2]
KERNEL = 'extern "C" __global__ void one(float* x) { x[threadIdx.x] = 1.0f; }\n'


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with a small kernel text and no machine code, and an empty cache."""
    folder = tmp_path / "cubins"
    folder.mkdir()
    (folder / "kernels.cu").write_text(KERNEL)
    monkeypatch.setattr(cuda_image, "FOLDER", folder)
    monkeypatch.setenv("AVATARS_HOME", str(tmp_path / "home"))
    return folder


@pytest.fixture
def compiler() -> nvrtc.Nvrtc:
    """NVRTC, where pip has brought it."""
    path = nvrtc.find()
    if path is None:
        pytest.skip("no NVRTC here (pip install nvidia-cuda-nvrtc-cu12)")
    return nvrtc.Nvrtc(path)


class Counting(nvrtc.Nvrtc):
    """Counts compilations."""

    count = 0

    def compile(self, text: str, arch: str, name: str = "kernels.cu") -> bytes:
        Counting.count += 1
        return f"{arch}:{len(text)}".encode()


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    """A compiler that only counts, of version 12.8."""
    compiler = Counting.__new__(Counting)
    compiler.version, Counting.count = "12.8", 0
    found = cuda_image._Compiler("NVRTC 12.8", Path("libnvrtc.so"), compiler)
    monkeypatch.setattr(cuda_image, "_nvrtc", lambda: found)
    return Counting


def test_machine_code_of_the_package_comes_first(package: Path, counting: type[Counting]):
    (package / "sm_90.cubin").write_bytes(b"packed")
    image = cuda_image.image("sm_90")
    assert image.code == b"packed"
    assert image.origin == "machine code for sm_90 from the package"
    assert counting.count == 0


def test_an_unknown_architecture_is_compiled_once_and_kept(package: Path, counting: type[Counting]):
    first, second = cuda_image.image("sm_103"), cuda_image.image("sm_103")
    assert first.code == second.code == f"sm_103:{len(KERNEL)}".encode()
    assert counting.count == 1
    assert "compiled here by NVRTC 12.8" in first.origin
    (kept,) = cuda_image.user_cache().rglob("*.cubin")  # and no temporary file beside it
    assert list(kept.parent.iterdir()) == [kept]
    assert str(kept) in second.origin


@pytest.mark.parametrize("change", ["text", "arch", "version"])
def test_the_cache_knows_text_architecture_and_compiler(
    package: Path, counting: type[Counting], monkeypatch: pytest.MonkeyPatch, change: str
):
    cuda_image.image("sm_103")
    if change == "text":
        (package / "kernels.cu").write_text(KERNEL + "\n")
    if change == "version":
        newer = cuda_image._Compiler("NVRTC 13.1", Path("libnvrtc.so"), Counting.__new__(Counting))
        monkeypatch.setattr(cuda_image, "_nvrtc", lambda: newer)
    cuda_image.image("sm_121" if change == "arch" else "sm_103")
    assert counting.count == 2


def test_a_cache_that_cannot_be_written_is_told_and_not_in_the_way(package: Path, counting, tmp_path: Path):
    (tmp_path / "home").write_text("a file in the place of the cache")
    image = cuda_image.image("sm_103")
    assert image.code
    assert "not kept" in image.origin


def test_without_a_compiler_the_error_says_what_to_install(package: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cuda_image, "_nvrtc", lambda: None)
    monkeypatch.setattr(cuda_image, "_nvcc", lambda: None)
    with pytest.raises(BackendError, match=r"no machine code for sm_103.*pip install nvidia-cuda-nvrtc"):
        cuda_image.image("sm_103")


def test_nvcc_is_used_where_there_is_no_nvrtc(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tools = tmp_path / "bin"
    tools.mkdir()
    nvcc = tools / "nvcc"
    nvcc.write_text(
        """#!/bin/sh
case "$1" in --version) echo "Cuda compilation tools, release 12.9, V12.9.1"; exit 0;; esac
for last; do case "$last" in -arch=*) arch=$last;; *.cu) source=$last;; esac; done
case "$arch" in -arch=sm_20) echo "nvcc fatal: unsupported sm_20" >&2; exit 1;; esac
{ printf '%s ' "$arch"; cat "$source"; } >"$last"
"""
    )
    nvcc.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setattr(cuda_image, "_nvrtc", lambda: None)
    cuda_image._nvcc.cache_clear()
    try:
        image = cuda_image.image("sm_103")
        assert image.code.decode() == f"-arch=sm_103 {KERNEL}"
        assert "compiled here by nvcc 12.9" in image.origin
        with pytest.raises(BackendError, match=r"(?s)nvcc 12\.9.*unsupported sm_20"):
            cuda_image.image("sm_20")
    finally:
        cuda_image._nvcc.cache_clear()


def test_a_compiler_that_does_not_know_the_architecture_is_quoted(package: Path, compiler: nvrtc.Nvrtc):
    with pytest.raises(BackendError, match="NVRTC"):
        cuda_image.image("sm_20")


def test_nvrtc_makes_machine_code_and_quotes_errors(compiler: nvrtc.Nvrtc):
    code = compiler.compile(KERNEL, "sm_75")
    assert code[:4] == b"\x7fELF"
    assert set(nvrtc.ARCHITECTURES) <= set(compiler.architectures())
    with pytest.raises(nvrtc.CompileError, match=r"does not compile for sm_75|do not compile for sm_75"):
        compiler.compile("not CUDA at all", "sm_75")


def test_includes_are_joined_once(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "base.h").write_text("#pragma once\nint base;\n")
    (tmp_path / "sub/a.cuh").write_text('#pragma once\n#include "base.h"\nint a;\n')
    (tmp_path / "sub/root.cu").write_text('#include "a.cuh"\n  #include "base.h"  // again\nint root;\n')
    text = nvrtc.joined(tmp_path / "sub/root.cu", (tmp_path,))
    assert "#include" not in text
    assert text.split() == ["int", "base;", "int", "a;", "int", "root;"]
    (tmp_path / "sub/root.cu").write_text('#include "gone.h"\n')
    with pytest.raises(nvrtc.CompileError, match=r"gone\.h"):
        nvrtc.joined(tmp_path / "sub/root.cu")


def test_the_package_carries_the_text_of_these_sources_and_code_for_every_architecture():
    if not (cuda_image.FOLDER / "kernels.cu").is_file():
        pytest.skip("the kernels are not built (pip install .)")
    text = nvrtc.joined(ROOT / "cuda/gpu/kernels.cu", (ROOT / "cuda", ROOT / "cuda/gpu"))
    assert cuda_image.text() == text
    missing = [arch for arch in nvrtc.ARCHITECTURES if not (cuda_image.FOLDER / f"{arch}.cubin").is_file()]
    assert not missing or nvrtc.find() is None


def test_without_a_driver_one_error_says_so():
    """In a process of its own: in this one the tests' driver may be loaded."""
    if not cuda_driver.LAUNCHER.exists():
        pytest.skip("the launcher is not built (pip install .)")
    code = """
from avatars.raster import cuda_driver
from avatars.errors import BackendError
try:
    print("driver", cuda_driver.driver_version())
except BackendError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("driver 1") or "NVIDIA's driver cannot be used: libcuda.so.1" in done.stdout
    assert done.stdout.count("\n") == 1
