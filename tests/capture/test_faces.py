"""Landmark groups against MediaPipe's own connection sets, and both detectors on real frames."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from avatars.capture import faces
from avatars.errors import AssetError, InputError

from .conftest import SHARED, read_clip

LOOPS = {"FACEMESH_LEFT_EYE": faces.EYE_L, "FACEMESH_RIGHT_EYE": faces.EYE_R, "FACEMESH_FACE_OVAL": faces.OVAL}
SETS = {
    "FACEMESH_LIPS": faces.LIPS,
    "FACEMESH_LEFT_EYEBROW": faces.BROW_L,
    "FACEMESH_RIGHT_EYEBROW": faces.BROW_R,
    "FACEMESH_LEFT_IRIS": faces.IRIS_L[1:],
    "FACEMESH_RIGHT_IRIS": faces.IRIS_R[1:],
    "FACEMESH_NOSE": faces.NOSE,
    "FACEMESH_LEFT_EYE": faces.EYE_L,
    "FACEMESH_RIGHT_EYE": faces.EYE_R,
    "FACEMESH_FACE_OVAL": faces.OVAL,
}


def _edges(loop: tuple[int, ...]) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in zip(loop, (*loop[1:], loop[0]), strict=True)}


def test_groups_are_mediapipes_own_sets() -> None:
    published = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")
    for name, group in SETS.items():
        assert set(group) == {i for edge in getattr(published, name) for i in edge}, name
        assert len(set(group)) == len(group), name


def test_loops_follow_the_published_edges() -> None:
    published = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")
    for name, loop in LOOPS.items():
        assert _edges(loop) == {frozenset(e) for e in getattr(published, name)}, name
    lips = {frozenset(e) for e in published.FACEMESH_LIPS}
    assert _edges(faces.LIPS_OUTER) | _edges(faces.LIPS_INNER) == lips


@pytest.mark.footage
def test_points_lie_where_their_names_say() -> None:
    """In an unmirrored frame the subject's left is the picture's right."""
    frame = read_clip("talk_katie_512.mp4", 1)[0]
    with faces.FaceMesh(static=True) as mesh:
        (points,) = mesh.detect(frame)
    middle = {
        n: points[list(getattr(faces, n))].mean(0) for n in ("EYE_L", "EYE_R", "IRIS_L", "IRIS_R", "BROW_L", "LIPS")
    }
    assert middle["EYE_L"][0] > points[faces.NOSE_TIP, 0] > middle["EYE_R"][0]
    for side in "LR":  # an open eye holds its iris: within half its width
        width = np.ptp(points[list(getattr(faces, f"EYE_{side}")), 0])
        assert np.abs(middle[f"EYE_{side}"] - middle[f"IRIS_{side}"])[:2].max() < width / 2
    assert (
        middle["BROW_L"][1] < middle["EYE_L"][1] < points[faces.NOSE_TIP, 1] < middle["LIPS"][1] < points[faces.CHIN, 1]
    )
    assert points[faces.MOUTH_L, 0] > points[faces.MOUTH_R, 0]


@pytest.mark.footage
def test_both_detectors_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Tasks model is a later training of the same mesh: same points, a few pixels apart (measured: mean 1.9)."""
    if not (SHARED / "assets" / "face_landmarker.task").exists():
        pytest.skip("needs ../shared/assets/face_landmarker.task")
    frame = read_clip("talk_katie_512.mp4", 1)[0][:400]  # not square: z must scale with the width
    monkeypatch.setenv("AVATARS_FACE_LANDMARKER", str(SHARED / "assets" / "face_landmarker.task"))
    found = {}
    for legacy in (True, False):
        monkeypatch.setattr(faces, "has_legacy", lambda legacy=legacy: legacy)
        with faces.FaceMesh(static=False) as mesh:
            assert mesh.detect(np.zeros_like(frame)).shape == (0, 478, 3)
            found[legacy] = mesh.detect(frame)[0]
    gap = np.abs(found[True] - found[False])
    assert gap[:, :2].mean() < 4
    assert np.ptp(found[False][:, 2]) == pytest.approx(np.ptp(found[True][:, 2]), rel=0.25)


def test_bad_images_are_named() -> None:
    with faces.FaceMesh(static=True) as mesh:
        for bad in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
            with pytest.raises(InputError, match="uint8 image"):
                mesh.detect(bad)


def test_no_model_no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "has_legacy", lambda: False)
    monkeypatch.setenv("AVATARS_FACE_LANDMARKER", "/nowhere/face_landmarker.task")
    with pytest.raises(AssetError, match="AVATARS_FACE_LANDMARKER"):
        faces.FaceMesh(static=True)


def test_native_chatter_is_hidden() -> None:
    code = (
        "import numpy as np; from avatars.capture.faces import FaceMesh\n"
        "with FaceMesh(static=False) as m: m.detect(np.zeros((90, 160, 3), np.uint8))\n"
        "import sys; print('mine', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr.strip() == "mine"
