"""Mirrored and turned views of a picture give the same landmarks, and together calmer ones."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.capture import faces
from avatars.capture.faces import FaceMesh, silenced
from avatars.capture.views import MIRROR, FaceViews

from .conftest import read_clip


def test_mirror_map_exchanges_the_sides() -> None:
    assert (MIRROR[MIRROR] == np.arange(478)).all()
    for right, left in (("EYE_R", "EYE_L"), ("BROW_R", "BROW_L"), ("IRIS_R", "IRIS_L")):
        assert {int(MIRROR[i]) for i in getattr(faces, right)} == set(getattr(faces, left))
    for name in ("LIPS_OUTER", "LIPS_INNER", "OVAL", "NOSE"):
        assert {int(MIRROR[i]) for i in getattr(faces, name)} == set(getattr(faces, name))
    for middle in (faces.NOSE_TIP, faces.CHIN, faces.FOREHEAD, 0, 13, 14, 17):
        assert MIRROR[middle] == middle


def test_mirror_map_keeps_the_published_mesh() -> None:
    """An edge mirrors to an edge, but for six diagonals of quadrilaterals that the published mesh draws unevenly."""
    published = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")
    edges = {frozenset(e) for e in published.FACEMESH_TESSELATION}
    mirrored = {frozenset(int(MIRROR[i]) for i in e) for e in edges}
    assert len(edges) == 1322
    assert len(mirrored - edges) <= 6


@pytest.mark.footage
def test_views_agree_and_are_calmer_together() -> None:
    """On a picture that stands still but for noise, the mean moves less than any view (a face 230 px large)."""
    still = read_clip("obama_512.mp4", 1)[0]
    random = np.random.default_rng(0)
    pictures = [np.clip(still + random.normal(0, 6, still.shape), 0, 255).astype(np.uint8) for _ in range(12)]
    views = FaceViews()
    with FaceMesh(static=False) as mesh:
        single = np.array([mesh.detect(p)[0] for p in pictures])
    found = [views.detect(p) for p in pictures]
    assert all(points is not None for points in found)
    mean = np.array(found)
    assert np.abs(mean - single)[..., :2].mean() < 2
    assert mean.std(0)[:, :2].mean() < 0.8 * single.std(0)[:, :2].mean()
    assert views.detect(np.zeros_like(still)) is None
    views.forget(still.shape)
    again = views.detect(still)
    assert again is not None
    assert np.abs(again - mean.mean(0))[:, :2].mean() < 1
    views.close()


def test_silence_ends_when_the_last_thread_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    outer, inner = silenced(), silenced()
    outer.__enter__()
    inner.__enter__()
    os.write(2, b"one ")
    outer.__exit__(None, None, None)
    os.write(2, b"two ")
    inner.__exit__(None, None, None)
    os.write(2, b"three")
    assert capfd.readouterr().err == "three"
