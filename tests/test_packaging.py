"""The wheel: its tag, the libraries, the presets, and nothing that should not travel."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from avatars.raster import nvrtc

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once, from a copy of what git tracks, so that nothing left in the tree can hide a mistake."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if names.returncode:
        pytest.skip("not a git checkout")
    folders = ("avatars", "configs", "cuda")
    for name in names.stdout.decode().split("\0"):
        if (ROOT / name).is_file() and ("/" not in name or name.split("/")[0] in folders):
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    options = ["--no-deps", "--no-build-isolation", "-q", "-w", str(out)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (built,) = out.glob("*.whl")
    return built


def test_tag_is_for_every_python_3_of_this_platform(wheel: Path):
    python, abi, platform = wheel.stem.split("-")[-3:]
    assert (python, abi) == ("py3", "none")
    assert platform != "any"


def test_wheel_holds_the_libraries_and_presets(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert "avatars/raster/_cpu_baseline.so" in names
        assert "avatars/configs/fast.json" in names
        assert "avatars/raster/ops.py" in names
        assert {"avatars/raster/_cuda.so", "avatars/raster/cubins/kernels.cu"} <= names
        if nvrtc.find() is not None:
            assert {f"avatars/raster/cubins/{arch}.cubin" for arch in nvrtc.ARCHITECTURES} <= names
        assert not {n for n in names if n.startswith(("tests/", "cuda/", "scripts/", "configs/"))}
        assert sum(item.compress_size for item in archive.infolist()) < 5e6


def test_library_of_the_wheel_loads_without_torch_or_openmp(wheel: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    library = tmp_path / "avatars/raster/_cpu_baseline.so"
    code = f"import ctypes, sys; print(ctypes.CDLL({str(library)!r}).av_lanes(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4", "False"]
    needed = subprocess.run(["readelf", "-d", str(library)], capture_output=True, text=True, check=False).stdout
    assert "gomp" not in needed
    assert "torch" not in needed


def test_launcher_of_the_wheel_links_nothing_of_cuda_or_torch(wheel: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as archive:
        library = Path(archive.extract("avatars/raster/_cuda.so", tmp_path))
    needed = subprocess.run(["readelf", "-d", str(library)], capture_output=True, text=True, check=False).stdout
    names = [line.split("[")[1].rstrip("]") for line in needed.splitlines() if "(NEEDED)" in line]
    assert not [n for n in names if any(word in n for word in ("cuda", "nvrtc", "torch", "python"))]
    code = f"import ctypes; ctypes.CDLL({str(library)!r}); print(len(open('/proc/self/maps').read().split('libcuda')))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"  # no driver is looked for before one is needed


def test_the_kernels_compiler_is_asked_for_only_where_it_has_wheels():
    """Elsewhere (macOS, musl on other processors) pip must not fail for want of it: the CPU part is built alone."""
    wanted = re.search(
        r'\[build-system\].*?"(nvidia-cuda-nvrtc[^"]*)"', (ROOT / "pyproject.toml").read_text(), re.DOTALL
    )
    assert wanted is not None
    found = Requirement(wanted.group(1))
    assert str(found.specifier) == "==12.8.93"
    assert found.marker is not None
    places = {
        ("linux", "x86_64"): True,
        ("linux", "aarch64"): True,
        ("linux", "riscv64"): False,
        ("darwin", "arm64"): False,
    }
    for (system, processor), expected in places.items():
        assert found.marker.evaluate({"sys_platform": system, "platform_machine": processor}) == expected


def test_source_distribution_holds_what_a_build_needs(tmp_path: Path):
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {"/".join(n.split("/")[1:]) for n in archive.getnames()}
    assert {"setup.py", "cuda/gs_project.h", "cuda/loss.cpp", "configs/fast.json", "avatars/raster/native.py"} <= names
    assert {"cuda/gpu/kernels.cu", "cuda/gpu/params.h", "cuda/launch/launch.cpp", "avatars/raster/nvrtc.py"} <= names
    assert not {n for n in names if n.endswith((".so", ".cubin"))}
