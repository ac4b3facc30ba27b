"""Presets: plain JSON values read into one frozen dataclass; unknown keys and wild values are refused."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

from .. import files
from ..errors import InputError


@dataclass(frozen=True)
class Preset:
    """How much work a training does, and how."""

    size: int = 512
    """Longer side of the working images, px."""
    frames: int = 600
    """Most frames that are trained on; more are thinned by coverage of pose and expression."""
    splats: int = 12000
    """Number of Gaussians, fixed."""
    fill: float = 0.25
    """Share of the splats that starts outside the mesh, on hair and clothes."""
    bases: int = 20
    """Learned bases (K) on position, rotation and colour."""
    iterations: int = 12000
    """Training steps, one frame each; where the film is short, fewer (see `suited`)."""
    coarse: float = 0.6
    """Share of the steps at half resolution."""
    refine_from: float = 0.05
    """Share of the steps after which the track is refined photometrically."""
    bases_from: float = 0.25
    """Share of the steps after which the bases learn."""
    ssim: float = 0.2
    """Weight of D-SSIM against L1."""
    random_background: float = 0.5
    """Share of steps over a random background, where the matte can be trusted."""
    alpha: float = 0.1
    """Weight of the difference between alpha and matte."""
    focus: float = 2.0
    """Extra weight of mouth and eyes in the image loss."""
    noise: float = 0.03
    """Standard deviation of noise on the network's expression input."""
    seed: int = 0

    _LIMITS: ClassVar[dict[str, tuple[float, float]]] = {
        "size": (64, 2048), "frames": (8, 100000), "splats": (100, 2000000), "fill": (0, 0.9), "bases": (0, 64),
        "iterations": (1, 10**7), "coarse": (0, 1), "refine_from": (0, 1), "bases_from": (0, 1), "ssim": (0, 1),
        "random_background": (0, 1), "alpha": (0, 100), "focus": (0, 100), "noise": (0, 1), "seed": (0, 2**31 - 1),
    }  # fmt: skip

    def validate(self, where: object = "") -> Preset:
        """Return self, or raise InputError naming the field, its value and its range."""
        for f in fields(self):
            value, (low, high) = getattr(self, f.name), self._LIMITS[f.name]
            whole = f.type == "int"
            if (
                isinstance(value, bool)
                or not isinstance(value, int if whole else (int, float))
                or not math.isfinite(value)
            ):
                raise InputError(
                    f"{f.name} must be a {'whole number' if whole else 'number'}, not {value!r}", where=where
                )
            if not low <= value <= high:
                raise InputError(f"{f.name} = {value} is outside [{low}, {high}]", where=where)
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def load_preset(name_or_path: str | Path, **changes: Any) -> Preset:
    """A named preset of `configs/`, or a JSON file; `changes` override single fields.

    Raises:
        InputError: no such preset, an unknown key, a value out of range.
    """
    path = Path(name_or_path)
    if path.suffix != ".json":
        path = presets_directory() / f"{name_or_path}.json"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in presets_directory().glob("*.json")))
            raise InputError(f"No preset '{name_or_path}'", fix=f"Choose one of {known}, or give a .json file")
    values = files.read_json(path)
    if not isinstance(values, dict):
        raise InputError("A preset is a JSON object", where=path)
    return parse_preset({**values, **changes}, path)


def parse_preset(values: dict[str, Any], where: object = "") -> Preset:
    """A preset from plain values, checked."""
    known = {f.name for f in fields(Preset)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"Unknown setting {', '.join(unknown)}", where=where, fix=f"Known: {', '.join(sorted(known))}")
    return replace(Preset(), **values).validate(where)


_PLENTY, _FEWEST = 150, 4000
"""Training frames (six seconds of most films) that are good for all steps of a preset, and the steps that even the
fewest are good for: of two seconds, 13 000 steps learn 35 dB by heart and 25.0 dB of what follows; 4000 steps 27.1."""


def suited(preset: Preset, frames: int) -> Preset:
    """The preset with no more steps than so many training frames are good for."""
    steps = max(round(preset.iterations * min(1.0, frames / _PLENTY)), _FEWEST)
    return replace(preset, iterations=min(preset.iterations, steps))


def presets_directory() -> Path:
    """Where the shipped presets are: inside the wheel, or `configs/` of a checkout."""
    try:
        packaged = Path(str(resources.files("avatars.configs")))
        if packaged.is_dir():
            return packaged
    except ModuleNotFoundError:
        pass
    return Path(__file__).resolve().parents[2] / "configs"
