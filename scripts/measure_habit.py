"""Measure how the landmark detector differs from the default head's landmarks, on synthetic people.

    python scripts/measure_habit.py [--seeds 11 12 ...] [--work DIR] [--out FILE]

Films each seed's person, detects, and finds for each landmark the one 3D offset that explains what was detected in
all films. People for accuracy tests (seeds 1, 2, 3, 5 and 7) must not be among the seeds. Takes ten seconds a person.
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
from avatars.capture.clip import capture
from avatars.heads.anny import default_head
from avatars.heads.head import Head, HeadModel
from avatars.synthetic.synthesize import Settings, synthesize
from avatars.tracking.camera import project, projection_jacobian
from avatars.tracking.habit import FILE, SHRINK

SEEDS = (11, 12, 13, 14, 15, 16, 17, 18, 19)
_RIDGE = 2e4
"""Per person, (px/m)^2: 1 px weighs as much as 7 mm."""


def evidence(seed: int, head: Head, work: Path) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations [478, 3, 3], [478, 3] of the offsets that explain one person's detections."""
    film = work / f"{seed}.mp4"
    truth = synthesize(film, head, Settings(seed=seed, seconds=2.0, fps=15, size=320, sound=False, views=0))
    clip, t = capture(film, work / f"{seed}.clip"), truth.track
    vertices = torch.from_numpy(truth.vertices(head))
    points = HeadModel(head.shape(t.identity)).landmarks(vertices).numpy().astype(float)
    pixels = project(points, t.camera.fx, np.array([t.camera.cx, t.camera.cy]))
    missed = clip.landmarks[..., :2] - pixels
    slope = projection_jacobian(points, t.camera.fx) @ Rotation.from_rotvec(t.rotation).as_matrix()[:, None]
    known = np.isfinite(missed).all(-1)
    missed[~known], slope[~known] = 0, 0
    return np.einsum("tlij,tlik->ljk", slope, slope), np.einsum("tlij,tli->lj", slope, missed)


def symmetric(offsets: np.ndarray, head: Head) -> np.ndarray:
    """Each landmark's offset averaged with its mirror image's."""
    corners = head.faces[head.landmark_faces]
    place = np.einsum("lcd,lc->ld", head.template[corners], head.landmark_barycentric)
    flip = np.array([-1.0, 1.0, 1.0])
    partner = KDTree(place).query(place * flip)[1]
    return (offsets + offsets[partner] * flip) / 2


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
    ridge = _RIDGE * len(given.seeds) * np.eye(3)
    offsets = symmetric(np.linalg.solve(hessian + ridge, np.asarray(gradient)[..., None])[..., 0], head)
    offsets[list(faces.IRIS_L + faces.IRIS_R)] = 0  # they lie on the eyeball, and gaze depends on them
    versions = {name: importlib.metadata.version(name) for name in ("anny", "mediapipe")}
    words = {"kind": "habit", "head": head.version, "seeds": " ".join(map(str, given.seeds)), **versions}
    files.save_tensors(given.out, {"habit": (SHRINK * offsets).astype(np.float32)}, words)
    print(f"{given.out}: {1e3 * np.linalg.norm(offsets, axis=1).mean():.1f} mm on average, {SHRINK:.0%} of it written")


if __name__ == "__main__":
    main()
