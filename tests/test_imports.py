"""The rules that keep the house in order: who may import whom, what files may hold, how long they may be."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "avatars"
ORDER = (
    "errors", "data", "files", "geometry", "raster", "capture", "heads", "synthetic", "tracking", "splats", "training",
    "speech", "motion", "viewer", "export", "commands", "cli",
)  # fmt: skip
"""The order in which data flows; a part may use those before it."""
FOLLOWING = {"__init__": 0, "__main__": len(ORDER)}
"""The package itself knows nothing; `python -m avatars` is the last."""
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "numpy", "scipy", "mediapipe", "cv2", "av", "kornia", "anny", "viser", "matplotlib", "tyro", "jax")
FORBIDDEN = re.compile(
    r"\bpickle\.loads?\(|\btorch\.load\(|allow_pickle=True|\byaml\.load\(|(?<![\w.])eval\(|(?<![\w.])exec\("
    r"|\bos\.system\(|shell=True|\bos\.popen\("
)
UNPICKLER = "heads/unpickle.py"
"""The one place that reads pickles, through an allow-list."""
MAX_FILE, MEDIAN_FILE, MAX_FUNCTION = 500, 200, 80


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _rank(part: str) -> int:
    return FOLLOWING[part] if part in FOLLOWING else ORDER.index(part) + 1


def _imported(path: Path) -> set[tuple[str, int]]:
    """(part of the package, line) of every import, also those inside functions; not those for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = ["avatars", *path.relative_to(PACKAGE).parts[:-1]]
    found: set[tuple[str, int]] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{whole}.{alias.name}" if whole in ("avatars", "") else whole for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "avatars" and len(parts) > 1 and not parts[1].startswith("__"):
                found.add((parts[1], node.lineno))
    return found


def test_every_part_has_its_place_in_the_order() -> None:
    assert {_part(path) for path in MODULES} - set(ORDER) - set(FOLLOWING) == set()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_point_one_way(path: Path) -> None:
    here = _part(path)
    wrong = [
        f"{_name(path)}:{line} imports {other}"
        for other, line in sorted(_imported(path))
        if other in ORDER and other != here and _rank(other) > _rank(here)
    ]
    assert not wrong


def test_the_rule_itself_notices_a_wrong_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "avatars" / "heads" / "wrong.py"
    wrong.parent.mkdir(parents=True)
    wrong.write_text("from .. import files\n\ndef f():\n    from ..splats.model import Pose\n    import avatars.cli\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "avatars")
    assert {part for part, _ in _imported(wrong)} == {"files", "splats", "cli"}


def test_importing_the_package_is_light() -> None:
    code = f"import sys, avatars; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    heavy = tuple(name for name in HEAVY if name not in ("tyro", "numpy"))
    code = f"import sys, avatars.cli; print(sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_no_call_that_runs_what_it_reads(path: Path) -> None:
    if _name(path) == UNPICKLER:
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    assert not [f"{_name(path)}:{n}: {line.strip()}" for n, line in enumerate(lines, 1) if FORBIDDEN.search(line)]


def test_files_are_read_in_one_sitting() -> None:
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not {name: n for name, n in lengths.items() if n > MAX_FILE}
    assert statistics.median(lengths.values()) < MEDIAN_FILE


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_functions_fit_on_a_screen(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {f"{_name(path)}:{f.name}": (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions}
    assert not {name: n for name, n in lengths.items() if n > MAX_FUNCTION}


def test_tracked_files_name_no_machine() -> None:
    """Paths of a developer's machine are of no use to anybody else."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    machine = re.compile(r"(?<![\w.~$}])/(?:home|root|Users|work|opt/av)/[\w.-]+")
    found = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if not name or not path.is_file() or path.stat().st_size > 1 << 20 or name == "tests/test_imports.py":
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures and weights
        found += [f"{name}: {match.group()}" for match in machine.finditer(text)]
    assert not found
