"""Skin that nobody saw has the shade of its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatars.data import Clip, Track
from avatars.heads.ambient import openness
from avatars.heads.head import Head
from avatars.training.calm import _hollowed
from avatars.training.loop import Trainer
from avatars.training.presets import Preset


def test_unseen_ears_have_hollows(scene: tuple[Head, Clip, Track]) -> None:
    head, clip, track = scene
    person = head.shape(track.identity)
    seeded = Trainer(person, clip, track, np.arange(19), Preset(size=64, splats=1500, bases=0)).seeded
    on_mesh = (seeded.mean == 0).all(1)
    ears, scalp = (person.faces_of(name)[seeded.triangle] & on_mesh for name in ("ears", "scalp"))
    brows = np.flatnonzero(person.faces_of("brows")[seeded.triangle])
    doubtful = np.flatnonzero(ears | scalp | ~on_mesh)
    assert ears.sum() > 10
    assert scalp.sum() > 10
    paint = np.tile(np.float32([0.8, 0.6, 0.5]), (len(doubtful), 1))
    near = np.tile(brows[:8], (len(doubtful), 1))
    found = _hollowed(person, seeded, doubtful, near, paint)
    assert found.dtype == np.float32
    sky = (openness(person.template, person.faces)[person.faces[seeded.triangle]] * seeded.barycentric).sum(1)[doubtful]
    skin = ears[doubtful]
    assert np.array_equal(found[~skin], paint[~skin])  # hair has shades of its own
    share = found[skin, 0] / 0.8
    assert share.max() <= 1
    assert share.min() < 0.85
    assert np.corrcoef(share, sky[skin])[0, 1] > 0.9
    # Whoever takes after what lies as deep is as dark already.
    deep = np.flatnonzero(ears)[[sky[skin].argmin()]]
    np.testing.assert_allclose(_hollowed(person, seeded, deep, deep[None], paint[:1]), paint[:1], rtol=1e-6)
    bare = replace(seeded, mean=seeded.mean + 0.1)
    assert np.array_equal(_hollowed(person, bare, doubtful, near, paint), paint)
