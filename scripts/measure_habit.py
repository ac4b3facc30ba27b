"""Measure how the landmark detector differs from the default head's landmarks, on synthetic people.

    python scripts/measure_habit.py [--seeds 11 12 ...] [--work DIR] [--out FILE]

Films each seed's person, detects, and finds for each landmark the 3D offsets that explain what was detected in all
films: one that is always there, some that grow with the angles from which the head is seen, and one for each
expression. People for accuracy tests (seeds 1, 2, 3, 5 and 7) must not be among the seeds. Takes a quarter of a minute
a person; films that DIR has already are used again.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avatars import files
from avatars.capture import faces
from avatars.capture.clip import capture, load_clip
from avatars.heads.anny import default_head
from avatars.heads.head import Head, HeadModel
from avatars.synthetic.synthesize import Settings, synthesize
from avatars.synthetic.truth import GroundTruth
from avatars.tracking.camera import project, projection_jacobian
from avatars.tracking.habit import ASPECTS, FILE, SHRINK, aspects

SEEDS = tuple(range(11, 47))
_RIDGE, _ASPECT_RIDGE, _EXPRESSION_RIDGE = 2e4, 2e3, 1e3
"""Per person, (px/m)^2: 1 px weighs as much as 7 mm, or 2 cm per unit."""
_NEVER = 1e9


def evidence(seed: int, head: Head, work: Path) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations [478, 3 Q, 3 Q], [478, 3 Q] of what explains one person's detections (Q = 3 + E)."""
    film, known_truth = work / f"{seed}.mp4", work / f"{seed}.truth"
    if known_truth.exists() and (work / f"{seed}.clip" / "clip.json").exists():
        truth, clip = GroundTruth.load(known_truth), load_clip(work / f"{seed}.clip")
    else:
        truth = synthesize(film, head, Settings(seed=seed, seconds=5.0, fps=10, size=320, sound=False, views=0))
        clip = capture(film, work / f"{seed}.clip")
    t = truth.track
    vertices = torch.from_numpy(truth.vertices(head))
    points = HeadModel(head.shape(t.identity)).landmarks(vertices).numpy().astype(float)
    missed = clip.landmarks[..., :2] - project(points, t.camera.fx, np.array([t.camera.cx, t.camera.cy]))
    rotation = Rotation.from_rotvec(t.rotation).as_matrix()
    slope = projection_jacobian(points, t.camera.fx) @ rotation[:, None]
    known = np.isfinite(missed).all(-1)
    missed[~known], slope[~known] = 0, 0
    causes = np.column_stack([np.ones(len(points)), aspects(rotation, t.translation), t.expression])
    slopes = slope[:, :, :, None] * causes[:, None, None, :, None]  # [T, L, 2, Q, 3]
    count = len(missed[0])
    rows = slopes.transpose(1, 0, 2, 3, 4).reshape(count, -1, 3 * causes.shape[1])
    seen = missed.transpose(1, 0, 2).reshape(count, -1, 1)
    return rows.transpose(0, 2, 1) @ rows, (rows.transpose(0, 2, 1) @ seen)[..., 0]


def ridge(names: tuple[str, ...]) -> np.ndarray:
    """[Q] stiffness per person.

    Nothing is blamed on eyes: where people look follows from how they hold their head, and painted lids without lashes
    are not seen to close as real ones are.
    """
    eyes = np.array([name.startswith("eye") for name in names])
    return np.r_[_RIDGE, [_ASPECT_RIDGE] * ASPECTS, np.where(eyes, _NEVER, _EXPRESSION_RIDGE)]


def symmetric(moves: np.ndarray, head: Head) -> np.ndarray:
    """Each landmark's moves [478, Q, 3] averaged with its mirror image's; a mirror changes no aspect."""
    corners = head.faces[head.landmark_faces]
    place = np.einsum("lcd,lc->ld", head.template[corners], head.landmark_barycentric)
    flip, names = np.array([-1.0, 1.0, 1.0]), list(head.expression_names)
    partner = KDTree(place).query(place * flip)[1]
    swapped = [n.replace("Left", "@").replace("Right", "Left").replace("@", "Right") for n in names]
    first = 1 + ASPECTS
    cause = np.r_[:first, [first + names.index(n) for n in swapped]]
    return (moves + moves[partner][:, cause] * flip) / 2


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--out", type=Path, default=FILE)
    given = parser.parse_args()
    head, hessian, gradient = default_head(), 0.0, 0.0
    with tempfile.TemporaryDirectory() as scratch:
        for seed in given.seeds:
            more = evidence(seed, head, given.work or Path(scratch))
            hessian, gradient = hessian + more[0], gradient + more[1]
            print(f"seed {seed}", flush=True)
    hessian = hessian + np.diag(np.repeat(ridge(head.expression_names), 3)) * len(given.seeds)
    moves = np.linalg.solve(hessian, np.asarray(gradient)[..., None])[..., 0].reshape(478, -1, 3)
    moves = SHRINK * symmetric(moves, head)
    moves[list(faces.IRIS_L + faces.IRIS_R)] = 0  # they lie on the eyeball, and gaze depends on them
    # Lips and brows mean what they show: how far they open or rise is what a detector sees best.
    first = 1 + ASPECTS
    moves[list(faces.LIPS) + list(faces.BROWS), first:] = 0
    versions = {name: importlib.metadata.version(name) for name in ("anny", "mediapipe")}
    words = {"kind": "habit", "head": head.version, "seeds": " ".join(map(str, given.seeds)), **versions}
    moves = moves.transpose(1, 0, 2)
    tensors = {"offset": moves[0], "aspect": moves[1:first], "expression": moves[first:]}
    files.save_tensors(given.out, {k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, words)
    for name, value in tensors.items():
        print(f"{name}: {1e3 * np.linalg.norm(value, axis=-1).mean():.1f} mm on average")


if __name__ == "__main__":
    main()
