from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatars.data import Motion
from avatars.heads.arkit import INDEX
from avatars.motion.smooth import steady, trembling

RATE, COUNT = 25.0, 250


def still(noise: float = 1.0, seed: int = 0) -> Motion:
    """A face at rest whose track trembles as a real one does."""
    rng = np.random.default_rng(seed)
    return Motion(
        times=np.arange(COUNT) / RATE,
        arkit=np.clip(0.3 + noise * 0.012 * rng.normal(size=(COUNT, 52)), 0, 1),
        rotation=np.array([0.1, 0.5, -0.2]) + noise * 0.002 * rng.normal(size=(COUNT, 3)),
        translation=noise * 0.0005 * rng.normal(size=(COUNT, 3)),
    )


def blink(motion: Motion, at: int = 100) -> Motion:
    """A blink of 0.24 s and a plosive of one frame."""
    arkit = motion.arkit.copy()
    arkit[at : at + 6, INDEX["eyeBlinkLeft"]] = [0.5, 0.9, 1.0, 0.8, 0.5, 0.3]
    arkit[at + 20, INDEX["mouthPressLeft"]] = 0.8
    return replace(motion, arkit=arkit)


def test_trembling_is_what_was_put_in() -> None:
    noise = np.random.default_rng(0).normal(size=(5000, 2)) * np.array([0.01, 3.0])
    np.testing.assert_allclose(trembling(noise + np.linspace(0, 50, 5000)[:, None]), [0.01, 3.0], rtol=0.05)


def test_a_still_head_calms_down() -> None:
    before, after = still(), steady(still())
    assert after.arkit.std(0).mean() < 0.55 * before.arkit.std(0).mean()  # measured 0.45
    assert after.rotation.std(0).max() < 0.62 * before.rotation.std(0).max()  # measured 0.51
    assert after.translation.std(0).max() < 0.65 * before.translation.std(0).max()  # measured 0.54
    np.testing.assert_allclose(after.rotation.mean(0), before.rotation.mean(0), atol=2e-4)


def test_blinks_and_plosives_keep_their_height_and_place() -> None:
    before = blink(still())
    after = steady(before)
    for name in ("eyeBlinkLeft", "mouthPressLeft"):
        a, b = before.arkit[:, INDEX[name]], after.arkit[:, INDEX[name]]
        assert b.max() > 0.98 * a.max()
        assert b.argmax() == a.argmax()


def test_nothing_is_delayed() -> None:
    """Smoothing the film backwards is the same as smoothing it forwards."""
    motion = blink(still())
    back = replace(
        motion, arkit=motion.arkit[::-1], rotation=motion.rotation[::-1], translation=motion.translation[::-1]
    )
    one, other = steady(motion), steady(back)
    np.testing.assert_allclose(other.arkit[::-1], one.arkit, atol=1e-12)
    np.testing.assert_allclose(other.rotation[::-1], one.rotation, atol=1e-9)


def test_short_and_constant_motions_pass() -> None:
    motion = still(noise=0)
    for count in (1, 2, 3):
        part = Motion(motion.times[:count], motion.arkit[:count], motion.rotation[:count], motion.translation[:count])
        np.testing.assert_allclose(steady(part).arkit, part.arkit, atol=1e-12)
        np.testing.assert_allclose(steady(part).rotation, part.rotation, atol=1e-9)
