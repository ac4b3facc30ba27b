"""Everything that must run whenever a GPU is at hand, in one command and under eight minutes.

    python scripts/gpu_check.py [--json FILE] [--quick] [--avatar X.avatar --clip FOLDER]

Builds the native libraries, compares the CUDA backend with the CPU's and with gsplat (where it can be imported), looks
for differences between two runs, times drawing, gradients and whole training steps, eager and as CUDA graphs, beside
gsplat, and runs small scenes under compute-sanitizer (where there is one). Each part runs in a process and a time of
its own, so that one which fails, hangs or loses the device costs the others nothing; what is known is written after
each. Prints one table, writes one JSON to scripts/benchmarks/. Needs torch, numpy, safetensors and this checkout; exit
code 1 if anything is wrong.

With an avatar and the captured clip that it was made from it also trains on them for a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

import torch  # noqa: E402

Shape = tuple[int, int, int]
SPLATS, SIZES, BATCHES = (10_000, 20_000, 60_000, 200_000), (256, 512, 1024), (1, 16)
SHAPES: tuple[Shape, ...] = (
    *((n, 512, 1) for n in (50_000, *SPLATS)),
    *((n, s, b) for b in BATCHES for s in (512, 256, 1024) for n in SPLATS if (s, b) != (512, 1)),
)
"""(splats, px, views) of the table's rows, in the order in which they are timed: what matters most comes first."""
QUICK: tuple[Shape, ...] = ((20_000, 512, 1), (60_000, 512, 1), (60_000, 512, 16))
SECONDS = {"machine": 60.0, "against_cpu": 100.0, "determinism": 60.0, "against_gsplat": 130.0, "training": 110.0}
"""What a part may take."""
LIMIT, SANITIZER_SECONDS = 460.0, 65.0
"""Seconds after which nothing is begun; of each tool of the sanitizer."""
BUDGET = 0.1
"""Seconds for each figure of a row."""
LOST = 3
"""Exit code of a part that lost its device in the middle of a row."""


def bounded(command: list[str], seconds: float, environment: Mapping[str, str] | None = None) -> tuple[int | None, str]:
    """Exit code (None: out of time) and output of a program, which is ended with everything that it started."""
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        child = subprocess.Popen(
            command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True, env=environment,
        )  # fmt: skip
        code: int | None = None
        try:
            code = child.wait(max(1.0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        said.seek(0)
        return code, said.read()


def build() -> tuple[dict[str, Any], list[str]]:
    """Build the libraries and kernels in place; where that fails, those that are there are used."""
    start = time.perf_counter()
    code, words = bounded([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], 150.0)
    if code:
        there = (ROOT / "avatars/raster/_cuda.so").exists()
        if not there:
            raise SystemExit(f"The libraries do not build:\n{words[-3000:]}")
        return {}, [f"the libraries do not build, those of an earlier build were used: {words[-600:]}"]
    return {"build_seconds": time.perf_counter() - start}, []


# -- parts, each in a process of its own ------------------------------------------------------------------------------


def require_device() -> torch.device:
    """The CUDA device, or an end with one clear sentence."""
    from avatars.errors import AvatarError
    from avatars.raster import device

    try:
        return device.choose("cuda")
    except AvatarError as error:
        raise SystemExit(f"This check needs a CUDA GPU. {error}") from error


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    from gpu_cases import ceilings

    from avatars.raster import cuda_driver
    from avatars.raster import device as devices

    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name, "multiprocessors": properties.multi_processor_count,
        "memory_gb": round(properties.total_memory / 1e9, 1), "driver_cuda": cuda_driver.driver_version(),
        "kernels": devices.found(), "torch": torch.__version__, "python": platform.python_version(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "ceilings": ceilings(device),
    }  # fmt: skip


def part(name: str, device: torch.device, options: argparse.Namespace) -> tuple[Any, list[str]]:
    """What a part found, and what of it is wrong."""
    import gpu_compare
    import gpu_time

    if name == "machine":
        return machine(device), []
    if name == "against_cpu":
        few = ((2000, 255, 2),)
        found = gpu_compare.against_cpu(device, few if options.quick else (*few, (20_000, 512, 1), (3000, 333, 9)))
        return found, gpu_compare.differences(found)
    if name == "determinism":
        wrong = gpu_compare.determinism(device)
        return wrong or "the same bits", wrong
    if name == "against_gsplat":
        found = gpu_compare.against_gsplat(device)
        same = not found or gpu_compare.same_picture(found)
        return found or gpu_compare.gsplat()[1], [] if same else [f"gsplat draws something else: {found}"]
    if name == "training":
        return gpu_time.train(options.avatar, options.clip, device), []
    gpu_compare.small_scenes(device)
    return {}, []


def rows(device: torch.device, options: argparse.Namespace) -> None:
    """Time the shapes, writing after each; exits with LOST where one could not be finished."""
    import gpu_time

    start, done = time.perf_counter(), []
    for n, size, batch in json.loads(options.shapes):
        if time.perf_counter() - start > options.seconds:
            return
        try:
            limits = json.loads(options.limits)
            done.append(gpu_time.timings(device, n, size, batch, limits, BUDGET, not options.no_gsplat))
        except Exception as error:
            print(f"{type(error).__name__}: {error}")
            raise SystemExit(LOST) from error
        write(options.json, {"found": done})


def write(path: Path, value: Any) -> None:
    """JSON, whole or not at all."""
    from avatars import files

    files.write_json(path, value)


# -- all of it --------------------------------------------------------------------------------------------------------


def run_part(name: str, seconds: float, *more: str) -> tuple[Any, list[str], int | None]:
    """What a part found (None if nothing), what is wrong, and its exit code (None: out of time)."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "found.json"
        command = [sys.executable, str(HERE / "gpu_check.py"), "--part", name, "--json", str(target), *more]
        code, words = bounded(command, seconds)
        said = json.loads(target.read_text()) if target.exists() else {}
    wrong = list(said.get("wrong", []))
    if code is None:
        wrong.append(f"{name}: not finished in {seconds:.0f} s")
    elif code:
        wrong.append(f"{name}: exit code {code}: " + " | ".join(words.strip().splitlines()[-4:])[-900:])
    return said.get("found"), wrong, code


def time_all(shapes: tuple[Shape, ...], limits: Any, seconds: float, *more: str) -> tuple[list[dict], list[str]]:
    """Rows of the table; a shape that loses the device is told, and the next ones are timed in a new process."""
    start, found, wrong, todo = time.perf_counter(), [], [], list(shapes)
    while todo and (left := seconds - (time.perf_counter() - start)) > 15:
        options = ["--shapes", json.dumps(todo), "--limits", json.dumps(limits), "--seconds", f"{left - 15:.0f}"]
        made, said, code = run_part("rows", left, *options, *more)
        found += made or []
        todo = todo[len(made or []) :]
        if code != 0 and todo:
            wrong += [f"{todo[0]}: {line}" for line in said]
            todo = todo[1:]
        if code == 0:
            break
    if todo:
        print(f"out of time: {len(todo)} of {len(shapes)} configurations were not timed")
    order = {tuple(shape): i for i, shape in enumerate(sorted(shapes, key=lambda s: (s[2], s[1], s[0])))}
    found.sort(key=lambda row: order[row["count"], row["size"], row["batch"]])
    wrong += [f"{row['count']} {row['size']} {row['batch']}: {line}" for row in found for line in row.get("errors", [])]
    return found, wrong


def sanitizer(seconds: float) -> dict[str, str]:
    """What memcheck and racecheck say of small scenes."""
    tool = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if tool is None:
        return {"compute-sanitizer": "not on this machine"}
    said, environment = {}, os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    for check in ("memcheck", "racecheck"):
        limit = min(SANITIZER_SECONDS, seconds / 2)
        command = [tool, "--tool", check, "--error-exitcode", "9", sys.executable, str(HERE / "gpu_check.py")]
        code, words = bounded([*command, "--part", "small_scenes"], limit, environment)
        lines = " | ".join(words.strip().splitlines()[-6:])
        said[check] = (
            "clean" if code == 0 else f"not finished in {limit:.0f} s" if code is None else f"exit code {code}: {lines}"
        )
    return said


def check(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Run everything and tell, writing the report after each part."""
    from gpu_cases import table

    start = time.perf_counter()
    report, problems = build()
    target: Path | None = options.json

    def left() -> float:
        return LIMIT - (time.perf_counter() - start)

    def note(name: str, value: Any, wrong: list[str]) -> None:
        nonlocal target
        if name == "machine":
            report.update(value or {"device": "unknown"})
        else:
            report[name] = value
        problems.extend(wrong)
        if name != "rows":
            for key, one in value.items() if name == "machine" and value else ((name, value),):
                print(f"{key:20s} {one if one is not None else 'failed'}", flush=True)
        report["seconds"], report["problems"] = round(time.perf_counter() - start, 1), problems
        plain = "".join(c if c.isalnum() else "_" for c in str(report["device"]).lower())
        target = target or HERE / "benchmarks" / f"gpu_{plain}.json"
        write(target, report)

    more = ["--quick"] if options.quick else []
    broken = False
    for name in ("machine", "against_cpu", "determinism", "against_gsplat"):
        value, wrong, code = run_part(name, min(SECONDS[name], left()), *more)
        broken = name == "against_gsplat" and code != 0
        # gsplat is somebody else's: that it does not build here is told, and is no fault of this project.
        note(name, value if not broken else wrong[-1], [] if broken else wrong)
    reserve = (SECONDS["training"] if options.avatar else 0) + (0 if options.quick else 2 * SANITIZER_SECONDS)
    extra = ["--no-gsplat"] if broken else []
    found, wrong = time_all(QUICK if options.quick else SHAPES, report.get("ceilings"), left() - reserve, *extra)
    note("rows", found, wrong)
    print(table(found), flush=True)
    if options.avatar:
        paths = ["--avatar", str(options.avatar), "--clip", str(options.clip)]
        note("training", *run_part("training", min(SECONDS["training"], left()), *paths)[:2])
    if not options.quick:
        said = sanitizer(left())
        note("sanitizer", said, [f"{tool}: {words}" for tool, words in said.items() if words.startswith("exit code")])
    print(f"{report['seconds']:.0f} s; written to {target}")
    return report, problems


def main() -> None:
    """Everything, or one part of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write; scripts/benchmarks/gpu_DEVICE.json by default")
    parser.add_argument("--quick", action="store_true", help="fewer scenes, no sanitizer: a minute")
    parser.add_argument("--avatar", type=Path, help="an avatar to train again, with --clip")
    parser.add_argument("--clip", type=Path, help="the captured clip (RUN/clip) of that avatar")
    for name in ("--part", "--shapes", "--limits"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--no-gsplat", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if (options.avatar is None) != (options.clip is None):
        parser.error("--avatar and --clip go together")
    if options.part == "rows":
        return rows(require_device(), options)
    if options.part:
        found, wrong = part(options.part, require_device(), options)
        return write(options.json, {"found": found, "wrong": wrong}) if options.json else None
    if not torch.cuda.is_available():
        require_device()  # nothing is built for nothing
    problems = check(options)[1]
    if problems:
        raise SystemExit("\n".join(["WRONG:", *problems]))


if __name__ == "__main__":
    main()
