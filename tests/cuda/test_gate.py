"""The gate on compiled kernels: no spills, no inner loop that grew; and that the gate itself can see both."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from avatars.raster import cuda_image, nvrtc

ROOT = Path(__file__).resolve().parents[2]
LOOPS = """
extern "C" __global__ void loops(const float* a, float* b, int n) {
  float s = 0.0f;
  for (int i = 0; i < n; i++) {
#pragma unroll 1
    for (int j = 0; j < n; j++) s = s * a[j] + 1.0f;
    b[i] = s;
  }
#pragma unroll 1
  for (int i = 0; i < n; i++) {
    s = s * a[i] + 2.0f;
    s = s * a[i + 1] + 3.0f;
    s = s * a[i + 2] + EXTRA;
  }
  b[n] = s;
}
extern "C" __global__ void spills(const float* a, float* b, int n) {
  float x[64];
  for (int j = 0; j < 64; j++) x[j] = a[j * 7];
  for (int j = 0; j < n; j++) x[(j * 7 + n) & 63] += j;
  float s = 0;
  for (int j = 0; j < 64; j++) s += x[j];
  b[0] = s;
}
"""


@pytest.fixture(scope="module")
def gate() -> ModuleType:
    """scripts/kernel_gate.py."""
    spec = importlib.util.spec_from_file_location("kernel_gate", ROOT / "scripts/kernel_gate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kernel_gate"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def compiler() -> nvrtc.Nvrtc:
    """NVRTC, where pip has brought it."""
    path = nvrtc.find()
    if path is None:
        pytest.skip("no NVRTC here (pip install nvidia-cuda-nvrtc-cu12)")
    return nvrtc.Nvrtc(path)


def test_no_kernel_spills_or_has_a_longer_inner_loop_than_the_gate_file_allows(
    gate: ModuleType, compiler: nvrtc.Nvrtc, tmp_path: Path
):
    """On the machine code that setup.py made of these very sources, where it is there; compiled now where not."""
    folder = cuda_image.FOLDER
    text = nvrtc.joined(ROOT / "cuda/gpu/kernels.cu", (ROOT / "cuda", ROOT / "cuda/gpu"))
    built = (folder / "kernels.cu").is_file() and cuda_image.text() == text
    if built and all((folder / f"{arch}.cubin").is_file() for arch in nvrtc.ARCHITECTURES):
        images = {arch: (folder / f"{arch}.cubin").read_bytes() for arch in nvrtc.ARCHITECTURES}
    else:
        images = gate.compiled(tmp_path)
    found = {arch: gate.inspect(image) for arch, image in images.items()}
    assert len(found) == 7
    assert all(len(kernels) > 15 for kernels in found.values())
    assert gate.spills(found) == []
    if compiler.version == "12.8":  # another compiler makes other instructions
        assert gate.regressions(found, json.loads(gate.GATE.read_text())) == []


@pytest.mark.parametrize("arch", ["sm_75", "sm_90", "sm_120"])
def test_loops_and_spills_are_seen(gate: ModuleType, compiler: nvrtc.Nvrtc, arch: str):
    found = {arch: gate.inspect(compiler.compile(LOOPS.replace("EXTRA", "4.0f"), arch))}
    loops, spilling = found[arch]["loops"], found[arch]["spills"]
    assert len(loops.loops) == 2  # the outer one holds another
    assert all(4 <= n <= 40 for n in loops.loops)
    assert loops.stack == loops.local == 0
    assert spilling.stack == 256
    assert spilling.local > 16
    (line,) = gate.spills(found)
    assert line.startswith(f"{arch} spills: 256 bytes")
    longer = {arch: gate.inspect(compiler.compile(LOOPS.replace("EXTRA", "a[i + 3] * a[i + 4]"), arch))}
    before = {arch: {name: list(k.loops) for name, k in found[arch].items()}}
    assert gate.regressions(found, before) == []
    (line,) = gate.regressions(longer, before)
    assert line.startswith(f"{arch} loops: inner loops of")


def test_the_gate_fails_on_kernels_that_grew_and_kernels_that_spill(
    gate: ModuleType, compiler: nvrtc.Nvrtc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """The command itself, on these very kernels with an instruction planted in a loop and registers taken away."""
    if compiler.version != "12.8":
        pytest.skip("the gate file is for NVRTC 12.8")
    text = nvrtc.joined(ROOT / "cuda/gpu/kernels.cu", (ROOT / "cuda", ROOT / "cuda/gpu"))
    faults = {
        "ray.g += w * color.y;": "ray.g += w * color.y * exp2_fast(ray.b);",
        "GS_KERNEL(256, 2) av_project_free_backward": "GS_KERNEL(256, 8) av_project_free_backward",
    }
    for before, after in faults.items():
        assert text.count(before) == 1
        text = text.replace(before, after)
    (tmp_path / "sm_90.cubin").write_bytes(compiler.compile(text, "sm_90"))
    allowed = json.loads(gate.GATE.read_text())
    (tmp_path / "gate.json").write_text(json.dumps({"sm_90": allowed["sm_90"]}))
    monkeypatch.setattr(gate, "GATE", tmp_path / "gate.json")
    monkeypatch.setattr(sys, "argv", ["kernel_gate.py", "--cubins", str(tmp_path)])
    with pytest.raises(SystemExit) as told:
        gate.main()
    lines = str(told.value).splitlines()
    assert any(line.startswith("sm_90 av_blend: inner loops of") for line in lines)
    assert any(line.startswith("sm_90 av_project_free_backward: ") and "local memory" in line for line in lines)
    assert {line.split()[1].rstrip(":") for line in lines} == {"av_blend", "av_project_free_backward"}
    assert "no spills" not in capsys.readouterr().out


def test_what_the_gate_file_does_not_know_is_told(gate: ModuleType):
    kernel = gate.Kernel(registers=32, stack=0, local=0, shared=0, instructions=100, loops=(20, 30))
    found = {"sm_90": {"a": kernel}}
    assert gate.regressions(found, {"sm_90": {"a": [20, 31]}}) == []
    assert gate.regressions(found, {"sm_90": {"a": [20, 29]}}) != []
    assert gate.regressions(found, {"sm_90": {"a": [20]}}) != []
    assert gate.regressions(found, {}) == ["sm_90 a: not in the gate file"]
    assert gate.regressions(found, {"sm_90": {"a": [20, 30], "b": []}}) == ["sm_90 b: gone, but in the gate file"]
    assert gate.regressions(found, {"sm_90": {"a": [20, 30]}, "sm_75": {}}) == ["sm_75: gone, but in the gate file"]
    assert json.loads(gate.gate_text(found)) == {"sm_90": {"a": [20, 30]}}
