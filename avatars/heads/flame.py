"""FLAME 2020, 2023 and 2023 Open, converted once from the user's own file into a `Head`.

FLAME (Li et al. 2017) has shape and expression axes, pose correctives, and joints for neck, jaw and eyes, but neither
eyelids nor teeth, and its own numbering of everything. Added here: a blink for each eye, jaw and gaze as entries of the
expression, teeth, tongue and mouth from the default head, regions, uv map, landmarks, and a map from ARKit's names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import AssetError
from ..files import load_tensors, sha256, user_cache
from .head import Head
from .unpickle import CPU_SECONDS, REFUSED

VERSION = 2
"""Raise it whenever the head that comes out changes."""
VERTICES, FACES, SHAPES, EXPRESSIONS, JOINT_COUNT = 5023, 9976, 300, 100, 5
PARENTS = (-1, 0, 1, 1, 1)
_GET_IT = "Get flame2023_Open.pkl, or FLAME 2020 or 2023, from https://flame.is.tue.mpg.de and install that"


@dataclass(frozen=True)
class FlameArrays:
    """What a FLAME file holds, checked."""

    template: np.ndarray
    """[5023, 3] m."""
    faces: np.ndarray
    """[9976, 3]."""
    shapes: np.ndarray
    """[300, 5023, 3]."""
    expressions: np.ndarray
    """[100, 5023, 3]."""
    correctives: np.ndarray
    """[36, 5023, 3]."""
    regressor: np.ndarray
    """[5, 5023]: joints from vertices."""
    weights: np.ndarray
    """[5023, 5]."""
    sha256: str


def install(path: Path | str, cache: Path | str | None = None) -> Head:
    """Convert a FLAME pickle and keep the result in the user's cache.

    Args:
        path: generic_model.pkl, flame2023.pkl or flame2023_Open.pkl, as downloaded by the user.
        cache: folder to keep the head in; the user's cache by default.

    Raises:
        AssetError: not a FLAME file, another FLAME, or a file that tries to do more than hold arrays.
    """
    from .flame_build import build_flame

    path = Path(path)
    target = installed_path(path, cache)
    if target.is_file():
        return Head.load(target)
    head = build_flame(read_flame(path), path.stem)
    head.save(target)
    return head


def installed_path(path: Path | str, cache: Path | str | None = None) -> Path:
    """Where the head converted from this pickle lies, or will lie."""
    if not Path(path).is_file():
        raise AssetError("No such file", where=path, fix=_GET_IT)
    folder = Path(cache) if cache is not None else user_cache() / "heads"
    return folder / f"flame-{sha256(path)[:16]}-{VERSION}.safetensors"


def read_flame(path: Path | str) -> FlameArrays:
    """Read and check a FLAME pickle, in a process of its own with limits on memory and time.

    Raises:
        AssetError: see `install`.
    """
    path = Path(path)
    if not path.is_file():
        raise AssetError("No such file", where=path, fix=_GET_IT)
    digest = sha256(path)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "arrays.safetensors"
        _convert(path, target)
        arrays, _ = load_tensors(target, finite=False)
    return _check(arrays, path, digest)


def _convert(path: Path, target: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "OPENBLAS_NUM_THREADS": "1",  # every thread reserves address space, which is limited
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "avatars.heads.unpickle", str(path.resolve()), str(target)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=4 * CPU_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise AssetError("Reading the file took too long", where=path, fix=_GET_IT) from error
    if done.returncode == 0:
        return
    reason = "could not be read within 2 GiB and 30 s"
    if done.returncode == REFUSED:
        try:
            reason = f"asks for {json.loads(done.stdout)['asks_for']}, which no FLAME file does"
        except (ValueError, KeyError, TypeError):
            reason = "is malformed"
    raise AssetError(f"Not a FLAME file: it {reason}", where=path, fix=_GET_IT)


def _check(arrays: dict[str, np.ndarray], path: Path, digest: str) -> FlameArrays:
    """Dimensions, indices, the chain of joints, skinning weights and finiteness, each with a message."""

    def refuse(problem: str) -> AssetError:
        what = f"Not a FLAME 2020 or 2023 file: {problem} (sha256 {digest[:16]}...)"
        return AssetError(what, where=path, fix=_GET_IT)

    shapes: dict[str, tuple[int, ...]] = {
        "v_template": (VERTICES, 3), "f": (FACES, 3), "shapedirs": (VERTICES, 3, SHAPES + EXPRESSIONS),
        "posedirs": (VERTICES, 3, 9 * (JOINT_COUNT - 1)), "J_regressor": (JOINT_COUNT, VERTICES),
        "weights": (VERTICES, JOINT_COUNT), "kintree_table": (2, JOINT_COUNT),
    }  # fmt: skip
    for name, shape in shapes.items():
        if name not in arrays:
            raise refuse(f"it has no {name}")
        if arrays[name].shape != shape:
            raise refuse(f"{name} is {arrays[name].shape} where {shape} is expected")
        if not np.isfinite(arrays[name]).all():
            raise refuse(f"{name} holds NaN or infinity")
    faces = arrays["f"].astype(np.int64)
    if faces.min() < 0 or faces.max() >= VERTICES or (arrays["f"] != faces).any():
        raise refuse("a triangle refers to a vertex that does not exist")
    parents = arrays["kintree_table"][0].astype(np.int64)
    if tuple(np.where(parents >= JOINT_COUNT, -1, parents)) != PARENTS:
        raise refuse(f"its joints hang on each other as {tuple(parents[1:])}, not {PARENTS[1:]}")
    weights = arrays["weights"].astype(float)
    if np.abs(weights.sum(1) - 1).max() > 1e-5 or weights.min() < -1e-6:
        raise refuse("its skinning weights do not sum to 1")
    size = np.ptp(arrays["v_template"].astype(float), axis=0)
    if not (size.min() > 0.05 and size.max() < 1.0):
        raise refuse(f"its head measures {size.round(2)} m")
    axes = np.moveaxis(arrays["shapedirs"].astype(float), 2, 0)
    return FlameArrays(
        template=arrays["v_template"].astype(float),
        faces=faces,
        shapes=axes[:SHAPES],
        expressions=axes[SHAPES:],
        correctives=np.moveaxis(arrays["posedirs"].astype(float), 2, 0),
        regressor=arrays["J_regressor"].astype(float),
        weights=weights / weights.sum(1, keepdims=True),
        sha256=digest,
    )
