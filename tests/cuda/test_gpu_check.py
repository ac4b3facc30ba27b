"""scripts/gpu_check.py as far as it goes without a GPU: scenes, comparisons, clocks, floors, table, report, refusal."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

import avatars

from .fake import Fake

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(avatars.__file__).resolve().parents[1]
"""Where the built package is: an installation, or the checkout."""
CPU = torch.device("cpu")


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType, ModuleType, ModuleType]:
    """gpu_check, gpu_compare, gpu_time and gpu_cases."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    check, compare, clock, cases = map(importlib.import_module, ("gpu_check", "gpu_compare", "gpu_time", "gpu_cases"))
    return check, compare, clock, cases


def test_without_a_gpu_it_ends_with_one_clear_sentence():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    command = [sys.executable, str(ROOT / "scripts/gpu_check.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("This check needs a CUDA GPU. CUDA cannot be used: ")
    assert done.stderr.count("\n") == 1


def test_comparison_with_the_cpu_passes_for_the_kernels_and_fails_for_wrong_ones(
    scripts, fake_driver: Fake, monkeypatch: pytest.MonkeyPatch
):
    """The emulated kernels play the GPU's part; both sides have CPU tensors, so the sides are told apart by turn."""
    _, check, _, _ = scripts
    from avatars.raster import cpu, cuda, dispatch

    monkeypatch.setattr(cuda, "place", lambda device: (fake_driver.module, 0, 0))
    here = torch.device("cpu", 0)  # stands for the GPU; a tensor's own device has no index
    assert here != CPU

    class Case(importlib.import_module("gpu_cases").Case):
        """Draws by the kernels where it is on `here`."""

    original = Case.draw

    def draw(self, x):
        backend = cuda if self.device == here else cpu
        with monkeypatch.context() as patched:
            patched.setattr(dispatch, "backend_of", lambda device: backend)
            out = original(self, x)
        return out

    monkeypatch.setattr(importlib.import_module("gpu_cases"), "Case", Case)
    # Backward passes are dispatched too: by the kind of frame that the forward pass left.
    for name in ("free_backward", "bound_backward"):
        ours, theirs = getattr(cuda, name), getattr(cpu, name)

        def chosen(frame, *rest, ours=ours, theirs=theirs):
            return (ours if isinstance(frame, cuda.Frame) else theirs)(frame, *rest)

        monkeypatch.setattr(cpu, name, chosen)
    monkeypatch.setattr(Case, "draw", draw)
    found = check.against_cpu(here, ((200, 40, 2),))
    assert found["pixels"] > 0  # two different programs
    assert check.differences(found) == []
    monkeypatch.setattr(Case, "draw", lambda self, x: draw(self, [x[0] + 1e-3 * (self.device == here), *x[1:]]))
    problems = check.differences(check.against_cpu(here, ((200, 40, 2),)))
    assert any(line.startswith("pixels: ") for line in problems)
    assert check.differences({"pixels": float("nan")}) != []


def test_two_runs_are_compared_bit_for_bit(scripts, monkeypatch: pytest.MonkeyPatch):
    _, check, _, cases = scripts
    assert check.determinism(CPU, (300, 48, 2)) == []
    draw, calls = cases.Case.draw, []

    def unsteady(self, x):
        calls.append(1)
        return draw(self, [x[0] * (1 + 1e-6 * len(calls)), *x[1:]])

    monkeypatch.setattr(cases.Case, "draw", unsteady)
    assert check.determinism(CPU, (300, 48, 2)) == ["two eager runs differ"]


def test_a_training_step_learns(scripts, on_cuda: Fake):
    """The step that is timed, with emulated kernels: its loss falls."""
    cases = scripts[-1]
    run = cases.Case(150, 32, 2, CPU).step()
    losses = [float(run()) for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.97 * losses[0]


def test_rows_of_the_table(scripts):
    _, _, clock, cases = scripts
    row = clock.timings(CPU, 200, 48, 2, None, 0.01)
    assert min(row["forward_eager_ms"], row["forward_backward_eager_ms"]) > 0
    assert "errors" not in row
    full = row | {"gsplat_forward_backward_ms": 1.0, "speedup": 12.34, "forward_floor_share": 0.45}
    lines = cases.table([row, full]).splitlines()
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert lines[1].endswith("-")
    assert "12.3" in lines[2]
    assert "45%" in lines[2]


def test_a_figure_that_fails_leaves_the_others_of_its_row(scripts, monkeypatch: pytest.MonkeyPatch):
    _, _, clock, cases = scripts

    def broken(self):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(cases.Case, "forward", lambda self: lambda: broken(self))
    row = clock.timings(CPU, 200, 48, 2, None, 0.01)
    assert row["forward_backward_eager_ms"] > 0
    assert "forward_eager_ms" not in row
    assert row["errors"] == ["forward_eager_ms: RuntimeError: no such kernel"]


def test_large_scenes_are_judged_by_a_percentile(scripts, monkeypatch: pytest.MonkeyPatch):
    """A pixel in which two splats change places fails a small scene, not a large one; a fault everywhere fails both."""
    _, check, _, cases = scripts
    draw, state = cases.Case.draw, {"calls": 0, "shift": 0.0}

    def swapped(self, x):
        out = draw(self, x)
        state["calls"] += 1
        if state["calls"] % 2 == 0:
            return out
        fault = torch.full_like(out.color, state["shift"])
        fault[0, 0, 5, 5] += 0.1
        return replace(out, color=out.color + fault)

    monkeypatch.setattr(cases.Case, "draw", swapped)
    small = check.against_cpu(CPU, ((200, 96, 1),))
    assert any(line.startswith("pixels: ") for line in check.differences(small))
    monkeypatch.setattr(check, "LARGE", 200)
    large = check.against_cpu(CPU, ((200, 96, 1),))
    assert large["worst_pixel"] > 0.09
    assert check.differences(large) == []
    state["shift"] = 1e-3
    assert check.differences(check.against_cpu(CPU, ((200, 96, 1),))) != []


def test_the_counted_floor_is_that_of_the_note(scripts):
    cases = scripts[-1]
    # 50 k splats at 512 x 512 on 132 multiprocessors at 1.75 GHz: 17 us forward, 55 us with gradients were counted.
    limits = {"clock_hz": 1.75e9, "instructions": 132 * 4 * 1.75e9, "bytes": 4.8e12}
    assert cases.floor_ms(50_000, 512, 1, limits, False) == pytest.approx(0.0175, rel=0.1)
    assert cases.floor_ms(50_000, 512, 1, limits, True) == pytest.approx(0.055, rel=0.2)
    assert cases.floor_ms(50_000, 512, 16, limits, True) > 10 * cases.floor_ms(50_000, 512, 1, limits, True)


def test_gsplat_gets_the_same_cameras(scripts):
    _, check, _, cases = scripts
    case = cases.Case(50, 32, 3, CPU)

    def rasterization(means, quats, scales, opacities, colors, views, k, width, height, **options):
        assert means.shape == (3, 50, 3)
        assert views.shape == (3, 1, 4, 4)
        assert torch.equal(k[1, 0], torch.tensor([[70.4, 0, 16], [0, 70.4, 16], [0, 0, 1]]))
        assert options["rasterize_mode"] == "antialiased"
        return torch.arange(3.0).reshape(3, 1, 1, 1, 1).expand(3, 1, height, width, 3), None, {}

    picture = check.gsplat_draw(rasterization, case, case.free())
    assert picture.shape == (3, 3, 32, 32)
    assert picture[:, 0, 0, 0].tolist() == [0, 1, 2]


@pytest.fixture
def parts(scripts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[ModuleType, dict]:
    """gpu_check whose parts answer what the dictionary says: (found, wrong, exit code)."""
    check = scripts[0]
    answers = {
        "machine": ({"device": "NVIDIA Test-1", "ceilings": {"instructions": 1.0}}, [], 0),
        "against_cpu": ({"pixels": 1e-7}, [], 0),
        "determinism": ("the same bits", [], 0),
        "against_gsplat": ("gsplat is not installed", [], 0),
        "lost": [],
    }

    def run_part(name: str, seconds: float, *more: str):
        if name != "rows":
            return answers[name]
        found = []
        for n, size, batch in json.loads(more[more.index("--shapes") + 1]):
            if [n, size, batch] in answers["lost"]:
                return found, ["rows: exit code 3: an illegal address"], 3
            found.append({"count": n, "size": size, "batch": batch, "beside": "--no-gsplat" not in more})
        return found, [], 0

    monkeypatch.setattr(check, "run_part", run_part)
    monkeypatch.setattr(check, "build", lambda: ({"build_seconds": 1.0}, []))
    monkeypatch.setattr(check, "HERE", tmp_path)
    monkeypatch.setattr(check.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(sys, "argv", ["gpu_check.py"])
    return check, answers


def test_main_writes_table_and_json(parts, tmp_path: Path, capsys):
    check, answers = parts
    check.main()
    report = json.loads((tmp_path / "benchmarks/gpu_nvidia_test_1.json").read_text())
    assert len(report["rows"]) == 25
    assert {(r["count"], r["size"], r["batch"]) for r in report["rows"]} >= {
        (n, s, b) for n in (10_000, 20_000, 60_000, 200_000) for s in (256, 512, 1024) for b in (1, 16)
    }
    assert report["problems"] == []
    assert report["sanitizer"] == {"compute-sanitizer": "not on this machine"}
    assert report["rows"][0]["beside"]
    said = capsys.readouterr().out
    assert "200000 1024 16" in " ".join(said.split())
    assert "gsplat is not installed" in said
    answers["determinism"] = (["two eager runs differ"], ["two eager runs differ"], 0)
    with pytest.raises(SystemExit, match="two eager runs differ"):
        check.main()


def test_a_part_that_fails_costs_the_others_nothing(parts, tmp_path: Path):
    check, answers = parts
    answers["machine"] = (None, ["machine: exit code 1: no clock"], 1)
    answers["against_cpu"] = (None, ["against_cpu: not finished in 100 s"], None)
    answers["against_gsplat"] = (None, ["against_gsplat: exit code 1: no nvcc"], 1)
    answers["lost"] = [[20_000, 512, 1], [200_000, 1024, 16]]
    with pytest.raises(SystemExit, match="no clock") as told:
        check.main()
    report = json.loads((tmp_path / "benchmarks/gpu_unknown.json").read_text())
    assert len(report["rows"]) == 23
    assert report["determinism"] == "the same bits"
    assert report["against_gsplat"] == "against_gsplat: exit code 1: no nvcc"  # told, and no fault of this project
    assert not any(row["beside"] for row in report["rows"])
    assert len(report["problems"]) == 4
    assert "(20000, 512, 1): rows: exit code 3: an illegal address" in str(told.value)


def test_a_part_runs_in_a_process_of_its_own(scripts):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    found, wrong, code = scripts[0].run_part("determinism", 300)
    assert found is None
    assert code == 1
    assert wrong[0].startswith("determinism: exit code 1: This check needs a CUDA GPU")


def test_a_program_out_of_time_is_ended_with_all_it_started(scripts, tmp_path: Path):
    note = tmp_path / "pid"
    command = ["bash", "-c", f"sleep 600 & echo $! >{note}.tmp; mv {note}.tmp {note}; echo begun; wait"]
    code, words = scripts[0].bounded(command, 5)
    if not note.exists():
        pytest.skip("bash did not start within the time")
    assert code is None
    assert words == "begun\n"
    status, deadline = Path(f"/proc/{note.read_text().strip()}/stat"), time.monotonic() + 60
    # A killed process may need a moment, and stays as a zombie where nobody fetches it.
    while status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_needs_torch_numpy_and_safetensors_alone():
    """Everything but the training on a clip, which a real clip asks for."""
    heavy = ("scipy", "cv2", "kornia", "mediapipe", "anny", "tyro", "viser", "matplotlib", "av", "imageio", "rich")
    code = f"""
import sys
for name in {heavy!r}: sys.modules[name] = None
sys.path[:0] = [{str(ROOT / "scripts")!r}, {str(PACKAGE)!r}]
import avatars, torch, gpu_check, gpu_compare, gpu_time, gpu_cases
from avatars.raster import cuda_graph, device
case = gpu_cases.Case(20, 16, 1, torch.device("cpu"))
print(case.forward()().shape, len(case.free()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "torch.Size([1, 3, 16, 16]) 5", done.stderr[-2000:]
