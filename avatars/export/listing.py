"""The lists of a dataset, with every key that readers of this layout are known to ask for.

nerfstudio takes shared intrinsics and the names of each split's pictures; GaussianAvatars one list per split, the field
of view, and sizes per frame; VHAP itself intrinsics per frame and the indices of time steps and cameras. One camera has
nothing to show between the time steps that are trained on, so as in VHAP the validation list is empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data import Camera, Clip, Track
from ..heads.arkit import NAMES
from .foreign import GL_FROM_CV

KIND, FORMAT = "avatar-dataset", 1


def frame_name(row: int) -> str:
    """Of one row's files, without ending: the time step, then the camera."""
    return f"{row:05d}_00"


class Listing:
    """What the `transforms` files of a tracked clip say.

    Args:
        held: rows of the track that are kept from training.
        flame: whether there are FLAME parameters.
    """

    def __init__(self, clip: Clip, track: Track, held: set[int], flame: bool) -> None:
        self.track, self.held, self.flame = track, held, flame
        self.intrinsics = _intrinsics(track.camera.resized(*clip.size))
        self.pose = (np.asarray(track.camera.world_from_camera, float) @ GL_FROM_CV).tolist()
        source = {k: clip.source[k] for k in ("name", "sha256") if k in clip.source}
        self.words = {"kind": KIND, "format": FORMAT, "head": track.head, "arkit_names": list(NAMES), "source": source}

    def documents(self) -> dict[str, dict[str, Any]]:
        """File name to content."""
        rows = range(len(self.track.frame))
        train, test = [r for r in rows if r not in self.held], [r for r in rows if r in self.held]
        pictures = {
            "train_filenames": [f"images/{frame_name(r)}.png" for r in train],
            "val_filenames": [f"images/{frame_name(r)}.png" for r in test],
            "test_filenames": [f"images/{frame_name(r)}.png" for r in test],
        }
        return {
            "transforms_train.json": self._document(train, train, [0]),
            "transforms_val.json": self._document([], train, []),
            "transforms_test.json": self._document(test, test, [0]),
            "transforms.json": self._document(list(rows), list(rows), [0]) | pictures,
        }

    def _document(self, rows: list[int], steps: list[int], cameras: list[int]) -> dict[str, Any]:
        indices = {"timestep_indices": steps, "camera_indices": cameras}
        return self.intrinsics | self.words | indices | {"frames": [self._frame(row) for row in rows]}

    def _frame(self, row: int) -> dict[str, Any]:
        name = frame_name(row)
        flame = {"flame_param_path": f"flame_param/{name}.npz"} if self.flame else {}
        return {
            "timestep_index": row, "timestep_index_original": row, "timestep_id": f"{row:05d}",
            "camera_index": 0, "camera_id": "0", "time": float(self.track.times[row]), **self.intrinsics,
            "file_path": f"images/{name}.png", "fg_mask_path": f"fg_masks/{name}.png",
            "avatar_file_path": f"states/{name}.safetensors", "transform_matrix": self.pose, **flame,
        }  # fmt: skip


def _intrinsics(camera: Camera) -> dict[str, Any]:
    return {
        "fl_x": camera.fx, "fl_y": camera.fy, "cx": camera.cx, "cy": camera.cy, "w": camera.width, "h": camera.height,
        "camera_model": "OPENCV",
        "camera_angle_x": float(2 * np.arctan(camera.width / 2 / camera.fx)),
        "camera_angle_y": float(2 * np.arctan(camera.height / 2 / camera.fy)),
    }  # fmt: skip
