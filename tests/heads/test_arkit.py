"""Names, mirror images and admissible combinations of the 52 coefficients."""

from __future__ import annotations

import numpy as np

from avatars.heads.arkit import GAZE, INDEX, JAW, LIDS, MIRROR, MOUTH, NAMES, admissible, mirrored


def test_names_are_apples() -> None:
    assert len(NAMES) == len(set(NAMES)) == 52
    # Anchors of the order in a Live Link Face CSV.
    assert (NAMES[0], NAMES[14], NAMES[17], NAMES[41], NAMES[51]) == (
        "eyeBlinkLeft", "jawForward", "jawOpen", "browDownLeft", "tongueOut",
    )  # fmt: skip
    assert NAMES[15:17] == ("jawRight", "jawLeft")
    assert len(GAZE) == 8
    assert len(LIDS) == 6
    assert len(JAW) == 4
    assert len(MOUTH) == 23


def test_mirror_is_an_involution() -> None:
    assert mirrored("eyeLookInLeft") == "eyeLookInRight"
    assert mirrored("jawOpen") == "jawOpen"
    assert [MIRROR[i] for i in MIRROR] == list(range(52))


def test_admissible_keeps_lips_from_closing_past_the_jaw() -> None:
    values = np.random.default_rng(0).uniform(-0.5, 1.5, (100, 52))
    out = admissible(values)
    assert out.min() >= 0
    assert out.max() <= 1
    close, jaw = INDEX["mouthClose"], INDEX["jawOpen"]
    assert (out[:, close] <= out[:, jaw]).all()
    others = [i for i in range(52) if i != close]
    np.testing.assert_array_equal(out[:, others], np.clip(values, 0, 1)[:, others])
    np.testing.assert_array_equal(admissible(out), out)
