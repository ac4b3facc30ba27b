"""The wheel: its tag, the libraries, the presets, and nothing that should not travel."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

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


def test_source_distribution_holds_what_a_build_needs(tmp_path: Path):
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {"/".join(n.split("/")[1:]) for n in archive.getnames()}
    assert {"setup.py", "cuda/gs_project.h", "cuda/blend.cpp", "configs/fast.json", "avatars/raster/native.py"} <= names
    assert not {n for n in names if n.endswith(".so")}
