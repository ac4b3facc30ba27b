"""Frames as supervision: what lies behind a person is not the person's."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from avatars.data import Clip
from avatars.training.frames import FrameStore

_SIZE = 128


def _clip(behind: np.ndarray, plate: np.ndarray | None) -> tuple[Clip, np.ndarray]:
    """Five frames of an orange disc with a soft rim over [H, W, 3] in [0, 1], and its premultiplied colours."""
    matte = np.zeros((_SIZE, _SIZE), np.uint8)
    cv2.circle(matte, (64, 70), 30, 255, -1)
    matte = cv2.GaussianBlur(matte, (0, 0), 3.0)
    alpha = matte[..., None] / 255.0
    own = alpha * np.array([0.8, 0.5, 0.3])
    frame = np.round((own + (1 - alpha) * behind) * 255).astype(np.uint8)
    count = 5
    marks = np.tile(np.float32([64, 70, 0]), (count, 478, 1)) + np.random.default_rng(0).normal(
        0, 9, (count, 478, 3)
    ).astype(np.float32)
    seen = None if plate is None else np.full((_SIZE, _SIZE), 255, np.uint8)
    clip = Clip(
        np.tile(frame, (count, 1, 1, 1)), np.arange(count) / 25, marks, np.tile(matte, (count, 1, 1)), [""] * count,
        plate=plate, plate_seen=seen,
    )  # fmt: skip
    return clip, own


def test_without_a_plate_the_outline_keeps_its_own_colours() -> None:
    """A wall that grows brighter to one side: what is left of it in the outline is a tenth of what there was."""
    behind = np.linspace(0.2, 0.9, _SIZE)[None, :, None] * np.array([0.3, 0.6, 1.0])
    clip, own = _clip(np.broadcast_to(behind, (_SIZE, _SIZE, 3)), None)
    for level, size in ((0, _SIZE), (1, _SIZE // 2)):
        frame = FrameStore(clip, np.arange(5), _SIZE, 0.0).get(2, level)
        true = torch.from_numpy(cv2.resize(own, (size, size), interpolation=cv2.INTER_AREA).transpose(2, 0, 1))[None]
        rim = ((frame.matte > 0.02) & (frame.matte < 0.98)).expand_as(frame.image)
        assert rim.sum() > 500
        photo = np.asarray(clip.frames[2]).astype(np.float32) / 255
        plain = torch.from_numpy(cv2.resize(photo, (size, size), interpolation=cv2.INTER_AREA).transpose(2, 0, 1))[None]
        before = (plain * frame.matte - true)[rim].abs().mean()
        after = (frame.image - true)[rim].abs().mean()
        assert float(after) < 0.15 * float(before), (float(after), float(before))
        assert bool(((frame.image >= 0) & (frame.image <= frame.matte + 1e-6)).all())
        assert float(frame.background.abs().max()) == 0
        over = FrameStore(clip, np.arange(5), _SIZE, 0.0).over(frame, torch.tensor([0.0, 1.0, 0.0]))
        torch.testing.assert_close(over.image[:, 1], frame.image[:, 1] + 1 - frame.matte[:, 0])


def test_with_a_plate_the_frame_is_as_filmed() -> None:
    behind = np.full((_SIZE, _SIZE, 3), 0.6)
    clip, _ = _clip(behind, np.full((_SIZE, _SIZE, 3), 153, np.uint8))
    frame = FrameStore(clip, np.arange(5), _SIZE, 0.0).get(1, 0)
    np.testing.assert_array_equal((frame.image[0] * 255).round().permute(1, 2, 0).numpy(), clip.frames[1])
