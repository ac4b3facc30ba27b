"""What the compiler made of the CUDA kernels, on every architecture, against scripts/kernel_gate.json.

    python scripts/kernel_gate.py [--update] [--cubins FOLDER] [--json FILE]

Compiles cuda/gpu/kernels.cu by NVRTC (or reads the machine code in FOLDER, as setup.py leaves it) and fails if a kernel
spills registers to local memory, or if an inner loop has more instructions than the gate file says. `--update` writes
the file anew: do it when a change is meant, and say why in the commit. Needs no GPU, no toolkit and no disassembler.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
GATE = ROOT / "scripts" / "kernel_gate.json"
_INSTRUCTION = 16
"""Bytes; every architecture from sm_70 on."""
_OPCODE = 0xFFF
_BRANCH, _LOAD_LOCAL, _STORE_LOCAL, _NOP = 0x947, 0x983, 0x387, 0x918
_FRAME_SIZE, _REGISTERS, _NUMBERS = 0x11, 0x2F, 0x04


@dataclass(frozen=True)
class Kernel:
    """Figures of one kernel on one architecture."""

    registers: int
    stack: int
    """Bytes of local memory per thread; a spill, or an array that is indexed at run time."""
    local: int
    """Instructions that touch local memory."""
    shared: int
    """Bytes of static shared memory per block."""
    instructions: int
    loops: tuple[int, ...]
    """Instructions of each innermost loop, in the order in which they lie."""


def run_time_compiler() -> ModuleType:
    """avatars/raster/nvrtc.py of this checkout, without importing the package."""
    spec = importlib.util.spec_from_file_location("nvrtc", ROOT / "avatars/raster/nvrtc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sections(image: bytes) -> list[tuple[str, int, int, int, bytes]]:
    """(name, type, link, info, bytes) of an ELF file's sections; no bytes where it occupies none, but their number."""
    if image[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    (table,), (size, count, names) = struct.unpack_from("<Q", image, 0x28), struct.unpack_from("<3H", image, 0x3A)
    heads = [struct.unpack_from("<IIQQQQIIQQ", image, table + i * size) for i in range(count)]

    def name(offset: int) -> str:
        start = heads[names][4] + offset
        return image[start : image.index(b"\0", start)].decode()

    no_bits = 8
    return [
        (name(h[0]), h[1], h[6], h[7], bytes(h[5]) if h[1] == no_bits else image[h[4] : h[4] + h[5]]) for h in heads
    ]


def attributes(data: bytes, symbols: list[str]) -> dict[tuple[int, str], int]:
    """{(attribute, kernel): value} of the entries of `.nv.info` that hold a symbol and a number."""
    out, at = {}, 0
    while at + 4 <= len(data):
        form, attribute, size = struct.unpack_from("<BBH", data, at)
        at += 4
        if form != _NUMBERS:
            continue
        if size == 8:
            symbol, value = struct.unpack_from("<II", data, at)
            if symbol < len(symbols):
                out[attribute, symbols[symbol]] = value
        at += size
    return out


def innermost_loops(code: bytes) -> tuple[int, ...]:
    """Numbers of instructions from the target of each backward branch to the branch, of those that hold no other."""
    spans = []
    for at in range(0, len(code), _INSTRUCTION):
        low, high = struct.unpack_from("<QQ", code, at)
        if low & _OPCODE != _BRANCH:
            continue
        # Signed, in words: bits 34 to 81, and on newer architectures eight lower ones at bit 16.
        whole = (low | high << 64) >> 34 & (1 << 48) - 1
        whole -= (whole >> 47) << 48
        words = whole * 256 + (low >> 16 & 0xFF) if _is_split(code) else whole
        target = at + _INSTRUCTION + 4 * words
        if target < at:  # a branch to itself only fills the end of a kernel
            spans.append((target, at))
    inner = [s for s in spans if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    return tuple((last - first) // _INSTRUCTION + 1 for first, last in sorted(set(inner)))


def _is_split(code: bytes) -> bool:
    """Whether branches keep eight bits of their distance at bit 16: the padding loop at the end tells."""
    for at in range(len(code) - _INSTRUCTION, -1, -_INSTRUCTION):
        low, _ = struct.unpack_from("<QQ", code, at)
        if low & _OPCODE == _BRANCH:
            return low >> 16 & 0xFF == 0xFC
    return False


def inspect(image: bytes) -> dict[str, Kernel]:
    """Figures of every kernel in a cubin."""
    parts = sections(image)
    named = {part[0]: part for part in parts}
    strings, table = named[".strtab"][4], named[".symtab"][4]
    symbols = []
    for at in range(0, len(table), 24):
        (offset,) = struct.unpack_from("<I", table, at)
        symbols.append(strings[offset : strings.index(b"\0", offset)].decode())
    numbers = attributes(named[".nv.info"][4], symbols)
    out = {}
    for name, _, _, info, code in parts:
        if not name.startswith(".text."):
            continue
        kernel = name.removeprefix(".text.")
        opcodes = [struct.unpack_from("<Q", code, at)[0] & _OPCODE for at in range(0, len(code), _INSTRUCTION)]
        shared = named.get(f".nv.shared.{kernel}")
        out[kernel] = Kernel(
            registers=numbers.get((_REGISTERS, kernel), info >> 24),
            stack=numbers.get((_FRAME_SIZE, kernel), 0),
            local=sum(o in (_LOAD_LOCAL, _STORE_LOCAL) for o in opcodes),
            shared=len(shared[4]) if shared else 0,
            instructions=sum(o != _NOP for o in opcodes),
            loops=innermost_loops(code),
        )
    return out


def compiled(folder: Path) -> dict[str, bytes]:
    """Machine code by architecture: compiled now, several at once, by the NVRTC that pip brought."""
    nvrtc = run_time_compiler()
    library = nvrtc.find()
    if library is None:
        raise SystemExit("No NVRTC here. Install it: pip install nvidia-cuda-nvrtc-cu12==12.8.93")
    source = folder / "kernels.cu"
    source.write_text(nvrtc.joined(ROOT / "cuda/gpu/kernels.cu", (ROOT / "cuda", ROOT / "cuda/gpu")), encoding="utf-8")

    def one(arch: str) -> bytes:
        target = folder / f"{arch}.cubin"
        program = [sys.executable, str(ROOT / "avatars/raster/nvrtc.py")]
        done = subprocess.run([*program, str(library), arch, str(source), str(target)], check=False)
        if done.returncode:
            raise SystemExit(f"The kernels do not compile for {arch}")
        return target.read_bytes()

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return dict(zip(nvrtc.ARCHITECTURES, pool.map(one, nvrtc.ARCHITECTURES), strict=True))


Figures = dict[str, dict[str, Kernel]]
"""By architecture, then by kernel."""


def spills(found: Figures) -> list[str]:
    """A line for each kernel that keeps anything in local memory."""
    return [
        f"{arch} {name}: {k.stack} bytes of local memory per thread, {k.local} instructions that touch it"
        for arch, kernels in found.items()
        for name, k in kernels.items()
        if k.stack or k.local
    ]


def regressions(found: Figures, allowed: dict[str, dict[str, list[int]]]) -> list[str]:
    """A line for each kernel whose inner loops grew, whose loops are others than before, or that nobody entered."""
    lines = []
    for arch, kernels in found.items():
        known = allowed.get(arch, {})
        for name, k in kernels.items():
            before = known.get(name)
            if before is None:
                lines.append(f"{arch} {name}: not in the gate file")
            elif len(before) != len(k.loops):
                lines.append(f"{arch} {name}: {len(k.loops)} inner loops {list(k.loops)}, the gate file has {before}")
            elif any(now > then for now, then in zip(k.loops, before, strict=True)):
                lines.append(f"{arch} {name}: inner loops of {list(k.loops)}, the gate file allows {before}")
        lines += [f"{arch} {name}: gone, but in the gate file" for name in known if name not in kernels]
    return lines + [f"{arch}: gone, but in the gate file" for arch in allowed if arch not in found]


def gate_text(found: Figures) -> str:
    """The gate file for these figures: JSON with one line per kernel."""
    parts = []
    for arch, kernels in found.items():
        lines = [f'  "{name}": {list(k.loops)}' for name, k in sorted(kernels.items())]
        parts.append(f' "{arch}": {{\n' + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def table(found: Figures) -> str:
    """One line per kernel: registers and the instructions of its largest inner loop, least to most over all targets."""
    lines = [f"{'kernel':34s} {'registers':>10s} {'shared':>7s} {'largest inner loop':>19s} {'instructions':>13s}"]
    for name in sorted({name for kernels in found.values() for name in kernels}):
        here = [kernels[name] for kernels in found.values() if name in kernels]

        def span(values: list[int]) -> str:
            return f"{min(values)}-{max(values)}"

        lines.append(
            f"{name:34s} {span([k.registers for k in here]):>10s} {max(k.shared for k in here):7d} "
            f"{span([max(k.loops, default=0) for k in here]):>19s} {span([k.instructions for k in here]):>13s}"
        )
    return "\n".join(lines)


def main() -> None:
    """Compile or read, compare, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write the gate file from what is found")
    parser.add_argument("--cubins", type=Path, help="folder with sm_*.cubin to read instead of compiling")
    parser.add_argument("--json", type=Path, help="write every figure here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.cubins:
            images = {path.stem: path.read_bytes() for path in sorted(options.cubins.glob("sm_*.cubin"))}
            if not images:
                raise SystemExit(f"No sm_*.cubin in {options.cubins}")
        else:
            images = compiled(Path(folder))
    found = {arch: inspect(image) for arch, image in images.items()}
    print(table(found))
    if options.json:
        whole = {arch: {name: asdict(k) for name, k in kernels.items()} for arch, kernels in found.items()}
        options.json.write_text(json.dumps(whole, indent=1) + "\n")
    problems = spills(found)
    if options.update:
        GATE.write_text(gate_text(found))
        print(f"{GATE.name} written")
    else:
        problems += regressions(found, json.loads(GATE.read_text()))
    if problems:
        raise SystemExit("\n".join(problems))
    print("no spills, no inner loop longer than the gate file allows")


if __name__ == "__main__":
    main()
