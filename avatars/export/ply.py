"""Posed splats as .ply, in the layout of the 3D Gaussian splatting paper's code (Kerbl et al. 2023), and back.

Log scales, logit opacity, wxyz quaternion, degree-0 colour as f_dc; every number a little-endian float32, so a
round trip loses nothing but what a logit cannot hold.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import files
from ..errors import FileFormatError, InputError
from .posed import FACING, PosedSplats

SH0 = 0.28209479177387814
"""The constant spherical harmonic: colour = SH0 * f_dc + 0.5."""
AXES = ("y-up", "colmap")
_MAX_HEADER = 1 << 16
_OPAQUE = 1 - 1e-7


def ply_bytes(splats: PosedSplats, *, axes: str = "y-up", sh_degree: int = 0) -> bytes:
    """The whole file.

    Args:
        axes: 'y-up' (canonical space) or 'colmap' (y down, z away from the viewer), noted as a comment.
        sh_degree: 0, or 3 to pad with zeros for programs that insist on it.

    Raises:
        InputError: unknown axes or degree.
    """
    if axes not in AXES:
        raise InputError(f"Unknown axes '{axes}'", fix=f"Choose one of {', '.join(AXES)}")
    if not 0 <= sh_degree <= 3:
        raise InputError("The degree of spherical harmonics lies between 0 and 3")
    splats = splats if axes == "y-up" else splats.moved(_FLIP)
    rest = 3 * ((sh_degree + 1) ** 2 - 1)
    names = _names(rest)
    columns = np.zeros((len(splats), len(names)), "<f4")
    columns[:, :3] = splats.means
    columns[:, 6:9] = (splats.colors.astype(np.float64) - 0.5) / SH0
    opacity = splats.opacities.astype(np.float64).clip(1e-7, _OPAQUE)
    columns[:, 9 + rest] = np.log(opacity / (1 - opacity))
    columns[:, 10 + rest : 13 + rest] = np.log(np.maximum(splats.scales.astype(np.float64), 1e-12))
    columns[:, 13 + rest :] = splats.wxyz
    header = ["ply", "format binary_little_endian 1.0", f"comment axes {axes}", "comment units metres"]
    header += ["comment antialiased 1", f"element vertex {len(splats)}"]
    header += [f"property float {name}" for name in names] + ["end_header\n"]
    return "\n".join(header).encode() + columns.tobytes()


_FLIP = np.eye(4)
_FLIP[:3, :3] = FACING


def _names(rest: int) -> list[str]:
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    names += [f"f_rest_{i}" for i in range(rest)]
    return [*names, "opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]


def read_ply(path: Path | str) -> PosedSplats:
    """Splats of a file in this layout, in canonical space; higher harmonics are ignored.

    Raises:
        FileFormatError: not such a file, truncated, or holding NaN.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            names, count, axes = _header(file.read(_MAX_HEADER), path)
            file.seek(names.pop(""))
            data = file.read()
    except OSError as error:
        raise FileFormatError(f"Cannot read: {error.strerror}", where=path) from error
    if len(data) != 4 * count * len(names):
        raise FileFormatError(f"Truncated: {len(data)} bytes for {count} splats of {len(names)} numbers", where=path)
    table = np.frombuffer(data, "<f4").reshape(count, len(names))
    # An opacity of exactly 1 is an infinite logit: other programs write it, and it means something.
    infinite = ~np.isfinite(table)
    infinite[:, names.get("opacity", 0)] &= np.isnan(table[:, names.get("opacity", 0)])
    if infinite.any():
        raise FileFormatError("Holds NaN or infinity", where=path)

    def columns(*wanted: str) -> np.ndarray:
        return table[:, [names[name] for name in wanted]].astype(np.float64)

    try:
        wxyz = columns("rot_0", "rot_1", "rot_2", "rot_3")
        means, scales = columns("x", "y", "z"), np.exp(columns("scale_0", "scale_1", "scale_2"))
        colors = columns("f_dc_0", "f_dc_1", "f_dc_2") * SH0 + 0.5
        opacities = 1 / (1 + np.exp(-columns("opacity")[:, 0].clip(-80, 80)))
    except KeyError as error:
        raise FileFormatError(f"Not a file of Gaussians: no property {error}", where=path) from error
    wxyz = wxyz / np.maximum(np.linalg.norm(wxyz, axis=1, keepdims=True), 1e-12)
    splats = PosedSplats(*(x.astype(np.float32) for x in (means, wxyz, scales, opacities, colors)))
    return splats.moved(_FLIP) if axes == "colmap" else splats


def _header(block: bytes, path: Path) -> tuple[dict[str, int], int, str]:
    """({property: column, '': offset of the data}, number of splats, axes)."""
    end = block.find(b"end_header\n")
    if not block.startswith(b"ply\n") or end < 0:
        raise FileFormatError("Not a PLY file", where=path)
    names: dict[str, int] = {}
    count, axes = -1, "y-up"
    for line in block[:end].decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        if words[:1] == ["format"] and words[1:2] != ["binary_little_endian"]:
            raise FileFormatError("Only binary little-endian PLY is read", where=path)
        if words[:2] == ["comment", "axes"] and len(words) == 3:
            axes = words[2]
        elif words[:2] == ["element", "vertex"] and len(words) == 3 and words[2].isdigit():
            count = int(words[2])
        elif words[:2] == ["property", "float"] and len(words) == 3:
            names[words[2]] = len(names)
        elif words[:1] in (["property"], ["element"]):
            raise FileFormatError(f"Unexpected line '{line[:60]}'", where=path)
    if count < 0 or not names or axes not in AXES:
        raise FileFormatError("Not a file of Gaussians", where=path)
    return {**names, "": end + len("end_header\n")}, count, axes


def save_ply(splats: PosedSplats, path: Path | str, *, axes: str = "y-up", sh_degree: int = 0) -> None:
    """Write a .ply (see `ply_bytes`)."""
    files.write_bytes(path, ply_bytes(splats, axes=axes, sh_degree=sh_degree))
