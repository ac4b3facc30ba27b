"""What the forms of one export share, so that nothing is posed, fitted or drawn twice; many threads may use it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..data import Camera
from ..splats.avatar import Avatar
from ..splats.model import AvatarModel, Pose
from .displayable import Change, displayable
from .posed import PosedSplats, canonical_camera, neutral_pose, posed

GRAY = 0.5
"""Of the background that figures are over."""
POSES = 8
"""Held-out poses that figures of quick forms are over."""
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class HeldOut:
    """One held-out pose of the track."""

    pose: Pose
    target: Tensor
    """[1, 3, H, W] the native render over mid-grey."""
    mask: Tensor
    """[1, 1, H, W] where its alpha is above a half."""


class Scene:
    """One avatar with everything that several of its forms need, each made when it is first asked for."""

    def __init__(self, avatar: Avatar) -> None:
        self.avatar, self.model = avatar, avatar.model()
        self.camera = canonical_camera(avatar)
        self._guard = threading.Lock()
        self._cells: dict[Hashable, _Cell] = {}

    def once(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        """What `make` returned the first time it was called for this key; others wait for it meanwhile."""
        with self._guard:
            cell = self._cells.setdefault(key, _Cell())
        with cell.lock:
            if not cell.made:
                cell.value, cell.made = make(), True
        return cell.value

    @property
    def neutral(self) -> PosedSplats:
        """The face at rest, with colours that any viewer can show."""
        return self._neutral[0]

    @property
    def change(self) -> Change:
        """What made the colours of the face at rest displayable."""
        return self._neutral[1]

    @property
    def _neutral(self) -> tuple[PosedSplats, Change]:
        return self.once("neutral", lambda: self._displayable(neutral_pose(self.avatar)))

    def shown(self, pose: Pose) -> PosedSplats:
        """Splats of one pose in canonical space, with colours that any viewer can show."""
        return self._displayable(pose)[0]

    def _displayable(self, pose: Pose) -> tuple[PosedSplats, Change]:
        return displayable(posed(self.avatar, pose, self.model), self.camera)

    def row(self, row: int) -> HeldOut:
        """One row of the track, drawn natively."""
        return self.once(("row", row), lambda: self._row(row))

    def shown_row(self, row: int) -> PosedSplats:
        """`shown` of one row of the track."""
        return self.once(("shown", row), lambda: self.shown(self.row(row).pose))

    def _row(self, row: int) -> HeldOut:
        pose = Pose.of_track(self.avatar.track, [row])
        return HeldOut(pose, *native(self.avatar, pose, model=self.model))

    def held_out(self, count: int = POSES) -> list[int]:
        """Rows of the track that figures are over: spread over what training held out, else over all of it."""
        return held_out(self.avatar, count).tolist()


class _Cell:
    """A value that is made at most once."""

    def __init__(self) -> None:
        self.lock, self.made = threading.Lock(), False
        self.value: Any = None


def held_out(avatar: Avatar, count: int = POSES) -> np.ndarray:
    """See `Scene.held_out`."""
    from ..training.frames import split

    test = str(avatar.manifest.get("test", "tail"))
    rows = split(avatar.track.times, test)[1]
    rows = rows if len(rows) else np.arange(len(avatar.track.frame))
    return np.unique(rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)])


@torch.no_grad()
def native(
    avatar: Avatar, pose: Pose, camera: Camera | None = None, model: AvatarModel | None = None
) -> tuple[Tensor, Tensor]:
    """([1, 3, H, W] over mid-grey, mask [1, 1, H, W]) of one pose by the avatar itself."""
    drawn = (model or avatar.model()).render(pose, camera or avatar.camera, torch.full((3,), GRAY))
    return drawn.color.clamp(0, 1), drawn.alpha > 0.5
